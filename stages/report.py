"""Write a page to look at: findings, figures with this run's numbers, and the similarity matrices of every layer."""

from functools import partial
from pathlib import Path

import numpy as np

from stages.artefacts.files import read_json, readable
from stages.artefacts.results import Results
from stages.artefacts.tensors import Tensors
from stages.pages.charts import library
from stages.pages.contents import layer_by_layer
from stages.pages.report import page
from stages.pipeline.stage import Stage, run
from stages.plotting.registry import figures


def main(stage: Stage) -> None:
    settings = dict(stage.values)
    keys = {"focus": "focus_layer", "alpha": "inference.alpha", "comparison": "rsa.comparison"}
    keys |= {"context": "tokens.context"}
    results = Results(stage.input, **{name: settings[key] for name, key in keys.items()})
    words, categories = results.record["words"], results.record["categories"]
    read, metric = partial(read_layer, results.similarity), results.record["metric"]
    similarity, word_map = layer_by_layer(read, results.layers, words, categories, metric, results.place)
    folders = stage.input("plots/figures"), stage.input("plots/other_theme")
    text = page(
        results,
        read_json(stage.input("data/capture.json")),
        similarity,
        word_map,
        settings,
        {name: tuple(read_image(folder / f"{name}.png") for folder in folders) for name in figures()},
        library(),
    )
    stage.output("plots/report.html").write_text(text, encoding="utf-8", newline="\n")


def read_layer(tensors: Tensors, name: str, layer: int) -> np.ndarray:
    """Read the similarities of one matrix in one layer."""
    return tensors[name][layer]


def read_image(path: Path) -> bytes:
    """Read a PNG, and check that it is whole."""
    with readable(path, "figure"):
        image = path.read_bytes()
        if not (image.startswith(b"\x89PNG") and b"IEND" in image[-8:]):
            raise ValueError("no whole PNG")
    return image


if __name__ == "__main__":
    run("report", main, __doc__)
