"""Figure 18: agreement and separability of several models, over relative depth."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from stages.geometry.names import LABELS, MATRICES, PAIRS
from stages.plotting.captions import listed
from stages.plotting.names import number
from stages.plotting.registry import figure
from stages.plotting.style import MARKS, panels, without_values

if TYPE_CHECKING:
    from stages.artefacts.kept import Kept
    from stages.artefacts.results import Results

#: Models side by side; more go into further rows.
ACROSS = 5


def _caption(run: "Results") -> str:
    """Return the caption: the scores of each kept run, beside those of random maps."""
    said = [
        f"{one.name} {number(one.summary['rsa'])}"
        + (f" (random maps {number(one.summary['rsa_null'])})" if "rsa_null" in one.summary else "")
        for one in run.kept
    ]
    return f"Mean RSA: {listed(said)}. Bands: maps with the trained spectra." if said else "No run has been kept."


@figure(
    18,
    "Other models",
    values=lambda run: (run.kept,),
    caption=_caption,
    alternative="A panel a model: RSA of each pair above, Cohen's d of each matrix below, over relative depth, with "
    "the range of random maps",
    at_target=False,
)
def models(kept: Sequence["Kept"]) -> Figure:
    """Draw Figure 18: for each kept run RSA of every pair, and below it Cohen's d of every matrix.

    Parameters
    ----------
    kept : sequence of Kept
    """
    if not kept:
        return without_values("no run is kept in metrics/models")
    rows = -(-len(kept) // ACROSS)
    across = min(len(kept), ACROSS)
    drawn, axes = panels(across, rows=2 * rows, width=1.5 + 3 * across, height=5 * rows)
    grid = np.reshape(axes, (2 * rows, across))
    for place, one in enumerate(kept):
        row, column = 2 * (place // ACROSS), place % ACROSS
        _panel(grid[row, column], one, "rsa", PAIRS, one.rsa)
        _panel(grid[row + 1, column], one, "d", MATRICES, one.separability)
        grid[row, column].set(title=one.name, ylim=(0, 1), ylabel="RSA score" if not column else "")
        grid[row + 1, column].set(xlabel="Relative depth", ylabel="Cohen's d" if not column else "")
    for empty in grid.T[len(kept) - across * (rows - 1) :, -2:].ravel():
        empty.axis("off")
    limits = [axis.get_ylim() for axis in grid[1::2].ravel() if axis.lines]
    for axis in grid[1::2].ravel():
        axis.set_ylim(min(0, *(low for low, _ in limits)), max(high for _, high in limits))
    keys = [
        Line2D(
            [], [], color=MARKS[pair].colour, marker=MARKS[pair].marker, label=f"{LABELS[pair]}; below {LABELS[name]}"
        )
        for pair, name in zip(PAIRS, MATRICES, strict=True)
    ]
    drawn.legend(
        handles=[*keys, Patch(color="grey", alpha=0.3, label="maps with the trained spectra")],
        loc="outside lower center",
        ncols=4,
    )
    return drawn


def _panel(axis: Axes, one: "Kept", measure: str, names: Sequence[str], scores: dict) -> None:
    """Draw the scores of one model, and behind them the mean range of random maps."""
    depth = np.linspace(0, 1, len(scores[names[0]]))
    if one.nulls:
        drawn = [one.nulls[measure, name, "spectrum"] for name in names]
        low, high = (np.mean([cells[end] for cells in drawn], axis=0) for end in ("low", "high"))
        axis.fill_between(depth, low, high, color="grey", alpha=0.3, linewidth=0)
    for name in names:
        mark = MARKS[name]
        axis.plot(depth, scores[name], color=mark.colour, marker=mark.marker, markersize=3, linewidth=1.2)
