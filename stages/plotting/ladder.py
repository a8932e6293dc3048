"""Figure 10, and part of Figure 11: what each rung of the ladder of nulls gives, and what each step adds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from stages.geometry.names import LABELS, PAIRS, Scores
from stages.plotting.captions import numbers
from stages.plotting.registry import figure
from stages.plotting.style import MARKS, band, layer_axis, marker_size, panels, show_limits, widened

if TYPE_CHECKING:
    from stages.artefacts.results import Results

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


def _caption(run: "Results") -> str:
    """Return the caption: each rung's mean over layers, and where RSA lies relative to the trained spectra."""
    gaussian, spectrum, orientation, trained = (
        numbers({pair: run.nulls["rsa", pair, rung]["value"].mean() for pair in PAIRS})
        for rung in ("gaussian", "spectrum", "orientation", "trained")
    )
    measured = run.claims["rsa_against_spectrum"]["measured"]
    places = "; ".join(
        f"{LABELS[pair]} {c['above']} above, {c['inside']} among, {c['below']} below" for pair, c in measured.items()
    )
    return (
        f"Mean RSA of any maps of the input: {gaussian}; with the trained spectra: {spectrum}; turned together: "
        f"{orientation}; as trained: {trained}. Layers that lie above, among or below maps with the trained spectra, "
        f"under every transform and comparison: {places}."
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
    """Draw Figure 10: for each pair of matrices the rungs over layers, and below them the steps between rungs.

    Parameters
    ----------
    nulls : mapping of (measure, pair, rung or step) to mapping of str to ndarray, shape (layers,)
        The table of that name in `metrics/`.
    alpha : float
        Ranges hold 1 - alpha of the draws.
    layers : sequence of int
        Their numbers.
    """
    figure, axes = panels(3, rows=2, width=13, height=8)
    for axis, below, pair in zip(axes[:3], axes[3:], PAIRS, strict=True):
        draw_ranges(axis, nulls, "rsa", pair)
        draw_trained(axis, pair, nulls["rsa", pair, "trained"]["value"])
        draw_steps(below, nulls, "rsa", pair)
    values = [cells[c] for (measure, *_), cells in nulls.items() if measure == "rsa" for c in cells if c[0] != "p"]
    sums = [part for pair in PAIRS for part in _stacks(nulls, "rsa", pair)]
    for axis in axes[:3]:
        axis.set_ylim(show_limits(widened(values, (0.4, 1.0))))
    for axis in axes[3:]:
        axis.set_ylim(show_limits(widened(sums, (-0.1, 0.1))))
        axis.axhline(0, color="grey", linewidth=0.8)
    for axis in axes:
        layer_axis(axis, layers)
    axes[0].set_ylabel("RSA score")
    axes[3].set_ylabel("Added to the RSA score")
    percent = f"{100 * (1 - alpha):g} %"
    text = rcParams["text.color"]
    rungs = [Line2D([], [], color=text, marker="s", label="trained"), *range_handles(nulls, tuple(RUNGS))]
    bold = {"title_fontproperties": {"weight": "bold", "size": 10}, "fontsize": 10, "alignment": "left"}
    figure.legend(handles=rungs, title=f"Rungs ({percent} of draws)", loc="outside right upper", **bold)
    known = [look for step, look in STEPS.items() if step != "bias" or has_bias(nulls)]
    steps: list[Artist] = [Patch(color=colour, label=name) for name, colour in known]
    steps.append(Line2D([], [], color=text, marker="D", linestyle="", label="all together"))
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
            band(axis, cells, colour, alpha=alpha)
            axis.plot(cells["value"], color=colour, linewidth=1.2)
    if has_bias(nulls) and (cells := nulls.get((measure, name, "unbiased"))):
        mark, size = MARKS[name], 1.6 * marker_size(len(cells["value"]))
        axis.plot(cells["value"], mark.marker, color=mark.colour, markerfacecolor="none", markersize=size)


def draw_trained(axis: Axes, name: str, values: np.ndarray) -> None:
    """Draw a trained measure over layers."""
    mark = MARKS[name]
    axis.plot(values, color=mark.colour, marker=mark.marker, markersize=marker_size(len(values)))
    axis.set_title(LABELS[name])


def draw_steps(axis: Axes, nulls: Scores, measure: str, name: str) -> None:
    """Stack the steps of each layer, those that add above 0 and those that take away below."""
    values = {step: nulls[f"{measure}_step", name, step]["value"] for step in STEPS}
    layers = np.arange(len(values["bias"]))
    for sign in (1, -1):
        base = np.zeros(len(layers))
        for step, added in values.items():
            part = np.where(sign * added > 0, added, 0)
            axis.bar(layers, part, bottom=base, width=0.75, color=STEPS[step][1])
            base = base + part
    total = sum(values.values())
    size = 0.7 * marker_size(len(layers))
    edge = {"markeredgecolor": rcParams["axes.facecolor"], "markeredgewidth": 1.0}
    axis.plot(layers, total, "D", color=rcParams["text.color"], markersize=size, **edge)
    axis.set_title(LABELS[name])


def _stacks(nulls: Scores, measure: str, name: str) -> list[np.ndarray]:
    """Return the upper and lower ends of the stacks, for the limits of the axes."""
    steps = np.stack([nulls[f"{measure}_step", name, step]["value"] for step in STEPS])
    return [np.maximum(steps, 0).sum(axis=0), np.minimum(steps, 0).sum(axis=0)]


def range_handles(nulls: Scores, rungs: Sequence[str]) -> list[Artist]:
    """Return the legend's entries for drawn rungs, and for what was trained without its bias if it has one."""
    ranges = [Patch(color=RUNGS[r][1], alpha=2 * RUNGS[r][2], linewidth=0, label=RUNGS[r][0]) for r in rungs]
    unbiased = {"marker": "s", "markerfacecolor": "none", "markersize": 10, "linestyle": ""}
    trained = Line2D([], [], color=rcParams["text.color"], label="trained, without bias", **unbiased)
    return [trained, *ranges] if has_bias(nulls) else ranges
