"""Figure 14: words as points in a plane, and names that do not hide each other."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from stages.geometry.names import LABELS, MANY_WORDS, Arrays
from stages.plotting.captions import number, numbers
from stages.plotting.registry import figure
from stages.plotting.style import MARKS, explain, panels, shortened

#: How many words are named where only extremes are.
EXTREMES = 12
#: Points of room that a name keeps from a mark.
ROOM = 3.0
#: Where a name may stand around its point, the better first; if need be in rings so many points farther off.
SPOTS = np.array(
    [(0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)]
    + [(x, y) for y in (1, -1) for x in (0.5, -0.5)]
    + [(x, y) for x in (1, -1) for y in (0.5, -0.5)]
)
RINGS, STEP = 6, 6.0
MARKERS = "*hX<>dP"
#: More points hide each other: so many are drawn, evenly spaced through the list.
MOST_WORDS = 300
#: Letters of a category's name, and of a line of the legend; its lines.
LONGEST, LINE, MOST_ROWS = 24, 115, 8


@figure(
    14,
    "A map of the words",
    values=lambda run: (*run.maps, run.record["words"], run.record["categories"], run.focus),
    caption=lambda run: (
        f"Near each other: alike. Stress, 0 where the plane keeps every distance: {numbers(run.maps[1])}."
    ),
    alternative="For Q, K and V, the words as points in a plane, coloured by category",
    one_layer=True,
)
def word_map(
    points: Arrays, stress: Mapping[str, float], words: Sequence[str], categories: Sequence[str], layer: int
) -> Figure:
    """Draw Figure 14: the words' map in each matrix, points of shape (words, 2) that are laid over each other."""
    order = list(dict.fromkeys(categories))
    chosen = np.linspace(0, len(words) - 1, min(len(words), MOST_WORDS)).round().astype(int)
    points, words = {name: values[chosen] for name, values in points.items()}, [words[place] for place in chosen]
    places = np.array([order.index(categories[place]) for place in chosen])
    looks = looks_of(len(order))
    ends = np.array([end(np.concatenate([*points.values()]), axis=0) for end in (np.min, np.max)])
    centre, reach = ends.sum(axis=0) / 2, 1.15 * np.ptp(ends, axis=0) / 2
    reach = np.maximum(reach, 0.4 * reach.max())  # words on a line
    columns, keys = legend(order, looks)
    lines = -(-len(keys) // columns)
    figure, axes = panels(3, height=3.2 * min(reach[1] / reach[0], 1) + 1.2 + 0.2 * lines)
    (left, low), (right, high) = centre - reach, centre + reach
    for axis, (name, values) in zip(axes, points.items(), strict=True):
        for place, look in enumerate(looks):
            axis.plot(*values[places == place].T, **look, markersize=6 if len(words) < MANY_WORDS else 5, alpha=0.9)
        axis.spines[:].set_visible(False)
        axis.set(title=f"{LABELS[name]} (stress {number(stress[name])})", xticks=[], yticks=[])
        axis.set(xlim=(left, right), ylim=(low, high), aspect="equal")
    some = f", {len(words)} of {len(categories):,} words" if len(words) < len(categories) else ""
    said = ", ".join(f"{LABELS[name]} {_same_nearest(values, places):.0%}" for name, values in points.items())
    explain(figure, f"Words whose nearest neighbour is of their category: {said} (layer {layer}{some})", keys, columns)
    figure.draw_without_rendering()  # where the names go depends on where the axes have come to lie
    figure.set_layout_engine("none")
    for axis, values in zip(axes, points.values(), strict=True):
        named = np.arange(len(words)) if len(words) < MANY_WORDS else extremes(values)
        write_names(axis, values, [words[place] for place in named], named)
    return figure


def _same_nearest(points: np.ndarray, places: np.ndarray) -> float:
    """Return the share of words whose nearest neighbour in the plane is of the same category."""
    away = np.linalg.norm(points[:, None] - points, axis=-1)
    np.fill_diagonal(away, np.inf)
    return float(np.mean(places[away.argmin(axis=1)] == places))


def looks_of(categories: int) -> list[dict[str, str]]:
    """Return how each category's points are drawn: no two of seventy alike, by colour, marker and filling."""
    colours = rcParams["axes.prop_cycle"].by_key()["color"][len(MARKS) :]
    looks = len(colours) * len(MARKERS)  # their numbers have no common divisor: both change from one to the next
    fills = cycle(["full"] * looks + ["none"] * looks)
    cycles = zip(cycle(colours), cycle(MARKERS), fills, range(categories), strict=False)
    return [{"color": colour, "marker": mark, "fillstyle": fill, "linestyle": ""} for colour, mark, fill, _ in cycles]


def legend(names: Sequence[str], looks: Sequence[Mapping[str, str]]) -> tuple[int, list[Line2D]]:
    """Return the legend's columns, as many as the page is wide, and its keys, as many as it has room for."""
    names = shortened(names, LONGEST)
    columns = min(8, int(LINE / (max(map(len, names)) + 7)), len(names))
    keys = [Line2D([], [], **look, label=name) for name, look in zip(names, looks, strict=True)]
    if len(keys) > (most := columns * MOST_ROWS):
        keys = [*keys[: most - 1], Line2D([], [], linestyle="", label=f"and {len(keys) - most + 1} more")]
    return columns, keys


def extremes(points: np.ndarray) -> np.ndarray:
    """Return the word farthest out in each direction."""
    sector = np.floor((np.arctan2(points[:, 1], points[:, 0]) / (2 * np.pi) % 1) * EXTREMES).astype(int)
    far = np.linalg.norm(points, axis=1)
    return np.array([max(np.flatnonzero(sector == one), key=far.__getitem__) for one in np.unique(sector)])


def write_names(axis: Axes, points: np.ndarray, names: Sequence[str], named: np.ndarray) -> None:
    """Write names beside their points, where there is room; a line leads to one that stands farther off."""
    scale = axis.figure.dpi / 72
    style = {"xytext": (0, 0), "textcoords": "offset points", "ha": "center", "va": "center", "fontsize": 8}
    texts = [axis.annotate(name, points[place], **style) for name, place in zip(names, named, strict=True)]
    half = np.array([text.get_window_extent().size for text in texts]) / scale / 2
    shown = axis.transData.transform(points) / scale
    frame = axis.get_window_extent().get_points() / scale
    for text, place, centre, size in zip(texts, named, beside(shown, named, half, frame), half, strict=True):
        text.set_position(centre - shown[place])
        edge = np.clip(shown[place], centre - size, centre + size)
        if np.linalg.norm(edge - shown[place]) > 2 * ROOM:
            ends = axis.transData.inverted().transform(edge * scale)
            axis.plot(*np.transpose([points[place], ends]), color="grey", linewidth=0.6, zorder=0.5)


def beside(points: np.ndarray, named: np.ndarray, half: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Choose for each name the nearest of `SPOTS` where it covers no point and no other name.

    Names that have the fewest such spots beside their points choose first. One that finds none takes the spot that
    covers least, names before points. All is in one unit: points, shape (points, 2), of which some are `named`; `half`
    of the names' width and height, shape (names, 2); lower left and upper right corner of their `frame`; and what is
    returned, the names' centres, shape (names, 2).
    """
    away = np.concatenate([SPOTS * ring for ring in range(RINGS)])
    centres = points[named][:, None] + np.tile(SPOTS, (RINGS, 1)) * (half + ROOM)[:, None] + STEP * away
    hidden = _overlaps(centres[:, :, None], points, half[:, None, None] + ROOM - 0.5).sum(axis=-1)
    outside = ((centres - half[:, None] < frame[0]) | (centres + half[:, None] > frame[1])).any(axis=-1)
    cost = hidden + len(named) * outside
    chosen = np.full((len(named), 2), np.inf)
    for name in np.argsort((cost[:, : len(SPOTS)] == 0).sum(axis=1), kind="stable"):
        covered = _overlaps(centres[name][:, None], chosen, half[name] + half + 0.5).sum(axis=1)
        chosen[name] = centres[name, np.argmin(cost[name] + len(named) * covered)]
    return chosen


def _overlaps(one: np.ndarray, other: np.ndarray, room: np.ndarray) -> np.ndarray:
    return (np.abs(one - other) < room).all(axis=-1)
