"""Figures over pairs of words: masks and similarity matrices."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from stages.geometry.names import LABELS, Arrays
from stages.geometry.pairs import category_masks, square, within_category
from stages.geometry.similarity import METRICS
from stages.plotting.captions import number, numbers
from stages.plotting.registry import figure
from stages.plotting.style import POST_LIMITS, explain, panels, shortened, widened


@figure(
    1,
    "Pairs within and across categories",
    values=lambda run: (category_masks(run.record["categories"]), run.record["categories"]),
    caption=lambda run: (
        f"{len(run.record['words'])} words make {len(run.within)} pairs: {run.within.sum()} within a category, "
        f"{(~run.within).sum()} across."
    ),
    alternative="Four square masks over the words: same category, upper triangle, within and across categories",
    at_target=False,
)
def masks(masks: Arrays, categories: Sequence[str]) -> Figure:
    """Draw Figure 1: the `category_masks`, which word pairs count as within a category and which as across."""
    figure, axes = panels(4, height=2.9)
    colours = ListedColormap([rcParams["grid.color"], rcParams["text.color"]])
    counts = {name: f"{mask.sum():,}" for name, mask in masks.items()}
    titles = ["same category", "each pair once: {upper}", "within: {within}", "across: {across}"]
    for axis, panel, title, mask in zip(axes, "ABCD", titles, masks.values(), strict=True):
        axis.imshow(mask, cmap=colours, vmin=0, vmax=1)
        _mark_categories(axis, categories, 140)
        axis.set_title(f"{panel}) {title.format(**counts)}", fontsize=11)
    return explain(figure, "Of {upper} pairs of words {within} are within a category, {across} across".format(**counts))


@figure(
    4,
    "Similarity matrices",
    values=lambda run: (run.at_focus, run.record["categories"], run.record["metric"], run.focus),
    caption=lambda run: f"In the mean over pairs of words: {numbers(run.mean_similarity)}.",
    alternative="Three square maps of the similarities of all word pairs in Q, K and V, with lines between categories",
    one_layer=True,
)
def similarity_matrices(similarity: Arrays, categories: Sequence[str], metric: str, layer: int) -> Figure:
    """Draw Figure 4: the similarities of one layer, shape (pairs,), with common limits.

    `categories` are the words', and `metric` is a key of `METRICS`.
    """
    label = METRICS[metric]
    low, high = widened(similarity.values(), POST_LIMITS if label.bounded else None)
    figure, axes = panels(3, height=3.9)
    for axis, panel, (name, pairs) in zip(axes, "ABC", similarity.items(), strict=True):
        image = axis.imshow(square(pairs, label.own), cmap="magma", vmin=low, vmax=high)
        axis.set_title(f"{panel}) {LABELS[name]}")
        _mark_categories(axis, categories)
    figure.colorbar(image, ax=axes, shrink=0.8, pad=0.01, label=label.long)
    within = within_category(categories)
    less = {name: pairs[within].mean() - pairs[~within].mean() for name, pairs in similarity.items()}
    return explain(figure, f"{label.long} within less across categories, layer {layer}: {numbers(less)}")


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


def _mark_categories(axis: Axes, categories: Sequence[str], room: float = 190) -> None:
    """Draw dashed lines between categories and write their names at the blocks; the matrix is `room` points wide.

    Names that do not fit stand in small type beside the first matrix, some of too small categories left out.
    """
    blocks = [(name, len(list(run))) for name, run in groupby(categories)]
    edges = np.cumsum([0] + [size for _, size in blocks]) - 0.5
    for edge in edges[1:-1]:
        for line in (axis.axhline, axis.axvline):
            line(edge, color="white", linestyle="--", linewidth=min(1.0, 12 / len(blocks)))
    axis.tick_params(length=0)
    centres, names = (edges[:-1] + edges[1:]) / 2, shortened([name for name, _ in blocks], 16)
    word, letter = room / len(categories), 0.62 * rcParams["font.size"]  # points
    fit, shown = all(letter * len(name) < word * size for name, size in blocks), [0]
    for place in range(1, len(blocks)):
        if fit or (centres[place] - centres[shown[-1]]) * word >= 9:
            shown.append(place)
    first, small = axis.get_subplotspec().is_first_col(), {} if fit else {"fontsize": 8}
    axis.set_yticks(centres[shown], [names[place] if first else "" for place in shown], **small)
    axis.set_xticks(centres if fit else [], names if fit else [])
