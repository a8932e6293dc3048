"""Measure, head by head, how far categories stand apart in Q, K and V, and how well the three geometries agree."""

from functools import partial

import numpy as np

from stages import store
from stages.geometry.heads import head_scores
from stages.geometry.pairs import within_category
from stages.geometry.similarity import similarities
from stages.stage import Stage, run
from stages.vectors import read_with_reference


def main(stage: Stage) -> None:
    columns = {name: np.empty((0, 0)) for name in store.TABLES["heads.csv"].columns}
    if stage.settings.heads.enabled:
        heads = store.read_json(stage.input("data/capture.json"))["overview"]["heads"]
        # From the layers' similarities, not the settings: made with the same choices, and checked there.
        record = store.read_record(stage.input("data/similarity.safetensors"))
        metric, transform, categories = record["metric"], record["transform"], record["categories"]
        similar = partial(similarities, words=len(categories), metric=metric, transform=transform)
        target = stage.settings.tokens.target
        with (
            store.open_tensors(stage.input("data/activations.safetensors")) as activations,
            store.open_tensors(stage.input("data/reference.safetensors")) as reference,
        ):
            vectors = {name: read_with_reference(activations, reference, name, target) for name in store.MATRICES}
        columns = head_scores(vectors, heads, similar, within_category(categories))
    else:
        print("heads.enabled is false: heads.csv holds its header only")
    store.write_table(stage.output("metrics/heads.csv"), "heads.csv", columns)


if __name__ == "__main__":
    run("heads", main, __doc__)
