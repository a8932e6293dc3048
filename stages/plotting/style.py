"""What the figures share: themes, colours and markers, limits, and the words on the axes."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib.style
import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.ticker import MaxNLocator

from stages.geometry.names import LABELS, MATRICES, PAIRS

#: The post's limits of similarities and of RSA scores.
POST_LIMITS = (0.3, 1.0)


@dataclass(frozen=True)
class Mark:
    """How a matrix or a pair of matrices is drawn: its name, colour (of the style sheet's cycle) and marker."""

    label: str
    colour: str
    marker: str


#: Pairs of matrices, and single ones: told apart by colour and by marker.
MARKS = {
    name: Mark(LABELS[name], colour, marker)
    for names in (PAIRS, MATRICES)
    for name, colour, marker in zip(names, ("C0", "C1", "C2"), "so^", strict=True)
}


def themed(theme: str, draw: Callable[[], Figure], path: Path, dpi: int) -> None:
    """Draw a figure in a theme and save it as PNG, the same bytes every time.

    Parameters
    ----------
    theme : str
        Name of a style sheet in this folder.
    draw : callable
        Gives the Figure.
    path : Path
    dpi : int
        Dots an inch.
    """
    with sheet(theme):
        save(draw(), path, dpi)


def save(figure: Figure, path: Path, dpi: int) -> None:
    """Save a figure as PNG: the bytes of its `savefig`, which first draws everything once more, for nothing.

    Parameters
    ----------
    figure : Figure
    path : Path
    dpi : int
        Dots an inch.
    """
    figure.set_dpi(dpi)
    FigureCanvasAgg(figure).print_png(path)


@contextmanager
def sheet(theme: str) -> Iterator[None]:
    """Apply a style sheet of this folder, and nothing else; `missing_letters` says what its font lacks."""
    path = Path(__file__).parent / f"{theme}.mplstyle"
    with matplotlib.style.context(path, after_reset=True), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def missing_letters(texts: Iterable[str]) -> str:
    """Return a line that names the letters of texts that the figures' font lacks; empty where it has them all."""
    with sheet("dark"):
        font = get_font(findfont(rcParams["font.family"][0]))
    lacking = {text: set(map(ord, text)) - font.get_charmap().keys() for text in texts}
    letters = "".join(sorted(map(chr, set().union(*lacking.values()))))
    words = ", ".join(text for text, missing in lacking.items() if missing)
    return (
        f"boxes stand in figures for letters that {font.family_name} lacks: {letters} (in {words})" if letters else ""
    )


def shortened(names: Sequence[str], most: int) -> list[str]:
    """Shorten names of more than `most` letters, so that different ones still differ.

    Examples
    --------
    >>> shortened(["category number 1", "category number 2", "fruit"], 10)
    ['category…1', 'category…2', 'fruit']
    """
    for start in range(most - 1, 0, -1):  # letters kept of the beginning; the others are the end's
        short = [n if len(n) <= most else f"{n[:start]}…{n[len(n) - most + 1 + start :]}" for n in names]
        if len(set(short)) == len(set(names)):
            return short
    places = {name: place for place, name in enumerate(dict.fromkeys(names), 1)}
    return [name if len(name) <= most else f"{name[: most - 5]}… {places[name]}" for name in names]


def panels(columns: int, rows: int = 1, width: float = 10.5, height: float = 4.0) -> tuple[Figure, list[Axes]]:
    """Make a figure of `rows` × `columns` axes, sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
    return figure, list(np.ravel(figure.subplots(rows, columns)))


def widened(values: Sequence[np.ndarray], limits: tuple[float, float] | None = POST_LIMITS) -> tuple[float, float]:
    """Widen `limits` to tenths that hold all `values`, but for NaN; None stands for what the values alone decide."""
    known = [v[np.isfinite(v)] for v in map(np.asarray, values)]
    known = [v for v in known if v.size] or [np.asarray(limits or (0.0, 1.0))]
    low, high = min(np.min(v) for v in known), max(np.max(v) for v in known)
    if limits is None:
        return float(low), float(high)
    return min(limits[0], np.floor(low * 10) / 10), max(limits[1], np.ceil(high * 10) / 10)


def show_limits(limits: tuple[float, float]) -> tuple[float, float]:
    """Leave room for markers that sit on a limit."""
    room = 0.03 * (limits[1] - limits[0])
    return limits[0] - room, limits[1] + room


def layer_axis(axes: Axes, layers: Sequence[int]) -> None:
    """Name the horizontal axis, whole layers only."""
    axes.set(xlabel="Transformer layer", xlim=(-0.5, len(layers) - 0.5))
    number_layers(axes.xaxis, layers)


def number_layers(axis: Axis, numbers: Sequence[int]) -> None:
    """Mark places on an axis by the numbers of what stands there: the layers that attend, side by side."""
    axis.set_major_locator(MaxNLocator(integer=True, nbins=9, min_n_ticks=1))
    axis.set_major_formatter(lambda place, _: str(numbers[int(place)]) if place in range(len(numbers)) else "")


def titled(aside: str, draw: Callable[[], Figure]) -> Figure:
    """Draw a figure, with an aside below its title unless that is empty."""
    figure = draw()
    if aside:
        figure.suptitle("\n".join(filter(None, [figure.get_suptitle(), aside])), fontsize="medium")
    return figure


def without_values(reason: str) -> Figure:
    """Draw, in place of a figure, the reason why there is none."""
    figure, (axis,) = panels(1, width=8, height=2.5)
    axis.axis("off")
    axis.text(0.5, 0.5, reason, ha="center", va="center", weight="bold")
    return figure


def profile(
    axes: Axes,
    name: str,
    values: np.ndarray,
    interval: Mapping[str, np.ndarray] | None = None,
    significant: np.ndarray | None = None,
) -> None:
    """Draw one matrix or pair over layers.

    Parameters
    ----------
    axes : Axes
    name : str
        A key of `MARKS`.
    values : ndarray, shape (layers,)
    interval : mapping of "low", "high" to ndarray, shape (layers,), optional
        Drawn as a band.
    significant : ndarray of bool, shape (layers,), optional
        Where not, the mark is hollow.
    """
    mark, size = MARKS[name], marker_size(len(values))
    axes.plot(values, color=mark.colour, marker=mark.marker, markersize=size, label=mark.label)
    if interval is not None:
        band(axes, interval, mark.colour)
    if significant is not None:
        hollow = np.flatnonzero(~significant)
        axes.plot(hollow, values[hollow], mark.marker, color=mark.colour, mfc=rcParams["axes.facecolor"], ms=size)


def band(axes: Axes, interval: Mapping[str, np.ndarray], colour: str, alpha: float = 0.14) -> None:
    """Shade between "low" and "high", shape (layers,)."""
    layers = np.arange(len(interval["low"]))
    axes.fill_between(layers, interval["low"], interval["high"], color=colour, alpha=alpha, linewidth=0)
    for end in ("low", "high"):
        axes.plot(layers, interval[end], color=colour, alpha=0.5, linewidth=0.7)


def marker_size(layers: int) -> int:
    """Return a size of marks that do not run into each other."""
    return 4 if layers > 24 else 7
