"""Compute, in every layer, how alike the vectors of each pair of words are: in Q, K and V, and in their input x."""

import numpy as np

from stages import store
from stages.errors import UserError
from stages.geometry.comparison import same_rows
from stages.geometry.similarity import similarities
from stages.stage import Stage, run
from stages.vectors import read_with_reference


def main(stage: Stage) -> None:
    captured = store.read_json(stage.input("data/capture.json"))
    words, target = captured["words"], stage.settings.tokens.target
    metric, transform = stage.settings.similarity.metric, stage.settings.similarity.transform
    with (
        store.open_tensors(stage.input("data/activations.safetensors")) as activations,
        store.open_tensors(stage.input("data/reference.safetensors")) as reference,
    ):
        vectors = {name: read_with_reference(activations, reference, name, target) for name in "qkvx"}
    if same_rows(vectors["x"][:, : len(words)]):
        raise UserError(
            f"tokens.target: token {target} has the same vectors whatever the word: "
            f"choose the word's own token, {captured['word_position']}, or a later one"
        )
    similarity = {name: similarities(values, len(words), metric, transform) for name, values in vectors.items()}
    record = {"words": words, "categories": captured["categories"], "metric": metric, "transform": transform}
    # In float64: where a matrix hardly varies over words, cosines differ in the seventh decimal: too fine for float32.
    store.write_tensors(stage.output("data/similarity.safetensors"), similarity, record, np.float64)


if __name__ == "__main__":
    run("similarity", main, __doc__)
