"""What figures over layers share: rows of panels, axes, limits, lines with their marks and bands."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stages.geometry.names import LABELS
from stages.plotting.style import MARKS, POST_LIMITS, panels, show_limits, widened


def over_layers(
    rows: Sequence[tuple[str, Sequence[str]]], layers: Sequence[int], height: float
) -> tuple[Figure, list[dict[str, Axes]]]:
    """Make rows of three panels over layers: of each its vertical axis's label, and the matrices or pairs in it."""
    figure, axes = panels(3, rows=len(rows), width=13, height=height)
    found = [dict(zip(names, axes[3 * row :], strict=False)) for row, (_, names) in enumerate(rows)]
    for row, (label, names) in zip(found, rows, strict=True):
        for name, axis in row.items():
            axis.set_title(LABELS[name])
            layer_axis(axis, layers)
        row[names[0]].set_ylabel(label)
    return figure, found


def limit(axes: Iterable[Axes], values: Iterable[np.ndarray], least: tuple[float, float] | None = POST_LIMITS) -> None:
    """Set the same vertical limits everywhere: `least`, `widened` to hold all values."""
    limits = show_limits(widened(values, least))
    for axis in axes:
        axis.set_ylim(limits)


def layer_axis(axes: Axes, layers: Sequence[int]) -> None:
    """Name the horizontal axis, whole layers only."""
    axes.set(xlabel="Transformer layer", xlim=(-0.5, len(layers) - 0.5))
    number_layers(axes.xaxis, layers)


def number_layers(axis: Axis, numbers: Sequence[int]) -> None:
    """Mark places on an axis by the numbers of what stands there: the layers that attend, side by side."""
    axis.set_major_locator(MaxNLocator(integer=True, nbins=9, min_n_ticks=1))
    axis.set_major_formatter(lambda place, _: str(numbers[int(place)]) if place in range(len(numbers)) else "")


def legend_below(axis: Axes, more: Iterable[Artist] = ()) -> None:
    """Place the legend below the panel, where it hides no line."""
    handles, _ = axis.get_legend_handles_labels()
    axis.legend(handles=[*handles, *more], loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=4, fontsize=10)


def profile(
    axes: Axes,
    name: str,
    values: np.ndarray,
    known: Mapping[str, np.ndarray] | None = None,
    alpha: float | None = None,
    size: float = 1,
) -> None:
    """Draw a matrix or pair, a key of `MARKS`, over layers: values of shape (layers,).

    What is `known` of it may have "low" and "high", drawn as a band, and "p_familywise": with a level `alpha`, marks
    are hollow where it is larger. `size` is that of the marks, relative to others'.
    """
    label, colour, marker = MARKS[name]
    points = size * marker_size(len(values))
    axes.plot(values, color=colour, marker=marker, markersize=points, label=label)
    if known and "low" in known:
        band(axes, known, colour)
    if known and "p_familywise" in known and alpha is not None:
        hollow = np.flatnonzero(known["p_familywise"] > alpha)
        axes.plot(hollow, values[hollow], marker, color=colour, mfc=rcParams["axes.facecolor"], ms=points)


def band(axes: Axes, interval: Mapping[str, np.ndarray], colour: str, alpha: float = 0.14) -> None:
    """Shade between "low" and "high", shape (layers,)."""
    layers = np.arange(len(interval["low"]))
    axes.fill_between(layers, interval["low"], interval["high"], color=colour, alpha=alpha, linewidth=0)
    for end in ("low", "high"):
        axes.plot(layers, interval[end], color=colour, alpha=0.5, linewidth=0.7)


def marker_size(layers: int) -> int:
    """Return a size of marks that do not run into each other."""
    return 4 if layers > 24 else 7


def zero(axes: Iterable[Axes], width: float = 0.8, style: str = "-") -> None:
    """Draw a grey line at 0."""
    for axis in axes:
        axis.axhline(0, color="grey", linestyle=style, linewidth=width)
