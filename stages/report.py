"""Write a page to look at: findings, figures with this run's numbers, and the similarity matrices of every layer."""

from pathlib import Path

from stages.artefacts.files import read_json, readable
from stages.artefacts.results import Results
from stages.pages.report import page
from stages.pipeline.stage import Stage, run
from stages.plotting.registry import figures


def main(stage: Stage) -> None:
    settings = dict(stage.values)
    given = (settings[key] for key in ("focus_layer", "inference.alpha", "rsa.comparison"))
    results = Results(stage.input, *given, context=settings["tokens.context"])
    folders = stage.input("plots/figures"), stage.input("plots/other_theme")
    images = {name: tuple(read_image(folder / f"{name}.png") for folder in folders) for name in figures()}
    text = page(results, read_json(stage.input("data/capture.json")), settings, images)
    stage.output("plots/report.html").write_text(text, encoding="utf-8", newline="\n")


def read_image(path: Path) -> bytes:
    """Read a PNG, and check that it is whole."""
    with readable(path, "figure"):
        image = path.read_bytes()
        if not (image.startswith(b"\x89PNG") and b"IEND" in image[-8:]):
            raise ValueError("no whole PNG")
    return image


if __name__ == "__main__":
    run("report", main, __doc__)
