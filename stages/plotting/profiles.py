"""Figures over layers: laminar profiles, and within- against across-category RSA."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from stages.artefacts.results import Results
from stages.geometry.comparison import COMPARISONS
from stages.geometry.names import MATRICES, PAIRS, Scores
from stages.plotting.captions import above_chance, of_units, ranges
from stages.plotting.layers import layer_axis, legend_below, limit, number_layers, profile, zero
from stages.plotting.names import number
from stages.plotting.registry import figure
from stages.plotting.style import MARKS, area_key, line_key, panels, percent, show_limits


def shown(run: Results) -> Scores:
    """Return the intervals and tests that figures are to show: "low" and "high", "p_familywise", or none of them."""
    columns = ("low", "high") * run.bands + ("p_familywise",) * run.marks
    return {names: {c: cells[c] for c in columns if c in cells} for names, cells in run.inference.items()}


def ends(known: Scores, *measures: str) -> list[np.ndarray]:
    """List the ends of the intervals of measures, for the limits of an axis."""
    return [cells[end] for names, cells in known.items() if names[0] in measures for end in cells if end[0] != "p"]


def keys(known: Scores, measure: str, alpha: float, of: str = "") -> list[Artist]:
    """List what the legend says of a measure's bands, and of full and hollow marks that occur."""
    cells = [cells for names, cells in known.items() if names[0] == measure]
    found: list[Artist] = [area_key(f"{percent(alpha)} interval", alpha=0.4)] if ends(known, measure) else []
    passed = [one["p_familywise"] <= alpha for one in cells if "p_familywise" in one]
    for holds, sign, fill in ((True, "≤", {}), (False, ">", {"markerfacecolor": "none"})):
        if any((layers == holds).any() for layers in passed):
            label = f"{of}family-wise p {sign} {alpha:g}"
            found.append(line_key(label, marker="o", line="", markersize=7, **fill))
    return found


@figure(
    3,
    "Correlation of activations over layers",
    values=lambda run: (run.correlation, run.numbers),
    caption=lambda run: of_units(run, f"{ranges(PAIRS, run.correlation, run)}."),
    alternative="Lines over layers: correlation of activations of Q–K, Q–V and K–V",
    at_target=False,
)
def activation_correlation(r: Mapping[str, np.ndarray], layers: Sequence[int]) -> Figure:
    """Draw Figure 3: unit-by-unit correlations by pair, shape (layers,), of the pairs that can be correlated."""
    figure, (axis,) = panels(1, width=8)
    zero([axis], 1, "--")
    defined = [pair for pair in PAIRS if pair in r]
    for pair in defined:
        profile(axis, pair, r[pair])
    layer_axis(axis, layers)
    axis.set(title="Correlations of Q, K and V activations", ylabel="Correlation coefficient")
    limit([axis], [r[pair] for pair in defined], (-0.5, 0.5))
    _legend(figure)
    return figure


def _of_scores(run: Results) -> Scores:
    """Return what is known of RSA scores: tests and intervals are of Pearson's r."""
    if run.comparison == "pearson":
        return shown(run)
    if run.inference:
        print(f"fig6_rsa_profile: no bands and marks, which are of Pearson's r and not of {run.comparison}")
    return {}


@figure(
    6,
    "RSA scores over layers",
    values=lambda run: (run.rsa, run.numbers, run.comparison, _of_scores(run), run.alpha),
    caption=lambda run: (
        f"RSA score ({COMPARISONS[run.comparison].name}): {ranges(PAIRS, run.rsa, run)}."
        + above_chance(run, "rsa", PAIRS)
    ),
    alternative="Three lines over layers: RSA scores of Q–K, Q–V and K–V",
)
def rsa_profile(
    scores: Mapping[str, np.ndarray],
    layers: Sequence[int],
    comparison: str = "pearson",
    known: Scores = MappingProxyType({}),
    alpha: float = 0.05,
) -> Figure:
    """Draw Figure 6: RSA scores by pair, shape (layers,); `comparison` is a key of `COMPARISONS`."""
    more = keys(known, "rsa", alpha)
    figure, (axis,) = panels(1, width=9.4 if more else 8)
    for pair in PAIRS:
        profile(axis, pair, scores[pair], known.get(("rsa", pair)), alpha)
    layer_axis(axis, layers)
    axis.set(title="Representational similarity of Q, K and V", ylabel=COMPARISONS[comparison].axis)
    limit([axis], [scores[pair] for pair in PAIRS] + ends(known, "rsa"))
    _legend(figure, more)
    return figure


def _of_categories(run: Results) -> str:
    within, across = (np.mean([run.rsa[f"{pair}_{kind}"] for pair in PAIRS]) for kind in ("within", "across"))
    return (
        f"Cohen's d: {ranges(MATRICES, run.separability, run)}. Mean RSA within categories {number(within)}, "
        f"across {number(across)}." + above_chance(run, "d", MATRICES)
    )


@figure(
    8,
    "Categories over layers",
    values=lambda run: (run.separability, run.rsa, run.numbers, shown(run), run.alpha),
    caption=_of_categories,
    alternative="Lines over layers: Cohen's d of Q, K and V; RSA scores within, and across categories",
)
def category_profile(
    d: Mapping[str, np.ndarray], rsa: Mapping[str, np.ndarray], layers: Sequence[int], known: Scores, alpha: float
) -> Figure:
    """Draw Figure 8: Cohen's d by matrix and RSA scores by ``{pair}_within`` and ``{pair}_across``, shape (layers,)."""
    figure, axes = panels(3, width=13)
    for name in MATRICES:
        profile(axes[0], name, d[name], known.get(("d", name)), alpha)
    zero(axes[:1], 1, "--")
    axes[0].set(title="Effect size", ylabel="Cohen's d")
    kinds = ("within", "across")
    for axis, kind in zip(axes[1:], kinds, strict=True):
        for pair in PAIRS:
            profile(axis, pair, rsa[f"{pair}_{kind}"], known.get((f"rsa_{kind}", pair)))
        axis.set(title=kind.capitalize(), ylabel="RSA score")
    scores = [rsa[f"{pair}_{kind}"] for pair in PAIRS for kind in kinds]
    limit(axes[1:], scores + ends(known, "rsa_within", "rsa_across"))
    for axis in axes:
        layer_axis(axis, layers)
        legend_below(axis)
    if handles := keys(known, "d", alpha, "Cohen's d: "):  # RSA is not tested here
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=10)
    return figure


def _above(run: Results) -> str:
    above = sum(int(np.sum(run.rsa[f"{pair}_within"] > run.rsa[f"{pair}_across"])) for pair in PAIRS)
    return f"RSA is higher within than across in {above} of {3 * run.layers} layers and pairs."


@figure(
    9,
    "RSA within against across categories",
    values=lambda run: (run.rsa, run.numbers),
    caption=_above,
    alternative="A scatter plot with a line of unity: RSA within against RSA across categories, each pair and layer",
)
def within_vs_across(rsa: Mapping[str, np.ndarray], layers: Sequence[int]) -> Figure:
    """Draw Figure 9: RSA scores ``{pair}_within`` against ``{pair}_across``, shape (layers,), a marker a layer."""
    figure, (axis,) = panels(1, width=7, height=6)
    scores = np.concatenate([rsa[f"{pair}_{kind}"] for pair in PAIRS for kind in ("within", "across")])
    limits = show_limits((scores.min(), scores.max()))
    axis.plot(limits, limits, color="grey", linestyle="--", linewidth=1, zorder=0)
    look = {"c": np.arange(len(layers)), "cmap": "plasma", "s": 55, "linewidths": 0.5, "zorder": 2}
    for pair in PAIRS:
        places = rsa[f"{pair}_across"], rsa[f"{pair}_within"]
        points = axis.scatter(*places, marker=MARKS[pair].marker, edgecolors=rcParams["text.color"], **look)
    axis.set(xlabel="Across-category RSA", ylabel="Within-category RSA", xlim=limits, ylim=limits)
    axis.set_aspect("equal")
    axis.set_title("RSA within and across categories")
    pairs = [line_key(MARKS[pair].label, marker=MARKS[pair].marker, line="", markersize=8) for pair in PAIRS]
    axis.legend(handles=pairs, loc="lower right", fontsize=10)
    bar = figure.colorbar(points, ax=axis, label="Transformer layer", shrink=0.9)
    number_layers(bar.ax.yaxis, layers)
    return figure


def _legend(figure: Figure, more: Sequence[Artist] = ()) -> None:
    """Place the legend beside the axes, where it hides no line."""
    handles, _ = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles=[*handles, *more], loc="outside right center")
