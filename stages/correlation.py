"""Correlate the activations of Q, K and V unit by unit in every layer, at the context token and at the target token."""

from functools import partial

import numpy as np

from stages.artefacts.files import Tensors, TensorWriter, read_json
from stages.artefacts.layers import Layers, each_layer, find_position, vectors_at
from stages.artefacts.tables import write_table
from stages.geometry.comparison import head_by_head, pairwise
from stages.geometry.names import MATRICES, Arrays
from stages.pipeline.progress import stack
from stages.pipeline.stage import Stage, run


def main(stage: Stage) -> None:
    tokens, overview = stage.settings.tokens, read_json(stage.input("data/capture.json"))["overview"]
    paired = partial(head_by_head, heads=overview["heads"], kv_heads=overview["key_value_heads"])
    tensors = Tensors(stage.input("data/activations.safetensors"))
    words = slice(tensors.record["words"])  # without the reference words

    def layers_at(token: int | str, setting: str) -> Layers:
        vectors = vectors_at(token, setting, tensors, MATRICES)
        return Layers(vectors.numbers, lambda at: paired({name: v[words] for name, v in vectors.read(at).items()}))

    context, target = layers_at(tokens.context, "tokens.context"), layers_at(tokens.target, "tokens.target")
    position, word = find_position(tensors, tokens.context, "tokens.context"), tensors.record["word_position"]
    if position >= word:
        print(f"tokens.context: token {position} is the word's own, {word}, or behind it: prompts do not share it")
    shapes = {name: (len(context), *values.shape) for name, values in context.read(0).items()}
    with TensorWriter(stage.output("data/context.safetensors"), shapes) as file:
        for layer, vectors in enumerate(context):
            for name, values in vectors.items():
                file.write(name, layer, values[None])
    columns = stack(each_layer("correlation", correlate, context, target))
    units = ", ".join(f"{name} {shape[-1]}" for name, shape in shapes.items())
    write_table(stage.output("metrics/correlation.csv"), "correlation.csv", columns, context.numbers, why=f" ({units})")


def correlate(context: Arrays, target: Arrays) -> dict[str, np.ndarray]:
    """Return the correlations of one layer's units at two tokens; vectors of shape (words, units)."""
    r = [pairwise({name: values.ravel() for name, values in vectors.items()}) for vectors in (context, target)]
    return r[0] | {f"{pair}_target": value for pair, value in r[1].items()}


if __name__ == "__main__":
    run("correlation", main, __doc__)
