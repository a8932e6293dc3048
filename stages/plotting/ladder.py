"""Figure 10, and what other figures show of the ladder of nulls: what each rung gives, and what each step adds."""

from collections.abc import Sequence

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from stages.artefacts.results import Results
from stages.geometry.names import PAIRS, Scores
from stages.plotting.captions import numbers, places
from stages.plotting.layers import band, limit, marker_size, over_layers, profile, zero
from stages.plotting.registry import figure
from stages.plotting.style import MARKS, area_key, line_key, percent

#: The drawn rungs: name, colour and opacity of the range.
RUNGS = {
    "gaussian": ("any map:\nGaussian projections", "grey", 0.22),
    "spectrum": ("trained spectra,\nindependent directions", "C3", 0.3),
    "orientation": ("the same, directions\nshared as trained", "C4", 0.3),
}
#: The steps: name and colour, a drawn rung's where one leads to it.
STEPS = {
    "narrow spectrum": ("narrow spectra", "C3"),
    "shared directions": ("shared directions", "C4"),
    "alignment": ("alignment with\nthe input", "#2aa198"),
    "bias": ("bias", "grey"),
}


def _caption(run: Results) -> str:
    """Return the caption: each rung's mean over layers, and where RSA lies relative to the trained spectra."""
    gaussian, spectrum, orientation, trained = (
        numbers({pair: run.nulls["rsa", pair, rung]["value"].mean() for pair in PAIRS})
        for rung in ("gaussian", "spectrum", "orientation", "trained")
    )
    return (
        f"Mean RSA of any maps of the input: {gaussian}; with the trained spectra: {spectrum}; turned together: "
        f"{orientation}; as trained: {trained}. Layers that lie above, among or below maps with the trained spectra, "
        f"under every transform and comparison: {places(run, 'rsa', PAIRS)}."
    )


@figure(
    10,
    "Where the agreement comes from",
    values=lambda run: (run.nulls, run.alpha, run.numbers),
    caption=_caption,
    alternative="Lines over layers for each pair: RSA with the ranges of three nulls, and below them the steps "
    "from one to the next as stacked bars",
    table="nulls",
)
def ladder(nulls: Scores, alpha: float, layers: Sequence[int]) -> Figure:
    """Draw Figure 10: for each pair the rungs over layers, and below them the steps between rungs.

    `nulls` is the table of that name, by measure, pair, and rung or step; ranges hold 1 - alpha of the draws.
    """
    rows = (("RSA score", PAIRS), ("Added to the RSA score", PAIRS))
    figure, (above, below) = over_layers(rows, layers, height=8)
    for pair in PAIRS:
        draw_ranges(above[pair], nulls, "rsa", pair)
        profile(above[pair], pair, nulls["rsa", pair, "trained"]["value"])
    values = [cells[c] for (measure, *_), cells in nulls.items() if measure == "rsa" for c in cells if c[0] != "p"]
    limit(above.values(), values, (0.4, 1.0))
    limit(below.values(), [end for pair in PAIRS for end in _draw_steps(below[pair], nulls, pair)], (-0.1, 0.1))
    zero(below.values())
    text = rcParams["text.color"]
    rungs = [line_key("trained", text, "s"), *range_keys(nulls, tuple(RUNGS))]
    bold = {"title_fontproperties": {"weight": "bold", "size": 10}, "fontsize": 10, "alignment": "left"}
    figure.legend(handles=rungs, title=f"Rungs ({percent(alpha)} of draws)", loc="outside right upper", **bold)
    known = [look for step, look in STEPS.items() if step != "bias" or has_bias(nulls)]
    steps: list[Artist] = [Patch(color=colour, label=name) for name, colour in known]
    steps.append(line_key("all together", text, "D", line=""))
    figure.legend(handles=steps, title="Steps", loc="outside right lower", **bold)
    figure.suptitle("Where the agreement comes from")
    return figure


def has_bias(nulls: Scores) -> bool:
    """Return whether the model's Q, K and V have biases, which the nulls have not: without, their step is 0."""
    return any(cells["value"].any() for (*_, rung), cells in nulls.items() if rung == "bias")


def draw_ranges(axis: Axes, nulls: Scores, measure: str, name: str) -> None:
    """Draw the ranges and means of the drawn rungs, and what was trained without its bias; nothing without nulls."""
    for rung, (_, colour, alpha) in RUNGS.items():
        if cells := nulls.get((measure, name, rung)):
            band(axis, cells, colour, alpha)
            axis.plot(cells["value"], color=colour, linewidth=1.2)
    if has_bias(nulls) and (cells := nulls.get((measure, name, "unbiased"))):
        _, colour, marker = MARKS[name]
        size = 1.6 * marker_size(len(cells["value"]))
        axis.plot(cells["value"], marker, color=colour, markerfacecolor="none", markersize=size)


def _draw_steps(axis: Axes, nulls: Scores, pair: str) -> list[np.ndarray]:
    """Stack the steps of each layer, those that add above 0 and those that take away below; return the stacks' ends."""
    steps = {step: nulls["rsa_step", pair, step]["value"] for step in STEPS}
    layers, ends = np.arange(len(steps["bias"])), []
    for sign in (1, -1):
        end = np.zeros(len(layers))
        for step, added in steps.items():
            part = np.where(sign * added > 0, added, 0)
            axis.bar(layers, part, bottom=end, width=0.75, color=STEPS[step][1])
            end = end + part
        ends.append(end)
    size, edge = 0.7 * marker_size(len(layers)), {"markeredgecolor": rcParams["axes.facecolor"], "markeredgewidth": 1.0}
    axis.plot(layers, sum(steps.values()), "D", color=rcParams["text.color"], markersize=size, **edge)
    return ends


def range_keys(nulls: Scores, rungs: Sequence[str]) -> list[Artist]:
    """Return the legend's entries for drawn rungs, and for what was trained without its bias if it has one."""
    ranges = [area_key(label, colour, 2 * alpha) for label, colour, alpha in map(RUNGS.__getitem__, rungs)]
    look = {"marker": "s", "line": "", "markerfacecolor": "none", "markersize": 10}
    return [line_key("trained, without bias", rcParams["text.color"], **look), *ranges] if has_bias(nulls) else ranges
