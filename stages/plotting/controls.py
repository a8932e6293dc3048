"""Figures 10 and 11: the controls, and the same scores under other choices."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from stages.plotting.style import MARKS, MATRICES, PAIRS, band, layer_axis, marker_size, panels, show_limits, widened

Measures = Mapping[str, Mapping[str, Mapping[str, np.ndarray]]]

#: How RSA to the input is drawn, by matrix.
LINES = {"q": "--", "k": ":", "v": "-."}
#: How the transforms are drawn in Figure 11: name, colour, marker; None stands for the text's colour.
TRANSFORMS = {"none": ("as they are", None, "o"), "center": ("centred", "C3", "D"), "zscore": ("z-scored", "C4", "v")}
#: And the comparisons: name, line.
COMPARISONS = {"pearson": ("Pearson", "-"), "spearman": ("Spearman", ":")}


def controls_profile(controls: Measures, alpha: float) -> Figure:
    """Draw Figure 10: RSA and separability over layers against what shared input alone gives.

    Parameters
    ----------
    controls : mapping
        By measure, by matrix or pair: "value", "low" and "high", arrays of shape (layers,); of the table of that name.
    alpha : float
        Ranges and intervals hold 1 - alpha.
    """
    figure, axes = panels(3, rows=2, width=13, height=8)
    text = rcParams["text.color"]
    layers = len(controls["rsa"]["qk"]["value"])
    for axis, pair in zip(axes[:3], PAIRS, strict=True):
        _against_floor(axis, controls, "rsa", pair)
        for name in pair:
            to_input = controls["rsa_to_input"][name]["value"]
            axis.plot(to_input, color=text, linestyle=LINES[name], label=f"{MARKS[name].label} to input")
        partial = controls["partial_rsa"][pair]
        band(axis, partial, "C3")
        axis.plot(partial["value"], color="C3", marker="D", markersize=0.7 * marker_size(layers))
        axis.axhline(0, color="grey", linestyle="-", linewidth=0.8)
        axis.set_title(MARKS[pair].label)
        axis.legend(loc="best", fontsize=9)
    for axis, name in zip(axes[3:], MATRICES, strict=True):
        _against_floor(axis, controls, "d", name)
        axis.plot(controls["d_of_input"]["x"]["value"], color=text, linestyle="--")
        axis.axhline(0, color="grey", linestyle="-", linewidth=0.8)
        axis.set_title(MARKS[name].label)
    rsa = _values(controls, ("rsa", "rsa_without_bias", "rsa_floor", "rsa_to_input", "partial_rsa"))
    d = _values(controls, ("d", "d_without_bias", "d_floor", "d_of_input"))
    for axis in axes[:3]:
        axis.set_ylim(show_limits(widened(rsa, (0.0, 1.0))))
    for axis in axes[3:]:
        axis.set_ylim(show_limits(widened(d, (0.0, 1.0))))
    for axis in axes:
        layer_axis(axis, layers)
    axes[0].set_ylabel("RSA score")
    axes[3].set_ylabel("Cohen's d")
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


def _values(controls: Measures, measures: Sequence[str]) -> list[np.ndarray]:
    """List what Figure 10 draws of some measures, for the limits of its axes: values, and ranges where drawn."""
    columns = {"partial_rsa": ("low", "high"), "rsa_floor": ("low", "high"), "d_floor": ("low", "high")}
    return [
        cells[column]
        for measure in measures
        for cells in controls[measure].values()
        for column in columns.get(measure, ("value",))
    ]


def _against_floor(axis: Axes, controls: Measures, measure: str, name: str) -> None:
    """Draw a trained measure, with and without bias, over the range of random projections."""
    mark, values = MARKS[name], controls[measure][name]["value"]
    floor = controls[f"{measure}_floor"][name]
    band(axis, floor, "grey", alpha=0.4)
    axis.plot(floor["value"], color="grey", linewidth=1)
    size = marker_size(len(values))
    axis.plot(values, color=mark.colour, marker=mark.marker, markersize=size)
    without = controls[f"{measure}_without_bias"][name]["value"]
    axis.plot(without, mark.marker, color=mark.colour, markerfacecolor="none", markersize=1.5 * size)


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
    for row, names in ((axes[:3], PAIRS), (axes[3:], MATRICES)):
        for axis, name in zip(row, names, strict=True):
            axis.set_title(MARKS[name].label)
            layer_axis(axis, layers)
    limits = show_limits(widened([values for column, values in scores.items() if column[:2] in PAIRS]))
    d = show_limits(widened([values for column, values in scores.items() if column[:2] not in PAIRS], (0.0, 1.0)))
    for axis in axes[:3]:
        axis.set_ylim(limits)
    for axis in axes[3:]:
        axis.set_ylim(d)
    axes[0].set_ylabel("RSA score")
    axes[3].set_ylabel("Cohen's d")
    handles = [
        Line2D([], [], color=colour or rcParams["text.color"], marker=marker, label=label)
        for label, colour, marker in TRANSFORMS.values()
    ] + [Line2D([], [], color="grey", linestyle=line, label=label) for label, line in COMPARISONS.values()]
    figure.legend(handles=handles, loc="outside right center")
    figure.suptitle("The same under other choices")
    return figure
