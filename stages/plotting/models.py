"""Figure 18: agreement and separability of several models, over relative depth."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages.artefacts.kept import Kept
from stages.artefacts.results import Results
from stages.geometry.names import MATRICES, PAIRS
from stages.plotting.captions import listed, span
from stages.plotting.names import number
from stages.plotting.registry import figure, without_values
from stages.plotting.style import MARKS, explain, line_key, mark_keys, panels, shortened

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
    drawn, axes = panels(across, rows=2 * rows, height=4.6 * rows + 0.8)
    grid = np.reshape(axes, (rows, 2, across)).swapaxes(1, 2).reshape(-1, 2)
    for place, (one, (above, below)) in enumerate(zip(kept, grid, strict=False)):
        first = place % across == 0
        _panel(above, one, "rsa", PAIRS, one.rsa)
        _panel(below, one, "d", MATRICES, one.separability)
        above.set(ylim=(0, 1), ylabel="RSA score" if first else "")
        above.set_title(shortened([one.name], 27)[0], fontsize=11)
        below.set(xlabel="Relative depth", ylabel="Cohen's d" if first else "")
    for empty in grid[len(kept) :].ravel():
        empty.axis("off")
    limits = [axis.get_ylim() for axis in grid[: len(kept), 1]]
    for axis in grid[:, 1]:
        axis.set_ylim(min(0, *(low for low, _ in limits)), max(high for _, high in limits))
    keys = [*mark_keys((*PAIRS, *MATRICES)), line_key("random maps with the trained spectra", linewidth=8, alpha=0.4)]
    more = [one.summary["rsa"] - one.summary["rsa_null"] for one in kept if "rsa_null" in one.summary]
    said = f"{len(kept)} runs" + (f": mean RSA less that of random maps {span([more])}" if more else "")
    explain(drawn, said, keys)
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
