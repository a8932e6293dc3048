"""What figures over layers share: rows of panels, axes, limits, lines with their marks and intervals."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stages.geometry.names import LABELS, MATRICES, PAIRS, Arrays, Scores
from stages.plotting.style import MARKS, POST_LIMITS, panels, show_limits, widened

NOTHING: Mapping = MappingProxyType({})


def by_measure(layers: Sequence[int], rsa: str, d: str) -> tuple[Figure, dict[str, dict[str, Axes]]]:
    """Make panels over layers, for the RSA of each pair and below for Cohen's d of each matrix; return them by measure.

    `rsa` and `d` are what their vertical axes are called.
    """
    figure, axes = panels(3, rows=2, height=6)
    for axis, name in zip(axes, (*PAIRS, *MATRICES), strict=True):
        axis.set_title(LABELS[name])
        layer_axis(axis, layers)
    axes[0].set_ylabel(rsa)
    axes[3].set_ylabel(d)
    return figure, {"rsa": dict(zip(PAIRS, axes[:3], strict=True)), "d": dict(zip(MATRICES, axes[3:], strict=True))}


def limit(axes: Collection[Axes], least: tuple[float, float] = POST_LIMITS) -> None:
    """Set the same vertical limits everywhere: `least`, `widened` to hold all that is drawn."""
    drawn = [axis.dataLim.intervaly.round(9) for axis in axes]  # of a line at 0 it may say -5e-17
    limits = show_limits(widened(drawn, least))
    for axis in axes:
        axis.set_ylim(limits)


def layer_axis(axes: Axes, layers: Sequence[int]) -> None:
    """Name the horizontal axis, in the last row of panels, whole layers only."""
    last = axes.get_subplotspec().is_last_row()
    axes.set(xlabel="Transformer layer" if last else "", xlim=(-0.5, len(layers) - 0.5))
    number_layers(axes.xaxis, layers)


def number_layers(axis: Axis, numbers: Sequence[int]) -> None:
    """Mark places on an axis by the numbers of what stands there: the layers that attend, side by side."""
    axis.set_major_locator(MaxNLocator(integer=True, nbins=9, min_n_ticks=1))
    axis.set_major_formatter(lambda place, _: str(numbers[int(place)]) if place in range(len(numbers)) else "")


def over_layers(
    axes: Axes, layers: Sequence[int], scores: Arrays, known: Scores = NOTHING, of: str = "", alpha: float | None = None
) -> None:
    """Draw matrices or pairs over layers: values of shape (layers,) by name, which are `of` a measure."""
    for name, values in scores.items():
        profile(axes, name, values, known.get((of, name), NOTHING), alpha)
    layer_axis(axes, layers)


def profile(axes: Axes, name: str, values: np.ndarray, known: Arrays = NOTHING, alpha: float | None = None) -> None:
    """Draw a matrix or pair, a key of `MARKS`, over layers: values of shape (layers,).

    What is `known` of it may have "low" and "high", drawn as thin lines, side by side with those of others; and
    "p_familywise": with a level `alpha`, marks are hollow where it is larger.
    """
    colour, marker = MARKS[name]
    look = {"color": colour, "marker": marker, "markersize": marker_size(len(values))}
    layers = np.arange(len(values)) + (0.15 * ([*MARKS].index(name) % 3 - 1) if "low" in known else 0)
    axes.plot(layers, values, **look)
    if "low" in known:
        thin = 1 if len(values) <= 24 else 0.5
        axes.vlines(layers, known["low"], known["high"], color=colour, linewidth=thin, alpha=0.7)
    if alpha is not None and "p_familywise" in known:
        hollow = known["p_familywise"] > alpha
        axes.plot(layers[hollow], values[hollow], mfc=rcParams["axes.facecolor"], linestyle="", **look)


def dashed(axis: Axes, ends: Iterable[np.ndarray]) -> None:
    """Draw where random maps lie: the ends of a range, shape (layers,) each."""
    for end in ends:
        axis.plot(end, marker=lone(end), color="grey", linestyle="--", zorder=1)


def lone(values: np.ndarray) -> str:
    """Return the marker without which a line over a single layer is not seen."""
    return "_" if len(values) == 1 else ""


def marker_size(layers: int) -> int:
    """Return a size of marks that do not run into each other."""
    return 4 if layers > 24 else 7


def zero(axes: Iterable[Axes]) -> None:
    """Draw a grey line at 0."""
    for axis in axes:
        axis.axhline(0, color="grey", linewidth=0.8, zorder=1)
