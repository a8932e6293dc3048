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
    """Draw Figure 1: the `category_masks`, which word pairs count as within a category and which as across."""
    figure, axes = panels(2, rows=2, width=8, height=8)
    colours = ListedColormap([rcParams["grid.color"], rcParams["axes.prop_cycle"].by_key()["color"][2]])
    for axis, panel, (name, mask) in zip(axes, "ABCD", masks.items(), strict=True):
        axis.imshow(mask, cmap=colours, vmin=0, vmax=1)
        said = "Upper-triangular" if name == "upper" else f"{name.capitalize()}-category"
        axis.set(title=f"{panel}) {said} mask", xlabel="Words", ylabel="Words")
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
    """Draw Figure 4: the similarities of one layer, shape (words, words), with common limits.

    `categories` are the words', and `metric` is a key of `METRICS`.
    """
    label = METRICS[metric]
    pairs = [values[np.triu_indices(len(values), 1)] for values in matrices.values()]
    low, high = widened(pairs, POST_LIMITS if label.bounded else None)
    figure, axes = panels(3, width=13, height=4.8 if _names_fit(categories) else 5.8)
    for axis, panel, (name, values) in zip(axes, "ABC", matrices.items(), strict=True):
        image = axis.imshow(values, cmap="magma", vmin=low, vmax=high)
        axis.set(title=f"{panel}) {LABELS[name]} {label.long.lower()}", xlabel="Words")
        _mark_categories(axis, categories)
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
    """Draw one matrix in every layer, for series of images: yield a Figure a layer.

    It is the same one each time, as a layout once computed fits all layers. `matrices` are of shape (words, words),
    `limits` the lowest and highest similarity of all layers, `layers` their numbers, the rest is as in Figure 4.
    """
    low, high = limits
    for layer, values in zip(layers, matrices, strict=True):
        if layer == layers[0]:
            figure, (axis,) = panels(1, width=6.4, height=5.8)
            # Nearest pixels while a cell has some; averages where words outnumber them, so that blocks stay visible.
            image = axis.imshow(values, cmap="magma", vmin=low, vmax=high, interpolation="auto")
            axis.set(xlabel="Words", ylabel="Words")
            _mark_categories(axis, categories)
            said = f"{METRICS[metric].long}, {number(low)} to {number(high)} in all layers"
            figure.colorbar(image, ax=axis, label=said)
        image.set_data(values)
        axis.set_title(f"{LABELS[name]}, layer {layer}")
        yield figure
        figure.set_layout_engine("none")  # keep what it laid out for the first layer


def _blocks(categories: Sequence[str]) -> list[tuple[str, int]]:
    """List the categories that follow each other, with their numbers of words."""
    return [(name, len(list(run))) for name, run in groupby(categories)]


def _names_fit(categories: Sequence[str]) -> bool:
    """Return whether each category's name is shorter than its block in Figure 4; letters are 0.6 of the font's size."""
    letter, word = 0.6 * rcParams["font.size"], 210 / len(categories)  # points
    return all(letter * len(name) < word * size for name, size in _blocks(categories))


def _mark_categories(axis: Axes, categories: Sequence[str]) -> None:
    """Draw dashed lines between categories and write their names at the blocks.

    Names that do not fit stand in small type, side by side, and some of categories too small for that are left out.
    """
    blocks = _blocks(categories)
    edges = np.cumsum([0] + [size for _, size in blocks]) - 0.5
    width = min(1.0, 12 / len(blocks))
    for edge in edges[1:-1]:
        axis.axhline(edge, color="white", linestyle="--", linewidth=width)
        axis.axvline(edge, color="white", linestyle="--", linewidth=width)
    axis.tick_params(length=0)
    centres, names = (edges[:-1] + edges[1:]) / 2, shortened([name for name, _ in blocks], 16)
    if _names_fit(categories):
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
