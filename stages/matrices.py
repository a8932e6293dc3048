"""Draw the similarity matrices of Q, K and V in every layer: numbered images, for viewers with a layer slider."""

import numpy as np

from stages.artefacts.tensors import Tensor, open_tensors
from stages.geometry.names import MATRICES
from stages.geometry.pairs import square
from stages.pipeline.progress import progress
from stages.pipeline.stage import Stage, run
from stages.plotting.names import METRIC_LABELS
from stages.plotting.style import POST_LIMITS, sheet, widened
from stages.plotting.words import similarity_series

#: Dots an inch: 640 pixels wide, 40 kB an image.
DPI = 100


def main(stage: Stage) -> None:
    folder = stage.folder("plots/matrices")
    with open_tensors(stage.input("data/similarity.safetensors")) as similarity, sheet("dark"):
        categories, metric = (similarity.record[key] for key in ("categories", "metric"))
        label, layers = METRIC_LABELS[metric], similarity.layers
        digits = max(2, len(str(layers[-1])))
        with progress("matrices", "image", total=len(MATRICES) * len(layers))(None) as bar:
            for name in MATRICES:
                (folder / name).mkdir()
                values = similarity[name]
                limits = limits_of(values, POST_LIMITS if label.bounded else None)
                # Layer by layer: all layers of thousands of words would not fit into memory.
                squares = (square(values[place], label.own) for place in range(len(layers)))
                figures = similarity_series(name, squares, categories, metric, limits, layers)
                for layer, figure in zip(layers, figures, strict=True):
                    figure.savefig(folder / name / f"{layer:0{digits}}.png", format="png", dpi=DPI)
                    bar.update()


def limits_of(values: Tensor, least: tuple[float, float] | None) -> tuple[float, float]:
    """Return limits that hold a matrix's similarities in all layers."""
    return widened([end(values[layer]) for layer in range(len(values)) for end in (np.min, np.max)], least)


if __name__ == "__main__":
    run("matrices", main, __doc__)
