"""Figures over layers: the paradox in one picture, laminar profiles, and within- against across-category RSA."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from stages.artefacts.results import Results
from stages.geometry.comparison import COMPARISONS
from stages.geometry.names import MATRICES, PAIRS, Scores
from stages.plotting.captions import above_chance, numbers, of_units, ranges
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


def _random_maps(run: Results) -> list[np.ndarray]:
    """Return the ends of the range of maps with the trained spectra, mean over pairs: (layers,) each, or nothing."""
    keys = [("rsa", pair, run.record.get("transform"), run.comparison, "spectrum") for pair in PAIRS]
    cells = [run.null_choices[key] for key in keys if key in run.null_choices]
    return [np.mean([one[end] for one in cells], axis=0) for end in ("low", "high") if cells]


def _of_paradox(run: Results) -> str:
    r, rsa = ({pair: table[pair].mean() for pair in PAIRS if pair in table} for table in (run.correlation, run.rsa))
    units = of_units(run, f"Mean correlation of units at token {run.context}: {numbers(r)}.")
    dashed = f" Dashed: {percent(run.alpha)} of random maps with the trained spectra, mean over pairs."
    scores = f"Mean RSA score ({COMPARISONS[run.comparison].name}): {numbers(rsa)}."
    return f"{units} {scores}{dashed if _random_maps(run) else ''}"


@figure(
    0,
    "Different units, similar geometries?",
    values=lambda run: (run.correlation, run.rsa, run.numbers, _random_maps(run), percent(run.alpha)),
    caption=_of_paradox,
    alternative="Two panels over layers with one vertical axis: correlations of Q–K, Q–V and K–V unit by unit, and "
    "their RSA scores with the range of random maps",
)
def paradox(
    r: Mapping[str, np.ndarray], rsa: Mapping[str, np.ndarray], layers: Sequence[int], random_maps: Sequence, share: str
) -> Figure:
    """Draw Figure 0: correlations unit by unit, where there are, and RSA scores, by pair, shape (layers,), on one axis.

    `random_maps` are the ends of a range of RSA scores, or nothing; `share` is what it holds, such as "95 %".
    """
    figure, axes = panels(2, width=9.5, height=4.6)
    said = []
    for axis, name, table in zip(axes, ("Units: r", "Geometries: RSA"), (r, rsa), strict=True):
        scores = {pair: table[pair] for pair in PAIRS if pair in table}
        for pair, values in scores.items():
            profile(axis, pair, values)
        layer_axis(axis, layers)
        low, high = (number(end([*scores.values()])) if scores else "" for end in (np.min, np.max))
        said.append(f"{name} from {low} to {high}" if scores else "Units: cannot be paired")
    for end in random_maps:
        axes[1].plot(end, color="grey", linestyle="--")
    axes[0].set(title="Unit by unit: correlation", ylabel="Correlation, or RSA score")
    axes[1].set_title("By geometry: RSA")
    zero(axes)
    limit(axes, [line.get_ydata() for axis in axes for line in axis.lines], (-0.8, 1.0))
    dashed = [line_key(f"random maps with the trained spectra ({share})", line="--")] * bool(len(random_maps))
    handles = [*axes[1].get_legend_handles_labels()[0], *dashed]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=10)
    figure.suptitle(". ".join(said))
    return figure


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
    if defined:
        figure.legend(loc="outside right center")
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
    figure.legend(handles=[*axis.get_legend_handles_labels()[0], *more], loc="outside right center")
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
