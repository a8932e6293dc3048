"""Measure by Cohen's d how far similarities within categories stand above those across them, in every layer."""

from functools import partial

from stages.artefacts.layerwise import each_layer, layers_of
from stages.artefacts.tables import write_table
from stages.artefacts.tensors import open_tensors
from stages.geometry.effects import separability
from stages.geometry.names import MATRICES
from stages.geometry.pairs import within_category
from stages.pipeline.progress import stack
from stages.pipeline.stage import Stage, run


def main(stage: Stage) -> None:
    with open_tensors(stage.input("data/similarity.safetensors")) as tensors:
        separate = partial(separability, within=within_category(tensors.record["categories"]))
        layers = layers_of(tensors, MATRICES)
        columns = stack(each_layer("separability", separate, layers))
    write_table(stage.output("metrics/separability.csv"), "separability.csv", columns, layers.numbers)


if __name__ == "__main__":
    run("separability", main, __doc__)
