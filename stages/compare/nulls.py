"""RSA of experiments beside what their nulls give, in one figure."""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib import rcParams
from matplotlib.figure import Figure

from stages.artefacts.kept import read_nulls
from stages.compare.experiments import Experiment
from stages.geometry.names import LABELS, PAIRS, Scores
from stages.pipeline import messages
from stages.pipeline.command import writing
from stages.pipeline.errors import UserError
from stages.plotting.style import MARKS, line_key, panels, show_limits, themed, widened

NULLS = Path("metrics/nulls.csv")
WORKSPACE = "workspace"
#: What is drawn of each run: by rung, how far below its line.
SHOWN = {"trained": -0.15, "spectrum": 0.15}
#: Inches: of a row, and of all rows where there are hundreds.
ROW, MOST = 0.4, 150.0


def draw(runs: Sequence[Experiment], path: Path, theme: str) -> None:
    """Draw all runs that have nulls, and name those that have none.

    A `UserError` if no run has nulls, or the figure cannot be written.
    """
    tables = [(run.name, nulls_of(run.revision)) for run in runs]
    drawn = [(name, nulls) for name, nulls in tables if nulls]
    if not drawn:
        raise UserError(messages.NO_NULLS)
    if left := [name for name, nulls in tables if not nulls]:
        print(f"not in the figure, as they have no nulls: {', '.join(left)}")
    with writing(f"--figure {path}:"):
        path.parent.mkdir(parents=True, exist_ok=True)
        themed(theme, partial(against_nulls, drawn), path, dpi=192)
    print(f"{path} written")


def nulls_of(revision: str) -> Scores:
    """Read the table of nulls of a commit, or of the workspace; empty where there is none, or not what is drawn."""
    from dvc.scm import SCM  # a third of a second

    with tempfile.TemporaryDirectory() as folder:
        path = NULLS if revision == WORKSPACE else Path(folder) / NULLS.name
        try:
            if revision != WORKSPACE:
                path.write_bytes(SCM(".").get_fs(revision).cat_file(NULLS.as_posix()))
            nulls = read_nulls(path)
        except (FileNotFoundError, ValueError, UserError):
            return {}
    return nulls if {("rsa", pair, rung) for pair in PAIRS for rung in SHOWN} <= set(nulls) else {}


def against_nulls(runs: Sequence[tuple[str, Scores]]) -> Figure:
    """Draw the RSA of each run, from top to bottom, and below it that of its maps' spectra in random directions.

    A tick is a layer, a mark the mean over layers. Takes each run's name, and what `read_nulls` returns of it.
    """
    figure, axes = panels(3, width=13, height=2 + min(ROW * len(runs), MOST))
    colour = "grey"
    drawn = []
    for axis, pair in zip(axes, PAIRS, strict=True):
        looks = {"trained": (MARKS[pair].colour, MARKS[pair].marker), "spectrum": (colour, "D")}
        for row, (_, nulls) in enumerate(runs):
            for rung, (shade, marker) in looks.items():
                values, place = nulls["rsa", pair, rung]["value"], row + SHOWN[rung]
                axis.plot(values, np.full(len(values), place), "|", color=shade, alpha=0.6)
                axis.plot(values.mean(), place, marker, color=shade, markeredgecolor=rcParams["axes.facecolor"])
                drawn.append(values)
        axis.set(title=LABELS[pair], xlabel="RSA score", ylim=(len(runs) - 0.5, -0.5))
        axis.set_yticks(range(len(runs)), [name for name, _ in runs] if pair == PAIRS[0] else [])
        for place in range(len(runs) - 1):
            axis.axhline(place + 0.5, color="grey", linewidth=0.4)
    for axis in axes:
        axis.set_xlim(show_limits(widened(drawn, (0.4, 1.0))))
    text = rcParams["text.color"]
    handles = [
        line_key("the run's own maps", text, "s", ""),
        line_key("their spectra in random directions", colour, "D", ""),
        line_key("one layer (marks: mean of all)", text, "|", ""),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=10)
    figure.suptitle("RSA, and what spectra alone would give")
    return figure
