"""Compute, in every layer, how alike the vectors of each pair of words are: in Q, K and V, and in their input x."""

import numpy as np

from stages.artefacts import store
from stages.artefacts.activations import count_layers, find_position, read_layer, read_with_reference
from stages.artefacts.layerwise import each_layer
from stages.geometry.comparison import same_rows
from stages.geometry.pairs import pairs_of
from stages.geometry.similarity import similarities
from stages.pipeline.errors import UserError
from stages.pipeline.stage import Stage, run


def main(stage: Stage) -> None:
    captured = store.read_json(stage.input("data/capture.json"))
    words, target = captured["words"], stage.settings.tokens.target
    metric, transform = stage.settings.similarity.metric, stage.settings.similarity.transform
    with (
        store.open_tensors(stage.input("data/activations.safetensors")) as activations,
        store.open_tensors(stage.input("data/reference.safetensors")) as reference,
    ):
        layers, word = count_layers(activations), activations.record["word_position"]
        position = find_position(activations, target, "tokens.target")
        if position != word:
            print(f"tokens.target: words are compared at token {position}, which is not the word's own: that is {word}")
        if all(same_rows(read_layer(activations, "x", layer, target, "tokens.target")) for layer in range(layers)):
            raise UserError(
                f"tokens.target: token {target} has the same vectors whatever the word: "
                f"choose word, its own token ({word}), or a later one"
            )
        shapes = {name: (layers, pairs_of(len(words))) for name in "qkvx"}
        record = {"words": words, "categories": captured["categories"], "metric": metric, "transform": transform}
        record |= {"target": position, "word_position": word}
        path = stage.output("data/similarity.safetensors")
        # In float64: where a matrix hardly varies over words, cosines differ in the seventh decimal: too fine for
        # float32.
        with store.TensorWriter(path, shapes, record, np.float64) as file:

            def compute(layer: int) -> dict[str, np.ndarray]:
                for name in "qkvx":
                    vectors = read_with_reference(activations, reference, name, layer, target)
                    file.write(name, layer, similarities(vectors, len(words), metric, transform)[None])
                return {}

            each_layer("similarity", layers, compute)


if __name__ == "__main__":
    run("similarity", main, __doc__)
