"""Figures of one layer: scatter plots and distributions."""

from collections.abc import Mapping

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure

from stages.artefacts.results import Results
from stages.geometry.comparison import COMPARISONS
from stages.geometry.names import LABELS, MATRICES, PAIRS, Arrays
from stages.geometry.similarity import METRICS
from stages.plotting.captions import at, number, numbers, of_units, span
from stages.plotting.registry import figure
from stages.plotting.style import MARKS, Mark, explain, line_key, panels

#: More points than this hide each other: their density is shown instead.
MOST_POINTS = 6000
#: Of points, in points; triangles look smaller than they are.
SIZES = {"s": 5.5, "o": 6, "^": 7}
#: What is in a colour, and what is grey.
WITHIN, ACROSS = "within categories", "across"


def _of_units(run: Results) -> str:
    own = {name: len(np.unique(run.units[name])) for name in "kv"}
    shared = " and ".join(f"{LABELS[name]} {n:,}" for name, n in own.items() if n <= len(run.units[name]) / 2)
    said = f"Correlation of units at token {run.context}: {numbers(at(run.correlation, run.place))}."
    repeated = f" Distinct units: {shared}, repeated for the query heads that share them."
    return of_units(run, said + repeated if shared else said)


@figure(
    2,
    "Activations",
    values=lambda run: (run.units, at(run.correlation, run.place), run.focus, run.context),
    caption=_of_units,
    alternative="A scatter plot of activations for each pair of Q, K and V, a point a unit",
    one_layer=True,
    at_target=False,
)
def activation_scatter(activations: Arrays, r: Mapping[str, float], layer: int, token: int) -> Figure:
    """Draw Figure 2: the activations of each matrix, shape (points,), against those of each other.

    A point is a unit; where the words differ at this token, a word and unit. `r` are Pearson correlations by pair. One
    that is not defined, as its matrices differ in width, is left out, and its panel says so.
    """
    titles = {pair: LABELS[pair] + (f": r = {number(r[pair])}" if pair in r else "") for pair in PAIRS}
    figure = _scatter(activations, titles, "{} activations")
    drawn = [activations[a] for a, b in PAIRS if len(activations[a]) == len(activations[b])]
    counted = f", {_counted(drawn[0], 'units')}" if drawn else ""
    said = f"Unit by unit, r {span(r.values())}" if r else "Units cannot be paired"
    return explain(figure, f"{said} (layer {layer}, token {token} of the prompt{counted})")


@figure(
    5,
    "Similarities of two matrices",
    values=lambda run: (
        run.at_focus,
        at(run.rsa, run.place),
        run.record["metric"],
        run.focus,
        run.comparison,
        "the word's own token" if run.at_word else f"token {run.record['target']}",
        run.within,
    ),
    caption=lambda run: (
        f"RSA score ({COMPARISONS[run.comparison].name}) over {len(run.within)} pairs of words: "
        f"{numbers(at(run.rsa, run.place))}."
    ),
    alternative="A scatter plot of similarities for each pair of Q, K and V, a point a word pair, those across "
    "categories in grey",
    one_layer=True,
)
def rsa_scatter(
    similarity: Arrays, rsa: dict[str, float], metric: str, layer: int, comparison: str, token: str, within: np.ndarray
) -> Figure:
    """Draw Figure 5: the similarities of each matrix, shape (pairs,), against those of each other; `rsa` by pair.

    `metric` is a key of `METRICS`, `comparison` of `COMPARISONS`; `token` says where words are compared; the pairs that
    are not `within` a category are grey.
    """
    symbol = COMPARISONS[comparison].symbol
    titles = {pair: f"{LABELS[pair]}: {symbol} = {number(rsa[pair])}" for pair in PAIRS}
    figure = _scatter(similarity, titles, f"{METRICS[metric].long} in {{}}", within)
    what = f"layer {layer}, {token}, {_counted(similarity['q'], 'pairs of words')}"
    keys = [line_key(f"{LABELS[p]}, {WITHIN}", *MARKS[p], "") for p in PAIRS]
    keys = [] if len(within) > MOST_POINTS else [*keys, line_key(ACROSS, marker="o", line="")]
    return explain(figure, f"Pair by pair, {symbol} {span(rsa.values())} ({what})", keys)


def _scatter(values: Arrays, titles: Mapping[str, str], what: str, within: np.ndarray | None = None) -> Figure:
    """Draw each matrix against each other; where they differ in their number of values, say so."""
    figure, axes = panels(3, height=3.9)
    for axis, (x, y) in zip(axes, PAIRS, strict=True):
        axis.set_title(titles[x + y])
        if len(values[x]) != len(values[y]):
            reason = f"not defined:\n{LABELS[x]} has {len(values[x])} values, {LABELS[y]} {len(values[y])}"
            axis.text(0.5, 0.5, reason, ha="center", va="center", transform=axis.transAxes)
            axis.set(xticks=[], yticks=[])
            continue
        _cloud(axis, values[x], values[y], MARKS[x + y], within)
        axis.set(xlabel=what.format(LABELS[x]), ylabel=what.format(LABELS[y]))
    return figure


@figure(
    7,
    "Similarities within and across categories",
    values=lambda run: (run.at_focus, run.within, at(run.separability, run.place), run.record["metric"], run.focus),
    caption=lambda run: f"Cohen's d: {numbers(at(run.separability, run.place))}.",
    alternative="For Q, K and V, the distribution of similarities within categories and that across categories",
    one_layer=True,
)
def category_distributions(
    similarity: Arrays, within: np.ndarray, d: Mapping[str, float], metric: str, layer: int
) -> Figure:
    """Draw Figure 7: how similarities, shape (pairs,), are distributed within and across categories; d by matrix.

    `within` says of which pairs both words are of a category; `metric` is a key of `METRICS`.
    """
    label, figure, axes = METRICS[metric], *panels(3, height=4.2)
    # Distances of Q, K and V may differ by orders.
    shared = _bins(*similarity.values()) if label.bounded else None
    for axis, (name, values) in zip(axes, similarity.items(), strict=True):
        edges = _bins(values) if shared is None else shared
        for pairs, colour in ((~within, "grey"), (within, MARKS[name].colour)):
            axis.hist(values[pairs], edges, density=True, histtype="stepfilled", ec=colour, fc=(colour, 0.45))
        axis.set(title=f"{LABELS[name]}: d = {number(d[name])}", xlabel=label.long, xlim=(edges[0], edges[-1]))
        axis.locator_params(axis="x", nbins=6)
    highest = max(axis.get_ylim()[1] for axis in axes)
    for axis in axes:
        axis.set_ylim(0, highest if label.bounded else None)
    axes[0].set_ylabel("Density")
    keys = [line_key(f"{LABELS[name]}, {WITHIN}", MARKS[name].colour, linewidth=8) for name in MATRICES]
    said = f"Pairs within categories less pairs across: Cohen's d {span(d.values())} (layer {layer})"
    return explain(figure, said, [*keys, line_key(ACROSS, linewidth=8)])


def _cloud(axis: Axes, x: np.ndarray, y: np.ndarray, mark: Mark, within: np.ndarray | None) -> None:
    """Draw each point; where there are too many, cells coloured by the logarithm of how many points they hold."""
    if len(x) <= MOST_POINTS:
        size = SIZES[mark.marker] * (1 if len(x) < 300 else 0.8)
        within = np.full(len(x), True) if within is None else within
        for some, colour in ((~within, "grey"), (within, mark.colour)):
            axis.plot(x[some], y[some], mark.marker, color=colour, alpha=0.6, markersize=size, mew=0)
        return
    few, many = to_rgba(mark.colour, 0.15), to_rgba(mark.colour)
    colours = LinearSegmentedColormap.from_list("", [few, many, to_rgba(rcParams["text.color"])])
    axis.hexbin(x, y, gridsize=60, bins="log", mincnt=1, cmap=colours, linewidths=0)


def _counted(values: np.ndarray, what: str) -> str:
    """Return how many points there are, and what panels show where they are too many to be drawn one by one."""
    return f"{len(values):,} {what}" + (", log density" if len(values) > MOST_POINTS else "")


def _bins(*groups: np.ndarray) -> np.ndarray:
    """Return the edges of bins that hold all groups, of their mean width by Freedman & Diaconis; the ends are empty."""
    edges = [np.histogram_bin_edges(values, bins="fd") for values in groups]
    low, high = min(e[0] for e in edges), max(e[-1] for e in edges)
    # A few far values would ask for thousands of bins.
    count = min(100, max(1, round((high - low) / np.mean([e[1] - e[0] for e in edges]))))
    width = (high - low) / count
    return np.concatenate([[low - width], np.linspace(low, high, count + 1), [high + width]])
