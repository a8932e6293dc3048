"""Measure by Cohen's d how far similarities within categories stand above those across them, in every layer."""

import numpy as np

from stages.artefacts import store
from stages.artefacts.layerwise import each_layer
from stages.geometry.effects import separability
from stages.geometry.pairs import within_category
from stages.pipeline.stage import Stage, run


def main(stage: Stage) -> None:
    with store.open_tensors(stage.input("data/similarity.safetensors")) as tensors:
        within = within_category(tensors.record["categories"])

        def separate(layer: int) -> dict[str, np.ndarray]:
            columns = separability({name: tensors[name][layer : layer + 1] for name in store.MATRICES}, within)
            return {column: values[0] for column, values in columns.items()}

        columns = each_layer("separability", tensors.shape("q")[0], separate)
    store.write_table(stage.output("metrics/separability.csv"), "separability.csv", columns)


if __name__ == "__main__":
    run("separability", main, __doc__)
