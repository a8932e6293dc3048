"""Figures 10 and 11: the controls, and the same scores under other choices."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from stages.geometry.names import INPUT, LABELS, MATRICES, PAIRS, Scores
from stages.plotting.style import MARKS, band, layer_axis, marker_size, panels, show_limits, widened

#: How RSA to the input is drawn, by matrix.
LINES = {"q": "--", "k": ":", "v": "-."}
#: How the transforms are drawn in Figure 11: name, colour, marker; None stands for the text's colour.
TRANSFORMS = {"none": ("as they are", None, "o"), "center": ("centred", "C3", "D"), "zscore": ("z-scored", "C4", "v")}
#: And the comparisons: name, line.
COMPARISONS = {"pearson": ("Pearson", "-"), "spearman": ("Spearman", ":")}


#: What Figure 10 draws of each row's measures: the columns that its axes must hold.
SHOWN = {
    "rsa": {
        "rsa": ("value",),
        "rsa_without_bias": ("value",),
        "rsa_floor": ("low", "high"),
        "rsa_to_input": ("value",),
        "partial_rsa": ("low", "high"),
    },
    "d": {"d": ("value",), "d_without_bias": ("value",), "d_floor": ("low", "high"), "d_of_input": ("value",)},
}


def controls_profile(controls: Scores, alpha: float) -> Figure:
    """Draw Figure 10: RSA and separability over layers against what shared input alone gives.

    Parameters
    ----------
    controls : Scores
        "value", "low" and "high", arrays of shape (layers,), of the table of that name.
    alpha : float
        Ranges and intervals hold 1 - alpha.
    """
    figure, axes = panels(3, rows=2, width=13, height=8)
    text = rcParams["text.color"]
    layers = len(controls["rsa", "qk"]["value"])
    for axis, pair in zip(axes[:3], PAIRS, strict=True):
        _against_floor(axis, controls, "rsa", pair)
        for name in pair:
            to_input = controls["rsa_to_input", name]["value"]
            axis.plot(to_input, color=text, linestyle=LINES[name], label=f"{LABELS[name]} to input")
        partial = controls["partial_rsa", pair]
        band(axis, partial, "C3")
        axis.plot(partial["value"], color="C3", marker="D", markersize=0.7 * marker_size(layers))
        axis.legend(loc="best", fontsize=9)
    for axis, name in zip(axes[3:], MATRICES, strict=True):
        _against_floor(axis, controls, "d", name)
        axis.plot(controls["d_of_input", INPUT]["value"], color=text, linestyle="--")
    for axis in axes:
        axis.axhline(0, color="grey", linestyle="-", linewidth=0.8)
    ends = {
        row: [cells[column] for (name, _), cells in controls.items() for column in measures.get(name, ())]
        for row, measures in SHOWN.items()
    }
    _name_axes(axes, layers, widened(ends["rsa"], (0.0, 1.0)), widened(ends["d"], (0.0, 1.0)))
    percent = f"{100 * (1 - alpha):g} %"
    handles: list[Artist] = [
        Line2D([], [], color="grey", marker="s", label="trained"),
        Line2D([], [], color="grey", marker="s", markerfacecolor="none", linestyle="", label="without bias"),
        (Patch(color="grey", alpha=0.4, linewidth=0, label=f"random projections of\nthe input, {percent} of draws")),
        Line2D([], [], color="C3", marker="D", label=f"RSA given the input,\n{percent} interval"),
        Line2D([], [], color=text, linestyle="--", label="d of the input"),
    ]
    figure.legend(handles=handles, loc="outside right center", fontsize=10)
    figure.suptitle("Is it more than shared input?")
    return figure


def _against_floor(axis: Axes, controls: Scores, measure: str, name: str) -> None:
    """Draw a trained measure, with and without bias, over the range of random projections."""
    mark, values = MARKS[name], controls[measure, name]["value"]
    floor = controls[f"{measure}_floor", name]
    band(axis, floor, "grey", alpha=0.4)
    axis.plot(floor["value"], color="grey", linewidth=1)
    size = marker_size(len(values))
    axis.plot(values, color=mark.colour, marker=mark.marker, markersize=size)
    without = controls[f"{measure}_without_bias", name]["value"]
    axis.plot(without, mark.marker, color=mark.colour, markerfacecolor="none", markersize=1.5 * size)


def _name_axes(axes: Sequence[Axes], layers: int, rsa: tuple[float, float], d: tuple[float, float]) -> None:
    """Title a row of pairs above a row of matrices; limits are those of RSA scores and of Cohen's d."""
    for axis, name in zip(axes, (*PAIRS, *MATRICES), strict=True):
        axis.set(title=LABELS[name], ylim=show_limits(rsa if name in PAIRS else d))
        layer_axis(axis, layers)
    axes[0].set_ylabel("RSA score")
    axes[3].set_ylabel("Cohen's d")


def robustness_profile(scores: Mapping[str, np.ndarray]) -> Figure:
    """Draw Figure 11: RSA and separability over layers under every transform and two comparisons.

    Parameters
    ----------
    scores : mapping of str to ndarray, shape (layers,)
        ``{pair}_{transform}_{comparison}`` and ``{matrix}_{transform}``, the columns of `metrics/robustness.csv`.
    """
    figure, axes = panels(3, rows=2, width=13, height=8)
    layers = len(scores["q_none"])
    size = 0.8 * marker_size(layers)
    for transform, (_, colour, marker) in TRANSFORMS.items():
        style = {"color": colour or rcParams["text.color"], "marker": marker, "markersize": size}
        for axis, pair in zip(axes[:3], PAIRS, strict=True):
            for comparison, (_, line) in COMPARISONS.items():
                axis.plot(scores[f"{pair}_{transform}_{comparison}"], linestyle=line, **style)
        for axis, name in zip(axes[3:], MATRICES, strict=True):
            axis.plot(scores[f"{name}_{transform}"], **style)
    rsa = widened([values for column, values in scores.items() if column[:2] in PAIRS])
    d = widened([values for column, values in scores.items() if column[:2] not in PAIRS], (0.0, 1.0))
    _name_axes(axes, layers, rsa, d)
    handles = [
        Line2D([], [], color=colour or rcParams["text.color"], marker=marker, label=label)
        for label, colour, marker in TRANSFORMS.values()
    ] + [Line2D([], [], color="grey", linestyle=line, label=label) for label, line in COMPARISONS.values()]
    figure.legend(handles=handles, loc="outside right center")
    figure.suptitle("The same under other choices")
    return figure
