"""Figures over layers: laminar profiles, and within- against across-category RSA."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from stages.geometry.comparison import COMPARISONS
from stages.geometry.names import MATRICES, PAIRS
from stages.plotting.captions import above_chance, of_units, ranges
from stages.plotting.names import number
from stages.plotting.registry import figure
from stages.plotting.style import MARKS, layer_axis, number_layers, panels, profile, show_limits, widened
from stages.plotting.uncertainty import CERTAIN, Uncertainty, shown

if TYPE_CHECKING:
    from stages.artefacts.results import Results


@figure(
    3,
    "Correlation of activations over layers",
    values=lambda run: (run.correlation, run.numbers),
    caption=lambda run: of_units(run, f"{ranges(PAIRS, run.correlation, run)}."),
    alternative="Lines over layers: correlation of activations of Q–K, Q–V and K–V",
    at_target=False,
)
def activation_correlation(r: Mapping[str, np.ndarray], layers: Sequence[int]) -> Figure:
    """Draw Figure 3: unit-by-unit correlations over layers.

    Parameters
    ----------
    r : mapping of "qk", "qv", "kv" to ndarray, shape (layers,)
        Pairs that are not defined, as their matrices differ in width, are left out.
    layers : sequence of int
        Their numbers.
    """
    figure, (axis,) = panels(1, width=8)
    axis.axhline(0, color="grey", linestyle="--", linewidth=1)
    defined = [pair for pair in PAIRS if pair in r]
    for pair in defined:
        profile(axis, pair, r[pair])
    layer_axis(axis, layers)
    axis.set(title="Correlations of Q, K and V activations", ylabel="Correlation coefficient")
    axis.set_ylim(show_limits(widened([r[pair] for pair in defined], (-0.5, 0.5))))
    _legend(figure)
    return figure


def _of_scores(run: "Results") -> Uncertainty:
    """Return what is known of RSA scores: tests and intervals are of Pearson's r."""
    if run.comparison == "pearson":
        return shown(run)
    if run.inference:
        print(f"fig6_rsa_profile: no bands and marks, which are of Pearson's r and not of {run.comparison}")
    return CERTAIN


@figure(
    6,
    "RSA scores over layers",
    values=lambda run: (run.rsa, run.numbers, run.comparison, _of_scores(run)),
    caption=lambda run: (
        f"RSA score ({COMPARISONS[run.comparison].name}): {ranges(PAIRS, run.rsa, run)}."
        + above_chance(run, "rsa", PAIRS)
    ),
    alternative="Three lines over layers: RSA scores of Q–K, Q–V and K–V",
)
def rsa_profile(
    scores: Mapping[str, np.ndarray], layers: Sequence[int], comparison: str = "pearson", known: Uncertainty = CERTAIN
) -> Figure:
    """Draw Figure 6: RSA scores over layers.

    Parameters
    ----------
    scores : mapping of "qk", "qv", "kv" to ndarray, shape (layers,)
    layers : sequence of int
        Their numbers.
    comparison : str
        What the scores are: a key of `COMPARISONS`.
    known : Uncertainty
    """
    figure, (axis,) = panels(1, width=9.4 if known.band_keys("rsa") or known.test_keys("rsa", PAIRS) else 8)
    for pair in PAIRS:
        profile(axis, pair, scores[pair], known.interval("rsa", pair), known.significant("rsa", pair))
    layer_axis(axis, layers)
    axis.set(title="Representational similarity of Q, K and V", ylabel=COMPARISONS[comparison].axis)
    axis.set_ylim(show_limits(widened([scores[pair] for pair in PAIRS] + known.ends("rsa", PAIRS))))
    _legend(figure, [*known.band_keys("rsa"), *known.test_keys("rsa", PAIRS)])
    return figure


def _of_categories(run: "Results") -> str:
    within, across = (np.mean([run.rsa[f"{pair}_{kind}"] for pair in PAIRS]) for kind in ("within", "across"))
    return (
        f"Cohen's d: {ranges(MATRICES, run.separability, run)}. Mean RSA within categories {number(within)}, "
        f"across {number(across)}." + above_chance(run, "d", MATRICES)
    )


@figure(
    8,
    "Categories over layers",
    values=lambda run: (run.separability, run.rsa, run.numbers, shown(run)),
    caption=_of_categories,
    alternative="Lines over layers: Cohen's d of Q, K and V; RSA scores within, and across categories",
)
def category_profile(
    d: Mapping[str, np.ndarray], rsa: Mapping[str, np.ndarray], layers: Sequence[int], known: Uncertainty = CERTAIN
) -> Figure:
    """Draw Figure 8: effect sizes, and RSA scores within and across categories, over layers.

    Parameters
    ----------
    d : mapping of "q", "k", "v" to ndarray, shape (layers,)
        Cohen's d.
    rsa : mapping of str to ndarray, shape (layers,)
        ``{qk,qv,kv}_{within,across}``.
    layers : sequence of int
        Their numbers.
    known : Uncertainty
    """
    figure, axes = panels(3, width=13)
    for name in MATRICES:
        profile(axes[0], name, d[name], known.interval("d", name), known.significant("d", name))
    axes[0].axhline(0, color="grey", linestyle="--", linewidth=1)
    axes[0].set(title="Effect size", ylabel="Cohen's d")
    scores = [rsa[f"{pair}_{kind}"] for pair in PAIRS for kind in ("within", "across")]
    limits = show_limits(widened(scores + known.ends("rsa_within", PAIRS) + known.ends("rsa_across", PAIRS)))
    for axis, kind in zip(axes[1:], ("within", "across"), strict=True):
        for pair in PAIRS:
            profile(axis, pair, rsa[f"{pair}_{kind}"], known.interval(f"rsa_{kind}", pair))
        axis.set(title=kind.capitalize(), ylabel="RSA score", ylim=limits)
    for axis in axes:
        layer_axis(axis, layers)
        axis.legend(loc="best", fontsize=10)
    handles = [*known.band_keys("d"), *known.test_keys("d", MATRICES, "Cohen's d: ")]  # RSA is not tested here
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=10)
    return figure


def _above(run: "Results") -> str:
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
    """Draw Figure 9: within- against across-category RSA, a marker a pair and layer.

    Parameters
    ----------
    rsa : mapping of str to ndarray, shape (layers,)
        ``{qk,qv,kv}_{within,across}``.
    layers : sequence of int
        Their numbers.
    """
    figure, (axis,) = panels(1, width=7, height=6)
    scores = np.concatenate([rsa[f"{pair}_{kind}"] for pair in PAIRS for kind in ("within", "across")])
    low, high = show_limits((scores.min(), scores.max()))
    axis.plot([low, high], [low, high], color="grey", linestyle="--", linewidth=1, zorder=0)
    for pair in PAIRS:
        points = axis.scatter(
            rsa[f"{pair}_across"],
            rsa[f"{pair}_within"],
            c=np.arange(len(layers)),
            cmap="plasma",
            marker=MARKS[pair].marker,
            s=55,
            edgecolors=rcParams["text.color"],
            linewidths=0.5,
            zorder=2,
        )
    axis.set(xlabel="Across-category RSA", ylabel="Within-category RSA", xlim=(low, high), ylim=(low, high))
    axis.set_aspect("equal")
    axis.set_title("RSA within and across categories")
    handles: list[Artist] = [
        Line2D([], [], color="grey", marker=MARKS[pair].marker, linestyle="", markersize=8, label=MARKS[pair].label)
        for pair in PAIRS
    ]
    axis.legend(handles=handles, loc="lower right", fontsize=10)
    bar = figure.colorbar(points, ax=axis, label="Transformer layer", shrink=0.9)
    number_layers(bar.ax.yaxis, layers)
    return figure


def _legend(figure: Figure, more: Sequence[Artist] = ()) -> None:
    """Place the legend beside the axes, where it hides no line."""
    handles, _ = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles=[*handles, *more], loc="outside right center")
