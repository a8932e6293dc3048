"""Figures over layers: the paradox in one picture, laminar profiles, and within- against across-category RSA."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from stages.artefacts.results import Results
from stages.geometry.comparison import COMPARISONS
from stages.geometry.names import MATRICES, PAIRS, Scores
from stages.plotting.captions import above_chance, numbers, of_units, ranges, span
from stages.plotting.layers import dashed, layer_axis, limit, profile, zero
from stages.plotting.names import number
from stages.plotting.registry import figure
from stages.plotting.style import MARKS, explain, line_key, mark_keys, panels, percent, show_limits


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
    found: list[Artist] = [line_key(f"{percent(alpha)} interval", marker="|", line="", ms=14)] * bool(
        ends(known, measure)
    )
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


def _dashed_key(random_maps: Sequence, share: str) -> list[Artist]:
    return [line_key(f"random maps with the trained spectra ({share})", line="--")] * bool(len(random_maps))


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
    figure, axes = panels(2, height=4.8)
    said = []
    for axis, name, table in zip(axes, ("Units: r", "Geometries: RSA"), (r, rsa), strict=True):
        scores = [(pair, table[pair]) for pair in PAIRS if pair in table]
        for pair, values in scores:
            profile(axis, pair, values)
        layer_axis(axis, layers)
        said.append(f"{name} {span(values for _, values in scores)}" if scores else "Units: cannot be paired")
    dashed(axes[1], random_maps)
    axes[0].set(title="Unit by unit: correlation", ylabel="Correlation, or RSA score")
    axes[1].set_title("By geometry: RSA")
    zero(axes)
    limit(axes, [line.get_ydata() for axis in axes for line in axis.lines], (-0.8, 1.0))
    explain(figure, ". ".join(said), [*mark_keys(PAIRS), *_dashed_key(random_maps, share)])
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
    figure, (axis,) = panels(1)
    zero([axis])
    defined = [pair for pair in PAIRS if pair in r]
    for pair in defined:
        profile(axis, pair, r[pair])
    layer_axis(axis, layers)
    axis.set_ylabel("Correlation of units")
    limit([axis], [r[pair] for pair in defined], (-0.5, 0.5))
    said = f"Unit by unit, r {span(r[pair] for pair in defined)}" if defined else "Units cannot be paired"
    explain(figure, said, mark_keys(defined))
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
    values=lambda run: (run.rsa, run.numbers, run.comparison, _of_scores(run), run.alpha, _random_maps(run)),
    caption=lambda run: (
        f"RSA score ({COMPARISONS[run.comparison].name}): {ranges(PAIRS, run.rsa, run)}."
        + above_chance(run, "rsa", PAIRS)
    ),
    alternative="Three lines over layers: RSA scores of Q–K, Q–V and K–V, with the range of random maps",
)
def rsa_profile(
    scores: Mapping[str, np.ndarray],
    layers: Sequence[int],
    comparison: str = "pearson",
    known: Scores = MappingProxyType({}),
    alpha: float = 0.05,
    random_maps: Sequence = (),
) -> Figure:
    """Draw Figure 6: RSA scores by pair, shape (layers,); `comparison` is a key of `COMPARISONS`, the rest as above."""
    figure, (axis,) = panels(1, height=4.4)
    for pair in PAIRS:
        profile(axis, pair, scores[pair], known.get(("rsa", pair)), alpha)
    dashed(axis, random_maps)
    layer_axis(axis, layers)
    axis.set_ylabel(COMPARISONS[comparison].axis)
    limit([axis], [*(scores[pair] for pair in PAIRS), *ends(known, "rsa"), *random_maps])
    more = [*keys(known, "rsa", alpha), *_dashed_key(random_maps, percent(alpha))]
    explain(figure, f"By geometry, RSA {span(scores[pair] for pair in PAIRS)}", [*mark_keys(PAIRS), *more], 3)
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
    figure, axes = panels(3, height=4.2)
    for name in MATRICES:
        profile(axes[0], name, d[name], known.get(("d", name)), alpha)
    zero(axes[:1])
    axes[0].set(title="Cohen's d")
    means = []
    for axis, kind in zip(axes[1:], ("within", "across"), strict=True):
        for pair in PAIRS:
            profile(axis, pair, rsa[f"{pair}_{kind}"], known.get((f"rsa_{kind}", pair)))
        axis.set(title=f"RSA {kind} categories")
        means.append(number(np.mean([rsa[f"{pair}_{kind}"] for pair in PAIRS])))
    scores = [rsa[f"{pair}_{kind}"] for pair in PAIRS for kind in ("within", "across")]
    limit(axes[1:], scores + ends(known, "rsa_within", "rsa_across"))
    for axis in axes:
        layer_axis(axis, layers)
    said = f"Cohen's d {span(d[name] for name in MATRICES)}. Mean RSA {means[0]} within categories, {means[1]} across"
    more = keys(known, "d", alpha, "Cohen's d: ")  # RSA is not tested here
    explain(figure, said, [*mark_keys((*MATRICES, *PAIRS)), *more], 3)
    return figure


def _above(run: Results) -> str:
    above = sum(int(np.sum(run.rsa[f"{pair}_within"] > run.rsa[f"{pair}_across"])) for pair in PAIRS)
    return f"RSA is higher within than across in {above} of {3 * run.layers} layers and pairs."


def _decided(run: Results) -> dict[str, np.ndarray]:
    """Return by pair in which layers the interval of the difference leaves out 0, if that is known and to be shown."""
    found = {pair: run.inference["rsa_gap", pair] for pair in PAIRS} if run.inference and run.marks else {}
    return {pair: (cells["low"] > 0) | (cells["high"] < 0) for pair, cells in found.items()}


@figure(
    9,
    "RSA within against across categories",
    values=lambda run: (run.rsa, _decided(run), percent(run.alpha)),
    caption=_above,
    alternative="A scatter plot with a line of unity: RSA within against RSA across categories, each pair and layer",
)
def within_vs_across(rsa: Mapping[str, np.ndarray], decided: Mapping[str, np.ndarray], share: str) -> Figure:
    """Draw Figure 9: RSA scores ``{pair}_within`` against ``{pair}_across``, shape (layers,), a marker a layer.

    By pair, `decided` says in which layers the interval of their difference, which holds `share`, leaves out 0: other
    marks are hollow. It is empty where no interval is known.
    """
    figure, (axis,) = panels(1, height=5.2)
    within, across = (np.array([rsa[f"{pair}_{kind}"] for pair in PAIRS]) for kind in ("within", "across"))
    for pair, y, x in zip(PAIRS, within, across, strict=True):
        look = {"color": MARKS[pair].colour, "marker": MARKS[pair].marker, "markersize": 8, "linestyle": ""}
        full = decided.get(pair, np.full(len(x), True))
        axis.plot(x[full], y[full], **look)
        axis.plot(x[~full], y[~full], mfc="none", mew=1.8, **look)
    low, high = min(within.min(), across.max()), max(within.max(), across.min())  # a piece of the line is in sight
    axis.set(xlabel="RSA across categories", xlim=show_limits((across.min(), across.max())))
    axis.set(ylabel="RSA within categories", ylim=show_limits((low, high)))
    axis.axline((low, low), slope=1, color="grey", linestyle="--", zorder=0)
    said = f"Within above across in {(within > across).sum()} of {within.size} scores"
    keys = [*mark_keys(PAIRS, line=""), line_key("within = across", line="--")]
    if decided:
        sure = int(np.sum((within > across) & np.array([*decided.values()])))
        said += f", in {sure} beyond the choice of words"
        hollow = line_key(f"hollow: {share} interval of the difference holds 0", marker="o", line="", mfc="none")
        keys += [hollow] * any((~some).any() for some in decided.values())
    explain(figure, said, keys, 3)
    return figure
