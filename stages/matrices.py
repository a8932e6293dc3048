"""Draw the similarity matrices of Q, K and V in every layer: numbered images, for viewers with a layer slider."""

from functools import partial
from pathlib import Path

import numpy as np

from stages.artefacts.files import Tensors
from stages.geometry.names import MATRICES
from stages.geometry.pairs import square
from stages.geometry.similarity import METRICS
from stages.pipeline.progress import blocks
from stages.pipeline.stage import Stage, run
from stages.plotting.parallel import share_out
from stages.plotting.style import POST_LIMITS, save, sheet, widened
from stages.plotting.words import similarity_series

#: Dots an inch: 640 pixels wide, 40 kB an image.
DPI = 100
#: Layers that one process draws in a row: it lays out the first of them only.
LAYERS = 4


def main(stage: Stage) -> None:
    folder, path = stage.folder("plots/matrices"), stage.input("data/similarity.safetensors")
    tasks, similarity = [], Tensors(path)
    least = POST_LIMITS if METRICS[similarity.record["metric"]].bounded else None
    for name in MATRICES:
        (folder / name).mkdir()
        limits = widened([end(values) for values in similarity[name] for end in (np.min, np.max)], least)
        draw = partial(draw_layers, path, folder / name, name, limits)
        tasks += [partial(draw, part) for part in blocks(len(similarity.layers), LAYERS)]
    share_out(tasks, "matrices", "part")


def draw_layers(path: Path, folder: Path, name: str, limits: tuple[float, float], part: slice) -> None:
    """Draw one matrix in some of the layers of a file of similarities, one by one: thousands of words are large."""
    similarity = Tensors(path)
    categories, metric = (similarity.record[key] for key in ("categories", "metric"))
    layers, own = similarity.layers, METRICS[metric].own
    digits = max(2, len(str(layers[-1])))
    squares = (square(similarity[name][place], own) for place in range(len(layers))[part])
    with sheet("dark"):
        figures = similarity_series(name, squares, categories, metric, limits, layers[part])
        for layer, figure in zip(layers[part], figures, strict=True):
            save(figure, folder / f"{layer:0{digits}}.png", DPI)


if __name__ == "__main__":
    run("matrices", main, __doc__)
