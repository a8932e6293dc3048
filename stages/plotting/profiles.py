"""Figures over layers: laminar profiles, and within- against across-category RSA."""

from collections.abc import Mapping

import numpy as np
from matplotlib import rcParams
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from stages.plotting.style import MARKS, MATRICES, PAIRS, layer_axis, panels, profile, show_limits, widened


def activation_correlation(r: Mapping[str, np.ndarray]) -> Figure:
    """Draw Figure 3: unit-by-unit correlations over layers.

    Parameters
    ----------
    r : mapping of "qk", "qv", "kv" to ndarray, shape (layers,)
    """
    figure, (axis,) = panels(1, width=8)
    axis.axhline(0, color="grey", linestyle="--", linewidth=1)
    for pair in PAIRS:
        profile(axis, pair, r[pair])
    layer_axis(axis, len(r["qk"]))
    axis.set(title="Correlations of Q, K and V activations", ylabel="Correlation coefficient")
    axis.set_ylim(show_limits(widened([r[pair] for pair in PAIRS], (-0.5, 0.5))))
    _legend(figure)
    return figure


def rsa_profile(scores: Mapping[str, np.ndarray]) -> Figure:
    """Draw Figure 6: RSA scores over layers.

    Parameters
    ----------
    scores : mapping of "qk", "qv", "kv" to ndarray, shape (layers,)
    """
    figure, (axis,) = panels(1, width=8)
    for pair in PAIRS:
        profile(axis, pair, scores[pair])
    layer_axis(axis, len(scores["qk"]))
    axis.set(title="Representational similarity of Q, K and V", ylabel="RSA scores")
    axis.set_ylim(show_limits(widened([scores[pair] for pair in PAIRS])))
    _legend(figure)
    return figure


def category_profile(d: Mapping[str, np.ndarray], rsa: Mapping[str, np.ndarray]) -> Figure:
    """Draw Figure 8: effect sizes, and RSA scores within and across categories, over layers.

    Parameters
    ----------
    d : mapping of "q", "k", "v" to ndarray, shape (layers,)
        Cohen's d.
    rsa : mapping of str to ndarray, shape (layers,)
        ``{qk,qv,kv}_{within,across}``.
    """
    figure, axes = panels(3, width=13)
    for name in MATRICES:
        profile(axes[0], name, d[name])
    axes[0].axhline(0, color="grey", linestyle="--", linewidth=1)
    axes[0].set(title="Effect size", ylabel="Cohen's d")
    limits = show_limits(widened([rsa[f"{pair}_{kind}"] for pair in PAIRS for kind in ("within", "across")]))
    for axis, kind in zip(axes[1:], ("within", "across"), strict=True):
        for pair in PAIRS:
            profile(axis, pair, rsa[f"{pair}_{kind}"])
        axis.set(title=kind.capitalize(), ylabel="RSA score", ylim=limits)
    for axis in axes:
        layer_axis(axis, len(d["q"]))
        axis.legend(loc="best", fontsize=10)
    return figure


def within_vs_across(rsa: Mapping[str, np.ndarray]) -> Figure:
    """Draw Figure 9: within- against across-category RSA, a marker a pair and layer.

    Parameters
    ----------
    rsa : mapping of str to ndarray, shape (layers,)
        ``{qk,qv,kv}_{within,across}``.
    """
    figure, (axis,) = panels(1, width=7, height=6)
    low, high = show_limits(widened([rsa[f"{pair}_{kind}"] for pair in PAIRS for kind in ("within", "across")]))
    axis.plot([low, high], [low, high], color="grey", linestyle="--", linewidth=1, zorder=0)
    layers = np.arange(len(rsa["qk_within"]))
    for pair in PAIRS:
        points = axis.scatter(
            rsa[f"{pair}_across"],
            rsa[f"{pair}_within"],
            c=layers,
            cmap="plasma",
            marker=MARKS[pair].marker,
            s=55,
            edgecolors=rcParams["text.color"],
            linewidths=0.5,
        )
    axis.set(xlabel="Across-category RSA", ylabel="Within-category RSA", xlim=(low, high), ylim=(low, high))
    axis.set_aspect("equal")
    axis.set_title("RSA within and across categories")
    shapes = [
        Line2D([], [], color="grey", marker=MARKS[pair].marker, linestyle="", markersize=8, label=MARKS[pair].label)
        for pair in PAIRS
    ]
    axis.legend(handles=shapes, loc="lower right")
    figure.colorbar(points, ax=axis, label="Transformer layer", shrink=0.9)
    return figure


def _legend(figure: Figure) -> None:
    """Put the legend beside the axes, where it hides no line."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center")
