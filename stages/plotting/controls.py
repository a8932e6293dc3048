"""Figures 11 and 12: the controls, and the same scores under other choices."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from stages.geometry.comparison import COMPARISONS, robust
from stages.geometry.names import INPUT, LABELS, MATRICES, PAIRS, Scores
from stages.geometry.transforms import TRANSFORMS
from stages.plotting.captions import counts, means, numbers
from stages.plotting.ladder import draw_ranges, draw_trained, range_handles
from stages.plotting.names import number
from stages.plotting.registry import figure
from stages.plotting.style import band, layer_axis, marker_size, panels, show_limits, widened

if TYPE_CHECKING:
    from stages.artefacts.results import Results

#: How RSA to the input is drawn, by matrix.
LINES = {"q": "--", "k": ":", "v": "-."}
#: How the transforms of Figure 12 are drawn, in their order: colour (None is the text's) and marker.
LOOKS = dict(zip(TRANSFORMS, cycle([(None, "o"), ("C3", "D"), ("C4", "v"), ("C5", "s"), ("C6", "^"), ("C7", "X")])))
#: And the comparisons: line.
STROKES = dict(zip(robust(), cycle(["-", ":", "--", "-."])))


def _of_input(run: "Results") -> str:
    partial = {pair: run.controls["partial_rsa", pair] for pair in PAIRS}
    above, below = {p: c["low"] > 0 for p, c in partial.items()}, {p: c["high"] < 0 for p, c in partial.items()}
    return (
        f"RSA given the input: interval above 0 (of {run.layers} layers) {counts(above)}; below 0 {counts(below)}. "
        f"Mean Cohen's d {numbers(means(MATRICES, run.separability))}; of the input "
        f"{number(run.controls['d_of_input', INPUT]['value'].mean())}."
    )


@figure(
    11,
    "Is it in the input already?",
    values=lambda run: (run.controls, run.nulls, run.alpha, run.numbers),
    caption=_of_input,
    alternative="Lines over layers for each pair and matrix: RSA, RSA to the input and given it; Cohen's d"
    " of matrices and input",
    table="controls",
)
def controls(controls: Scores, nulls: Scores, alpha: float, layers: Sequence[int]) -> Figure:
    """Draw Figure 11: RSA and separability over layers, and what is known of their input.

    Parameters
    ----------
    controls, nulls : Scores
        The tables of these names in `metrics/`; without nulls, effect sizes stand without their rungs.
    alpha : float
        Ranges and intervals hold 1 - alpha.
    layers : sequence of int
        Their numbers.
    """
    figure, axes = panels(3, rows=2, width=13, height=8)
    text = rcParams["text.color"]
    for axis, pair in zip(axes[:3], PAIRS, strict=True):
        draw_trained(axis, pair, controls["rsa", pair]["value"])
        for name in pair:
            to_input = controls["rsa_to_input", name]["value"]
            axis.plot(to_input, color=text, linestyle=LINES[name], label=f"{LABELS[name]} to input")
        partial = controls["partial_rsa", pair]
        band(axis, partial, "C3")
        axis.plot(partial["value"], color="C3", marker="D", markersize=0.7 * marker_size(len(layers)))
        axis.legend(loc="best", fontsize=9)
    for axis, name in zip(axes[3:], MATRICES, strict=True):
        draw_ranges(axis, nulls, "d", name)
        draw_trained(axis, name, controls["d", name]["value"])
        axis.plot(controls["d_of_input", INPUT]["value"], color=text, linestyle="--")
    for axis in axes:
        axis.axhline(0, color="grey", linestyle="-", linewidth=0.8)
    columns = {"rsa": "value", "rsa_to_input": "value", "partial_rsa": "low", "d": "value", "d_of_input": "value"}
    rsa = [cells[columns[m]] for (m, _), cells in controls.items() if m in columns and "rsa" in m]
    d = [cells[columns[m]] for (m, _), cells in controls.items() if m in columns and "rsa" not in m]
    d += [cells[end] for (m, *_), cells in nulls.items() if m == "d" and "low" in cells for end in ("low", "high")]
    _name_axes(axes, layers, widened(rsa, (0.0, 1.0)), widened(d, (0.0, 1.0)))
    percent = f"{100 * (1 - alpha):g} %"
    above: list[Artist] = [
        Line2D([], [], color="grey", marker="s", label="trained"),
        Line2D([], [], color="C3", marker="D", label=f"RSA given the input,\n{percent} interval"),
    ]
    below: list[Artist] = [Line2D([], [], color=text, linestyle="--", label="d of the input")]
    below += range_handles(nulls, ("gaussian", "spectrum")) if nulls else []
    figure.legend(handles=above, loc="outside right upper", fontsize=10)
    figure.legend(handles=below, loc="outside right lower", fontsize=10)
    figure.suptitle("Is it in the input already?")
    return figure


def _name_axes(axes: Sequence[Axes], layers: Sequence[int], rsa: tuple[float, float], d: tuple[float, float]) -> None:
    """Title a row of pairs above a row of matrices; limits are those of RSA scores and of Cohen's d."""
    for axis, name in zip(axes, (*PAIRS, *MATRICES), strict=True):
        axis.set(title=LABELS[name], ylim=show_limits(rsa if name in PAIRS else d))
        layer_axis(axis, layers)
    axes[0].set_ylabel("RSA score")
    axes[3].set_ylabel("Cohen's d")


def _of_choices(run: "Results") -> str:
    def means_of(columns: Mapping[str, Sequence[str]]) -> str:
        means = {choice: np.mean([run.robustness[column] for column in names]) for choice, names in columns.items()}
        return ", ".join(f"{transform.label} {number(means[choice])}" for choice, transform in TRANSFORMS.items())

    rsa = means_of({choice: [f"{pair}_{choice}_pearson" for pair in PAIRS] for choice in TRANSFORMS})
    d = means_of({choice: [f"{name}_{choice}" for name in MATRICES] for choice in TRANSFORMS})
    return f"Mean RSA (Pearson's r) of vectors {rsa}; mean Cohen's d {d}."


@figure(
    12,
    "The same under other choices",
    values=lambda run: (run.robustness, run.numbers),
    caption=_of_choices,
    alternative="Lines over layers for each pair and matrix, under every transform and comparison",
    table="robustness",
)
def robustness(scores: Mapping[str, np.ndarray], layers: Sequence[int]) -> Figure:
    """Draw Figure 12: RSA and separability over layers under every transform and comparison.

    Parameters
    ----------
    scores : mapping of str to ndarray, shape (layers,)
        ``{pair}_{transform}_{comparison}`` and ``{matrix}_{transform}``, the columns of `metrics/robustness.csv`.
    layers : sequence of int
        Their numbers.
    """
    figure, axes = panels(3, rows=2, width=13, height=8)
    size = 0.8 * marker_size(len(layers))
    for transform, (colour, marker) in LOOKS.items():
        style = {"color": colour or rcParams["text.color"], "marker": marker, "markersize": size}
        for axis, pair in zip(axes[:3], PAIRS, strict=True):
            for comparison, line in STROKES.items():
                axis.plot(scores[f"{pair}_{transform}_{comparison}"], linestyle=line, **style)
        for axis, name in zip(axes[3:], MATRICES, strict=True):
            axis.plot(scores[f"{name}_{transform}"], **style)
    rsa = widened([values for column, values in scores.items() if column[:2] in PAIRS])
    d = widened([values for column, values in scores.items() if column[:2] not in PAIRS], (0.0, 1.0))
    _name_axes(axes, layers, rsa, d)
    handles = [
        Line2D([], [], color=colour or rcParams["text.color"], marker=marker, label=TRANSFORMS[transform].label)
        for transform, (colour, marker) in LOOKS.items()
    ] + [Line2D([], [], color="grey", linestyle=line, label=COMPARISONS[name].short) for name, line in STROKES.items()]
    figure.legend(handles=handles, loc="outside right center")
    figure.suptitle("The same under other choices")
    return figure
