"""Figures over layers: the paradox in one picture, laminar profiles, and within- against across-category RSA."""

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from stages.artefacts.results import Results
from stages.geometry.comparison import COMPARISONS
from stages.geometry.names import MATRICES, PAIRS, Arrays, Scores
from stages.plotting.captions import above_chance, labelled, number, numbers, of_units, ranges, span
from stages.plotting.layers import dashed, limit, over_layers, zero
from stages.plotting.registry import figure
from stages.plotting.style import MARKS, explain, line_key, mark_keys, panels, percent, show_limits


def shown(run: Results) -> Scores:
    """Return the intervals and tests that figures are to show: "low" and "high", "p_familywise", or none of them."""
    columns = ("low", "high") * run.bands + ("p_familywise",) * run.marks
    return {names: {c: cells[c] for c in columns if c in cells} for names, cells in run.inference.items()}


def keys(known: Scores, measure: str, alpha: float, of: str = "") -> list[Artist]:
    """List what the legend says of a measure's bands, and of full and hollow marks that occur."""
    known = [cells for names, cells in known.items() if names[0] == measure]
    p = np.ravel([cells.get("p_familywise", []) for cells in known])
    return [
        *[line_key(f"{percent(alpha)} interval", marker="|", line="", ms=14)] * any("low" in cells for cells in known),
        *[line_key(f"{of}family-wise p ≤ {alpha:g}", marker="o", line="")] * bool((p <= alpha).any()),
        *[line_key(f"{of}family-wise p > {alpha:g}", marker="o", line="", mfc="none")] * bool((p > alpha).any()),
    ]


def _random_maps(run: Results) -> list[np.ndarray]:
    """Return the ends of the range of maps with the trained spectra, mean over pairs: (layers,) each, or nothing."""
    keys = [("rsa", pair, run.record.get("transform"), run.comparison, "spectrum") for pair in PAIRS]
    cells = [run.null_choices[key] for key in keys if key in run.null_choices]
    return [np.mean([one[end] for one in cells], axis=0) for end in ("low", "high") if cells]


def _dashed_key(random_maps: Sequence, share: str) -> list[Artist]:
    return [line_key(f"random maps with the trained spectra ({share})", line="--")] * bool(len(random_maps))


def _of_paradox(run: Results) -> str:
    r, rsa = numbers(labelled(run.correlation)), numbers(labelled(run.rsa))
    units = of_units(run, f"Mean correlation of units at token {run.context}: {r}.")
    dashed = f" Dashed: {percent(run.alpha)} of random maps with the trained spectra, mean over pairs."
    return f"{units} Mean RSA score ({COMPARISONS[run.comparison].name}): {rsa}.{dashed * bool(_random_maps(run))}"


@figure(
    0,
    "Different units, similar geometries?",
    values=lambda run: (run.correlation, run.rsa, run.numbers, _random_maps(run), percent(run.alpha)),
    caption=_of_paradox,
    alternative="Two panels over layers with one vertical axis: correlations of Q–K, Q–V and K–V unit by unit, and "
    "their RSA scores with the range of random maps",
)
def paradox(r: Arrays, rsa: Arrays, layers: Sequence[int], random_maps: Sequence, share: str) -> Figure:
    """Draw Figure 0: correlations unit by unit, where there are, and RSA scores, by pair, shape (layers,), on one axis.

    `random_maps` are the ends of a range of RSA scores, or nothing; `share` is what it holds, such as "95 %".
    """
    figure, axes = panels(2, height=4.8)
    r, rsa = labelled(r), labelled(rsa)
    over_layers(axes[0], layers, r)
    over_layers(axes[1], layers, rsa)
    dashed(axes[1], random_maps)
    axes[0].set(title="Unit by unit: correlation", ylabel="Correlation, or RSA score")
    axes[1].set_title("By geometry: RSA")
    zero(axes)
    limit(axes, (-0.8, 1.0))
    units = f"r {span(r.values())}" if r else "cannot be paired"
    said = f"Units: {units}. Geometries: RSA {span(rsa.values())}"
    return explain(figure, said, [*mark_keys(PAIRS), *_dashed_key(random_maps, share)])


@figure(
    3,
    "Correlation of activations over layers",
    values=lambda run: (run.correlation, run.numbers),
    caption=lambda run: of_units(run, f"{ranges(run.correlation, run)}."),
    alternative="Lines over layers: correlation of activations of Q–K, Q–V and K–V",
    at_target=False,
)
def activation_correlation(r: Arrays, layers: Sequence[int]) -> Figure:
    """Draw Figure 3: unit-by-unit correlations by pair, shape (layers,), of the pairs that can be correlated."""
    figure, (axis,) = panels(1)
    r = labelled(r)
    zero([axis])
    over_layers(axis, layers, r)
    axis.set_ylabel("Correlation of units")
    limit([axis], (-0.5, 0.5))
    return explain(figure, f"Unit by unit, r {span(r.values())}" if r else "Units cannot be paired", mark_keys(r))


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
        f"RSA score ({COMPARISONS[run.comparison].name}): {ranges(run.rsa, run)}." + above_chance(run, "rsa")
    ),
    alternative="Three lines over layers: RSA scores of Q–K, Q–V and K–V, with the range of random maps",
)
def rsa_profile(
    scores: Arrays, layers: Sequence[int], comparison: str, known: Scores, alpha: float, random_maps: Sequence
) -> Figure:
    """Draw Figure 6: RSA scores by pair, shape (layers,); `comparison` is a key of `COMPARISONS`, the rest as above."""
    figure, (axis,) = panels(1, height=4.4)
    scores = {pair: scores[pair] for pair in PAIRS}
    over_layers(axis, layers, scores, known, "rsa", alpha)
    dashed(axis, random_maps)
    axis.set_ylabel(COMPARISONS[comparison].axis)
    limit([axis])
    more = [*keys(known, "rsa", alpha), *_dashed_key(random_maps, percent(alpha))]
    return explain(figure, f"By geometry, RSA {span(scores.values())}", [*mark_keys(PAIRS), *more], 3)


def _by_kind(rsa: Arrays) -> dict[str, Arrays]:
    """Return RSA scores within and across categories, by pair."""
    return {kind: {pair: rsa[f"{pair}_{kind}"] for pair in PAIRS} for kind in ("within", "across")}


def _of_categories(run: Results) -> str:
    within, across = (number(np.mean([*scores.values()])) for scores in _by_kind(run.rsa).values())
    return (
        f"Cohen's d: {ranges(run.separability, run)}. Mean RSA within categories {within}, across {across}."
        + above_chance(run, "d")
    )


@figure(
    8,
    "Categories over layers",
    values=lambda run: (run.separability, run.rsa, run.numbers, shown(run), run.alpha),
    caption=_of_categories,
    alternative="Lines over layers: Cohen's d of Q, K and V; RSA scores within, and across categories",
)
def category_profile(d: Arrays, rsa: Arrays, layers: Sequence[int], known: Scores, alpha: float) -> Figure:
    """Draw Figure 8: Cohen's d by matrix and RSA scores by ``{pair}_within`` and ``{pair}_across``, shape (layers,)."""
    figure, axes = panels(3, height=4.2)
    d, rsa = labelled(d), _by_kind(rsa)
    over_layers(axes[0], layers, d, known, "d", alpha)
    zero(axes[:1])
    axes[0].set(title="Cohen's d")
    for axis, (kind, scores) in zip(axes[1:], rsa.items(), strict=True):
        over_layers(axis, layers, scores, known, f"rsa_{kind}")  # RSA is not tested here
        axis.set(title=f"RSA {kind} categories")
    limit(axes[1:])
    within, across = (number(np.mean([*scores.values()])) for scores in rsa.values())
    said = f"Cohen's d {span(d.values())}. Mean RSA {within} within categories, {across} across"
    return explain(figure, said, [*mark_keys((*MATRICES, *PAIRS)), *keys(known, "d", alpha, "Cohen's d: ")], 3)


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
def within_vs_across(rsa: Arrays, decided: Arrays, share: str) -> Figure:
    """Draw Figure 9: RSA scores ``{pair}_within`` against ``{pair}_across``, shape (layers,), a marker a layer.

    By pair, `decided` says in which layers the interval of their difference, which holds `share`, leaves out 0: other
    marks are hollow. It is empty where no interval is known.
    """
    figure, (axis,) = panels(1, height=5.2)
    within, across = (np.array([*scores.values()]) for scores in _by_kind(rsa).values())
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
    return explain(figure, said, keys, 3)
