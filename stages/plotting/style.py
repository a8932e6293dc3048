"""What the figures share: themes, panels and limits, colours and markers, and entries of legends."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import Any, NamedTuple

import matplotlib.style
import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.lines import Line2D
from PIL import Image

from stages.geometry.names import LABELS, MATRICES, PAIRS

#: What pages show as well, to readers of the other setting, at dots an inch that keep the report of 48 layers small.
OTHER_THEME, OTHER_DPI = {"dark": "light", "light": "dark"}, 120
#: The post's limits of similarities and of RSA scores.
POST_LIMITS = (0.3, 1.0)


class Mark(NamedTuple):
    """How a matrix or a pair of matrices is drawn: its colour, of the style sheet's cycle, and marker."""

    colour: str
    marker: str


#: Pairs of matrices, and single ones: no two alike in colour or in marker.
MARKS = dict(zip((*PAIRS, *MATRICES), map(Mark, ("C0", "C1", "C2", "C3", "C4", "C5"), "so^Dpv"), strict=True))


def themed(theme: str, draw: Callable[[], Figure], path: Path, dpi: int) -> None:
    """Draw a figure in a theme and save it as PNG: the same bytes every time."""
    with sheet(theme):
        save(draw(), path, dpi)


def save(figure: Figure, path: Path, dpi: int) -> None:
    """Save a figure as PNG, the same bytes every time: with a palette, a third the size, unless a bar maps colours."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    if not any(axes.get_label() == "<colorbar>" for axes in figure.axes):
        image = image.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    image.save(path, "PNG", compress_level=7, dpi=(dpi, dpi))  # 9 takes five times as long for 6 % less


@contextmanager
def sheet(theme: str) -> Iterator[None]:
    """Apply the style sheets of a theme, and nothing else; `missing_letters` says what its font lacks."""
    sheets = [Path(__file__).with_name(f"{name}.mplstyle") for name in ("base", theme)]
    with matplotlib.style.context(sheets, after_reset=True), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def missing_letters(texts: Iterable[str]) -> str:
    """Return a line that names the letters of texts that the figures' font lacks; empty where it has them all."""
    with sheet("dark"):
        font = get_font(findfont(rcParams["font.family"][0]))
    lacking = {text: set(map(ord, text)) - font.get_charmap().keys() for text in texts}
    letters = "".join(sorted(map(chr, set().union(*lacking.values()))))
    words = ", ".join(text for text, missing in lacking.items() if missing)
    said = f"boxes stand in figures for letters that {font.family_name} lacks: {letters} (in {words})"
    return said if letters else ""


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


def panels(columns: int, rows: int = 1, width: float = 10.0, height: float = 4.0) -> tuple[Figure, list[Axes]]:
    """Make a figure of `rows` × `columns` axes, sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
    return figure, list(np.ravel(figure.subplots(rows, columns)))


def widened(values: Iterable[np.ndarray], limits: tuple[float, float] | None = POST_LIMITS) -> tuple[float, float]:
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


def line_key(label: str, colour: str = "grey", marker: str = "", line: str = "-", **look: Any) -> Line2D:
    """Return a legend's entry for a line or, if that is "", for marks."""
    return Line2D([], [], color=colour, marker=marker, linestyle=line, label=label, **look)


def mark_keys(names: Iterable[str], **look: Any) -> list[Line2D]:
    """Return a legend's entries for matrices or pairs."""
    return [line_key(LABELS[name], *MARKS[name], **look) for name in names]


def explain(figure: Figure, title: str, keys: Sequence[Artist] = (), columns: int = 4) -> Figure:
    """Add a title above the panels, wrapped to fit, and a legend below them; return the figure."""
    figure.suptitle("\n".join(fill(line, 86) for line in title.splitlines()))
    if keys:
        figure.legend(handles=keys, loc="outside lower center", ncols=min(columns, len(keys)))
    return figure


def percent(alpha: float) -> str:
    """Return what share of draws intervals and ranges hold, such as "95 %"."""
    return f"{100 * (1 - alpha):g} %"
