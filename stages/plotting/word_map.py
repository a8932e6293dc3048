"""Figure 14: words as points in a plane, and names that do not hide each other."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from stages.geometry.names import LABELS
from stages.geometry.scaling import MANY_WORDS
from stages.plotting.names import number
from stages.plotting.style import panels

#: How many words are named where only extremes are.
EXTREMES = 12
#: Points of room that a name keeps from a mark.
ROOM = 3.0
MARKERS = "os^DvPX"


def word_map(
    points: Mapping[str, np.ndarray],
    stress: Mapping[str, float],
    words: Sequence[str],
    categories: Sequence[str],
    layer: int,
) -> Figure:
    """Draw Figure 14: the words' map in each matrix.

    Parameters
    ----------
    points : mapping of "q", "k", "v" to ndarray, shape (words, 2)
        Laid over each other.
    stress : mapping of "q", "k", "v" to float
    words, categories : sequence of str, length words
    layer : int
    """
    figure, axes = panels(3, width=13, height=5.2)
    order = list(dict.fromkeys(categories))
    places = np.array([order.index(category) for category in categories])
    looks = [(colour, MARKERS[place % len(MARKERS)]) for place, colour in enumerate(colours(len(order)))]
    everything = np.concatenate(list(points.values()))
    centre = (everything.max(axis=0) + everything.min(axis=0)) / 2
    reach = 1.1 * np.ptp(everything, axis=0).max() / 2
    for axis, (name, values) in zip(axes, points.items(), strict=True):
        for place, (colour, marker) in enumerate(looks):
            some = values[places == place].T
            axis.plot(*some, marker, color=colour, markersize=6 if len(words) < MANY_WORDS else 4, alpha=0.9)
        axis.spines[:].set_visible(False)
        axis.set(title=f"{LABELS[name]} (stress {number(stress[name])})", xticks=[], yticks=[])
        axis.set(xlim=centre[0] + [-reach, reach], ylim=centre[1] + [-reach, reach], aspect="equal")
    keys = [
        Line2D([], [], color=colour, marker=marker, linestyle="", label=category)
        for category, (colour, marker) in zip(order, looks, strict=True)
    ]
    figure.legend(handles=keys, loc="outside lower center", ncols=min(len(keys), 8), fontsize=10)
    figure.suptitle(f"Which words are near each other, layer {layer}")
    figure.draw_without_rendering()  # where the names go depends on where the axes have come to lie
    figure.set_layout_engine("none")
    for axis, values in zip(axes, points.values(), strict=True):
        named = np.arange(len(words)) if len(words) < MANY_WORDS else extremes(values)
        write_names(axis, values, [words[place] for place in named], named)
    return figure


def colours(categories: int) -> list:
    """Return a colour for each category: the theme's, or of more than it has, evenly spaced hues."""
    cycle = rcParams["axes.prop_cycle"].by_key()["color"]
    return (
        cycle[:categories]
        if categories <= len(cycle)
        else list(matplotlib.colormaps["turbo"](np.linspace(0.05, 0.95, categories)))
    )


def extremes(points: np.ndarray) -> np.ndarray:
    """Return the word farthest out in each direction."""
    sector = np.floor((np.arctan2(points[:, 1], points[:, 0]) / (2 * np.pi) % 1) * EXTREMES).astype(int)
    far = np.linalg.norm(points, axis=1)
    return np.array([max(np.flatnonzero(sector == one), key=far.__getitem__) for one in np.unique(sector)])


def write_names(axis: Axes, points: np.ndarray, names: Sequence[str], named: np.ndarray) -> None:
    """Write names beside their points, moved apart where they would overlap; a line leads back from afar."""
    figure = axis.figure
    scale = figure.dpi / 72
    style = {"textcoords": "offset points", "ha": "center", "va": "center", "fontsize": 8}
    texts = [
        axis.annotate(name, points[place], xytext=(0, 0), **style) for name, place in zip(names, named, strict=True)
    ]
    boxes = [text.get_window_extent() for text in texts]
    half = np.array([[box.width, box.height] for box in boxes]) / scale / 2 + ROOM / 4
    shown = axis.transData.transform(points) / scale
    frame = axis.get_window_extent().get_points() / scale
    for text, place, centre in zip(texts, named, spread(shown, named, half, frame), strict=True):
        offset = centre - shown[place]
        text.set_position(offset)
        if np.linalg.norm(offset) > 20:
            middle = axis.transData.inverted().transform(centre * scale)
            axis.plot(*np.transpose([points[place], middle]), color="grey", linewidth=0.6, zorder=0.5)


def spread(points: np.ndarray, named: np.ndarray, half: np.ndarray, frame: np.ndarray, steps: int = 500) -> np.ndarray:
    """Push rectangles apart, and away from points, until none overlaps or the steps are over.

    Parameters
    ----------
    points : ndarray, shape (points, 2)
    named : ndarray of int, shape (names,)
        Whose names they are.
    half : ndarray, shape (names, 2)
        Half of their width and height.
    frame : ndarray, shape (2, 2)
        Lower left and upper right corner of where they may be.
    steps : int

    Returns
    -------
    ndarray of float64, shape (names, 2)
        Their centres, in the unit of the points.
    """
    home = points[named] + np.array([0, 1]) * (half + ROOM)
    centres = home.copy()
    earlier = np.sign(np.subtract.outer(np.arange(len(named)), np.arange(len(named)))) + np.eye(len(named))
    for step in range(steps):
        apart, room = centres[:, None] - centres, half[:, None] + half
        from_names = _push(apart, room, np.where(apart == 0, earlier[..., None], np.sign(apart)))
        from_names[np.diag_indices(len(named))] = 0
        away = centres[:, None] - points
        from_points = _push(away, half[:, None] + ROOM, np.where(away == 0, 1, np.sign(away)))
        early = max(1 - 2 * step / steps, 0)  # at first names stay near home and off the marks, last off each other
        moves = 0.5 * from_names.sum(axis=1) + 0.3 * max(early, 0.1) * from_points.sum(axis=1)
        if not moves.any():
            break
        centres = np.clip(centres + moves + 0.05 * early * (home - centres), frame[0] + half, frame[1] - half)
    return centres


def _push(apart: np.ndarray, room: np.ndarray, sign: np.ndarray) -> np.ndarray:
    """Return how far each must move along the axis on which it overlaps less, shape (..., 2)."""
    overlap = room - np.abs(apart)
    both = (overlap > 0).all(axis=-1, keepdims=True)
    shorter = overlap == overlap.min(axis=-1, keepdims=True)
    return np.where(both & shorter, sign * overlap, 0)
