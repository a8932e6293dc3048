"""Measure, head by head, how far categories stand apart in Q, K and V, and how well the three geometries agree."""

from functools import partial

import numpy as np

from stages.artefacts import store
from stages.artefacts.activations import count_layers, read_with_reference
from stages.artefacts.layerwise import each_layer
from stages.geometry.pairs import within_category
from stages.geometry.similarity import ROTATION_INVARIANT, similarities
from stages.pipeline.stage import Stage, run
from stages.statistics.heads import head_floor, head_scores, undefined
from stages.statistics.seeds import stream


def main(stage: Stage) -> None:
    controls, inference, target = stage.settings.controls, stage.settings.inference, stage.settings.tokens.target
    draws, alpha, rng = controls.draws, inference.alpha, stream(inference.seed, "head floor")
    floor = controls.enabled
    columns = {name: np.empty((0, 0)) for name in store.TABLES["heads.csv"].columns}
    if stage.settings.heads.enabled:
        heads = store.read_json(stage.input("data/capture.json"))["overview"]["heads"]
        # From the layers' similarities, not the settings: made with the same choices, and checked there.
        record = store.read_record(stage.input("data/similarity.safetensors"))
        within, choices = within_category(record["categories"]), (record["metric"], record["transform"])
        similar = partial(similarities, words=len(record["words"]), metric=choices[0], transform=choices[1])
        rotates = ROTATION_INVARIANT.issuperset(choices)
        with (
            store.open_tensors(stage.input("data/activations.safetensors")) as activations,
            store.open_tensors(stage.input("data/reference.safetensors")) as reference,
        ):

            def score(layer: int) -> dict[str, np.ndarray]:
                vectors = {n: read_with_reference(activations, reference, n, layer, target) for n in "qkvx"}
                scores = head_scores({name: vectors[name] for name in store.MATRICES}, heads, similar, within)
                if floor:
                    units = vectors["q"].shape[1] // heads
                    bounds = head_floor(vectors["x"], units, similar, within, draws, alpha, rng, rotates)
                    scores |= {name: np.full(heads, value) for name, value in bounds.items()}
                return scores

            columns = each_layer("heads", count_layers(activations), score)
        if not floor:
            print("heads.csv: the columns of the floor are empty, as controls.enabled is false")
        for column, names in undefined(columns).items():
            print(f"heads.csv: {column} is empty where vectors or similarities do not vary: {names}")
    else:
        print("heads.enabled is false: heads.csv holds its header only")
    store.write_table(stage.output("metrics/heads.csv"), "heads.csv", columns)


if __name__ == "__main__":
    run("heads", main, __doc__)
