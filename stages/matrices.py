"""Draw the similarity matrices of Q, K and V in every layer: numbered images, for viewers with a layer slider."""

from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from stages.artefacts import store
from stages.geometry.pairs import square
from stages.pipeline.stage import Stage, run
from stages.plotting.style import METRIC_LABELS, POST_LIMITS, sheet, widened
from stages.plotting.words import similarity_series

#: Dots an inch: 640 pixels wide, 40 kB an image.
DPI = 100


def main(stage: Stage) -> None:
    folder = stage.folder("plots/matrices")
    with store.open_tensors(stage.input("data/similarity.safetensors")) as similarity, sheet("dark"):
        record, layers = similarity.record, similarity.shape("q")[0]
        bounded, digits = METRIC_LABELS[record["metric"]].bounded, max(2, len(str(layers - 1)))
        with tqdm(total=len(store.MATRICES) * layers, desc="matrices", unit="image") as progress:
            for name in store.MATRICES:
                (folder / name).mkdir()
                ends = [f(similarity[name][layer]) for layer in range(layers) for f in (np.min, np.max)]
                limits = widened(ends, POST_LIMITS if bounded else None)
                series = similarity_series(
                    name, _squares(similarity, name), record["categories"], record["metric"], limits
                )
                for layer, figure in enumerate(series):
                    figure.savefig(folder / name / f"{layer:0{digits}}.png", format="png", dpi=DPI)
                    progress.update()


def _squares(similarity: store.Tensors, name: str) -> Iterator[np.ndarray]:
    """Give a matrix layer by layer: all layers of thousands of words would not fit into memory."""
    own = 1.0 if similarity.record["metric"] != "euclidean" else 0.0
    return (square(similarity[name][layer], own) for layer in range(similarity.shape(name)[0]))


if __name__ == "__main__":
    run("matrices", main, __doc__)
