"""Measure by Cohen's d how far similarities within categories stand above those across them, in every layer."""

from functools import partial

import numpy as np
from pingouin import compute_effsize

from stages.artefacts.files import Tensors
from stages.artefacts.layers import each_layer, layers_of
from stages.artefacts.tables import write_table
from stages.geometry.effects import cohens_d
from stages.geometry.names import MATRICES, Arrays
from stages.geometry.pairs import within_category
from stages.pipeline.progress import stack
from stages.pipeline.stage import Stage, run


def main(stage: Stage) -> None:
    tensors = Tensors(stage.input("data/similarity.safetensors"))
    separate = partial(separability, within=within_category(tensors.record["categories"]))
    layers = layers_of(tensors, MATRICES)
    columns = stack(each_layer("separability", separate, layers))
    write_table(stage.output("metrics/separability.csv"), "separability.csv", columns, layers.numbers)


def separability(similarity: Arrays, within: np.ndarray) -> dict[str, float]:
    """Return Cohen's d of every matrix of one layer, as the post takes it, and the means and SDs behind it."""
    columns = {}
    for name, values in similarity.items():
        cohens_d(values, within)  # an error where similarities do not vary; a test compares the two
        columns[name] = compute_effsize(values[within], values[~within])
        for kind, some in ("within", values[within]), ("across", values[~within]):
            columns |= {f"{name}_{kind}_mean": some.mean(), f"{name}_{kind}_sd": some.std(ddof=1)}
    return columns


if __name__ == "__main__":
    run("separability", main, __doc__)
