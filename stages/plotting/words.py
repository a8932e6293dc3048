"""Figures over pairs of words: masks and similarity matrices."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from stages.geometry.names import LABELS
from stages.geometry.pairs import category_masks, square
from stages.geometry.similarity import METRICS
from stages.plotting.captions import numbers
from stages.plotting.names import number
from stages.plotting.registry import figure
from stages.plotting.style import POST_LIMITS, panels, shortened, widened


@figure(
    1,
    "Pairs within and across categories",
    values=lambda run: (category_masks(run.record["categories"]),),
    caption=lambda run: (
        f"{len(run.record['words'])} words make {len(run.within)} pairs: {run.within.sum()} within a category, "
        f"{(~run.within).sum()} across."
    ),
    alternative="Four square masks over the words: same category, upper triangle, within and across categories",
    at_target=False,
)
def masks(masks: Mapping[str, np.ndarray]) -> Figure:
    """Draw Figure 1: which word pairs count as within a category and which as across.

    Parameters
    ----------
    masks : mapping of "same", "upper", "within", "across" to ndarray of bool, shape (words, words)
    """
    titles = {
        "same": "A) Same-category mask",
        "upper": "B) Upper-triangular mask",
        "within": "C) Within-category mask",
        "across": "D) Across-category mask",
    }
    figure, axes = panels(2, rows=2, width=8, height=8)
    colours = ListedColormap([rcParams["grid.color"], rcParams["axes.prop_cycle"].by_key()["color"][2]])
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        axis.imshow(masks[name], cmap=colours, vmin=0, vmax=1)
        axis.set(title=title, xlabel="Words", ylabel="Words")
    return figure


@figure(
    4,
    "Similarity matrices",
    values=lambda run: (
        {name: square(pairs, METRICS[run.record["metric"]].own) for name, pairs in run.at_focus.items()},
        run.record["categories"],
        run.record["metric"],
        run.focus,
    ),
    caption=lambda run: f"In the mean over pairs of words: {numbers(run.mean_similarity)}.",
    alternative="Three square maps of the similarities of all word pairs in Q, K and V, with lines between categories",
    one_layer=True,
)
def similarity_matrices(
    matrices: Mapping[str, np.ndarray], categories: Sequence[str], metric: str, layer: int
) -> Figure:
    """Draw Figure 4: the similarity matrices of one layer, with common limits.

    Parameters
    ----------
    matrices : mapping of "q", "k", "v" to ndarray, shape (words, words)
    categories : sequence of str, length words
    metric : str
        A key of `METRICS`.
    layer : int
    """
    label = METRICS[metric]
    pairs = [values[np.triu_indices(len(values), 1)] for values in matrices.values()]
    low, high = widened(pairs, POST_LIMITS if label.bounded else None)
    blocks = [(name, len(list(run))) for name, run in groupby(categories)]
    crowded = not _names_fit(blocks)
    figure, axes = panels(3, width=13, height=5.8 if crowded else 4.8)
    for axis, panel, (name, values) in zip(axes, "ABC", matrices.items(), strict=True):
        image = axis.imshow(values, cmap="magma", vmin=low, vmax=high)
        axis.set(title=f"{panel}) {LABELS[name]} {label.long.lower()}", xlabel="Words")
        _mark_categories(axis, blocks, crowded)
    figure.colorbar(image, ax=axes, shrink=0.8, pad=0.01)
    axes[0].set_ylabel("Words")
    figure.suptitle(f"Layer {layer}")
    return figure


def similarity_series(
    name: str,
    matrices: Iterable[np.ndarray],
    categories: Sequence[str],
    metric: str,
    limits: tuple[float, float],
    layers: Sequence[int],
) -> Iterator[Figure]:
    """Draw one matrix in every layer, with limits common to them all, for series of images.

    Parameters
    ----------
    name : str
        "q", "k" or "v".
    matrices : iterable of ndarray, shape (words, words)
        The first layer's first.
    categories : sequence of str, length words
    metric : str
        A key of `METRICS`.
    limits : tuple of float
        Lowest and highest similarity of all layers.
    layers : sequence of int
        Their numbers.

    Yields
    ------
    Figure
        The same one each time, for the next layer: a layout once computed fits them all.
    """
    label = METRICS[metric].long
    low, high = limits
    blocks = [(category, len(list(run))) for category, run in groupby(categories)]
    for layer, values in zip(layers, matrices, strict=True):
        if layer == layers[0]:
            figure, (axis,) = panels(1, width=6.4, height=5.8)
            # Nearest pixels while a cell has some; averages where words outnumber them, so that blocks stay visible.
            image = axis.imshow(values, cmap="magma", vmin=low, vmax=high, interpolation="auto")
            axis.set(xlabel="Words", ylabel="Words")
            _mark_categories(axis, blocks, not _names_fit(blocks))
            figure.colorbar(image, ax=axis, label=f"{label}, {number(low)} to {number(high)} in all layers")
        image.set_data(values)
        axis.set_title(f"{LABELS[name]}, layer {layer}")
        yield figure
        figure.set_layout_engine("none")  # keep what it laid out for the first layer


def _names_fit(blocks: Sequence[tuple[str, int]]) -> bool:
    """Return whether each category's name is shorter than its block in Figure 4; letters are 0.6 of the font's size."""
    panel = 210  # points
    words = sum(size for _, size in blocks)
    return all(0.6 * rcParams["font.size"] * len(name) < panel * size / words for name, size in blocks)


def _mark_categories(axis: Axes, blocks: Sequence[tuple[str, int]], crowded: bool) -> None:
    """Draw dashed lines between categories and write their names at the blocks.

    `blocks` are categories and their numbers of words. If they are `crowded`, their names stand in small type, side by
    side, and of categories too small for that some go without a name.
    """
    edges = np.cumsum([0] + [size for _, size in blocks]) - 0.5
    width = min(1.0, 12 / len(blocks))
    for edge in edges[1:-1]:
        axis.axhline(edge, color="white", linestyle="--", linewidth=width)
        axis.axvline(edge, color="white", linestyle="--", linewidth=width)
    axis.tick_params(length=0)
    centres, names = (edges[:-1] + edges[1:]) / 2, shortened([name for name, _ in blocks], 16)
    if not crowded:
        axis.set_yticks(centres, names, rotation=90, va="center")
        axis.set_xticks(centres, names)
        return
    room, shown = edges[-1] / 28, []  # 28 lines of small type are as high as the matrix
    for place, centre in enumerate(centres):
        if not shown or centre - centres[shown[-1]] >= room:
            shown.append(place)
    named = [names[place] for place in shown]
    first = axis.get_subplotspec().is_first_col()
    axis.set_yticks(centres[shown], named if first else [""] * len(named), fontsize=7)
    axis.set_xticks(centres[shown], named, fontsize=7, rotation=90)
