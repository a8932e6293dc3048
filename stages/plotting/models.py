"""Figure 18: agreement and separability of several models, over relative depth."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages.artefacts.kept import Kept
from stages.artefacts.results import Results
from stages.geometry.names import LABELS, MATRICES, PAIRS
from stages.plotting.captions import listed
from stages.plotting.names import number
from stages.plotting.registry import figure, without_values
from stages.plotting.style import MARKS, area_key, line_key, panels

#: Models side by side; more go into further rows.
ACROSS = 3


def _caption(run: Results) -> str:
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
def models(kept: Sequence[Kept]) -> Figure:
    """Draw Figure 18: for each kept run RSA of every pair, and below it Cohen's d of every matrix."""
    if not kept:
        return without_values("no run is kept in metrics/models")
    rows, across = -(-len(kept) // ACROSS), min(len(kept), ACROSS)
    drawn, axes = panels(across, rows=2 * rows, width=1.5 + 3 * across, height=5 * rows)
    grid = np.reshape(axes, (rows, 2, across)).swapaxes(1, 2).reshape(-1, 2)
    for place, (one, (above, below)) in enumerate(zip(kept, grid, strict=False)):
        first = place % across == 0
        _panel(above, one, "rsa", PAIRS, one.rsa)
        _panel(below, one, "d", MATRICES, one.separability)
        above.set(title=one.name, ylim=(0, 1), ylabel="RSA score" if first else "")
        below.set(xlabel="Relative depth", ylabel="Cohen's d" if first else "")
    for empty in grid[len(kept) :].ravel():
        empty.axis("off")
    limits = [axis.get_ylim() for axis in grid[: len(kept), 1]]
    for axis in grid[:, 1]:
        axis.set_ylim(min(0, *(low for low, _ in limits)), max(high for _, high in limits))
    keys = [
        line_key(f"{LABELS[pair]}; below {LABELS[name]}", MARKS[pair].colour, MARKS[pair].marker)
        for pair, name in zip(PAIRS, MATRICES, strict=True)
    ]
    band = area_key("maps with the trained spectra", linewidth=1)
    drawn.legend(handles=[*keys, band], loc="outside lower center", ncols=4)
    return drawn


def _panel(axis: Axes, one: Kept, measure: str, names: Sequence[str], scores: dict) -> None:
    """Draw the scores of one model, and behind them the mean range of random maps."""
    depth = np.linspace(0, 1, len(scores[names[0]]))
    if one.nulls:
        ends = [[one.nulls[measure, name, "spectrum"][end] for name in names] for end in ("low", "high")]
        axis.fill_between(depth, *np.mean(ends, axis=1), color="grey", alpha=0.3, linewidth=0)
    for name in names:
        _, colour, marker = MARKS[name]
        axis.plot(depth, scores[name], color=colour, marker=marker, markersize=3, linewidth=1.2)
