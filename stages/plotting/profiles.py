"""Figures over layers: laminar profiles, and within- against across-category RSA."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from stages.artefacts.results import Results
from stages.geometry.names import MATRICES, PAIRS, Scores
from stages.plotting.captions import above_chance, of_units, ranges
from stages.plotting.layers import layer_axis, legend_below, limit, number_layers, profile, zero
from stages.plotting.names import COMPARISON_LABELS, number
from stages.plotting.registry import figure
from stages.plotting.style import MARKS, area_key, line_key, panels, percent, show_limits


@dataclass(frozen=True)
class Uncertainty:
    """Intervals and tests of a run, as far as a figure is to show them: where there are none, nothing is shown."""

    scores: Scores = field(default_factory=dict)  # "low", "high" and "p_familywise" by measure and matrix or pair
    alpha: float = 0.05  # level of the tests; intervals hold 1 - alpha
    bands: bool = True  # whether intervals are shown
    marks: bool = True  # whether tests are

    def interval(self, measure: str, name: str) -> Mapping[str, np.ndarray] | None:
        """Return "low" and "high" of a matrix or pair, or None."""
        return self.scores.get((measure, name)) if self.bands else None

    def ends(self, measure: str, names: Sequence[str]) -> list[np.ndarray]:
        """List the ends of all intervals that are shown, for the limits of an axis."""
        intervals = [interval for name in names if (interval := self.interval(measure, name))]
        return [interval[end] for interval in intervals for end in ("low", "high")]

    def significant(self, measure: str, name: str) -> np.ndarray | None:
        """Return in which layers a family-wise test is passed, or None."""
        cells = self.scores.get((measure, name)) if self.marks else None
        return cells["p_familywise"] <= self.alpha if cells else None

    def band_keys(self, measure: str) -> list[Artist]:
        """List what the legend says of bands."""
        known = self.bands and any(names[0] == measure for names in self.scores)
        return [area_key(f"{percent(self.alpha)} interval", alpha=0.4)] if known else []

    def test_keys(self, measure: str, names: Sequence[str], of: str = "") -> list[Artist]:
        """List what the legend says of full and hollow marks, of those that occur."""
        tested = [passed for name in names if (passed := self.significant(measure, name)) is not None]
        kinds = {True: ("≤", {}), False: (">", {"markerfacecolor": "none"})}
        return [
            line_key(f"{of}family-wise p {sign} {self.alpha:g}", marker="o", line="", markersize=7, **fill)
            for passed, (sign, fill) in kinds.items()
            if any((cells == passed).any() for cells in tested)
        ]


#: No interval and no test.
CERTAIN = Uncertainty()


def shown(run: Results) -> Uncertainty:
    """Return what of a run's tests and intervals its figures are to show."""
    return Uncertainty(run.inference, run.alpha, run.bands, run.marks)


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


def _of_scores(run: Results) -> Uncertainty:
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
        f"RSA score ({COMPARISON_LABELS[run.comparison].name}): {ranges(PAIRS, run.rsa, run)}."
        + above_chance(run, "rsa", PAIRS)
    ),
    alternative="Three lines over layers: RSA scores of Q–K, Q–V and K–V",
)
def rsa_profile(
    scores: Mapping[str, np.ndarray], layers: Sequence[int], comparison: str = "pearson", known: Uncertainty = CERTAIN
) -> Figure:
    """Draw Figure 6: RSA scores by pair, shape (layers,); `comparison` is a key of `COMPARISON_LABELS`."""
    more = [*known.band_keys("rsa"), *known.test_keys("rsa", PAIRS)]
    figure, (axis,) = panels(1, width=9.4 if more else 8)
    for pair in PAIRS:
        profile(axis, pair, scores[pair], known.interval("rsa", pair), known.significant("rsa", pair))
    layer_axis(axis, layers)
    axis.set(title="Representational similarity of Q, K and V", ylabel=COMPARISON_LABELS[comparison].axis)
    limit([axis], [scores[pair] for pair in PAIRS] + known.ends("rsa", PAIRS))
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
    values=lambda run: (run.separability, run.rsa, run.numbers, shown(run)),
    caption=_of_categories,
    alternative="Lines over layers: Cohen's d of Q, K and V; RSA scores within, and across categories",
)
def category_profile(
    d: Mapping[str, np.ndarray], rsa: Mapping[str, np.ndarray], layers: Sequence[int], known: Uncertainty = CERTAIN
) -> Figure:
    """Draw Figure 8: Cohen's d by matrix and RSA scores by ``{pair}_within`` and ``{pair}_across``, shape (layers,)."""
    figure, axes = panels(3, width=13)
    for name in MATRICES:
        profile(axes[0], name, d[name], known.interval("d", name), known.significant("d", name))
    zero(axes[:1], 1, "--")
    axes[0].set(title="Effect size", ylabel="Cohen's d")
    kinds = ("within", "across")
    for axis, kind in zip(axes[1:], kinds, strict=True):
        for pair in PAIRS:
            profile(axis, pair, rsa[f"{pair}_{kind}"], known.interval(f"rsa_{kind}", pair))
        axis.set(title=kind.capitalize(), ylabel="RSA score")
    ends = [end for kind in kinds for end in known.ends(f"rsa_{kind}", PAIRS)]
    limit(axes[1:], [rsa[f"{pair}_{kind}"] for pair in PAIRS for kind in kinds] + ends)
    for axis in axes:
        layer_axis(axis, layers)
        legend_below(axis)
    handles = [*known.band_keys("d"), *known.test_keys("d", MATRICES, "Cohen's d: ")]  # RSA is not tested here
    if handles:
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
    ends = show_limits((scores.min(), scores.max()))
    axis.plot(ends, ends, color="grey", linestyle="--", linewidth=1, zorder=0)
    look = {"c": np.arange(len(layers)), "cmap": "plasma", "s": 55, "linewidths": 0.5, "zorder": 2}
    for pair in PAIRS:
        places = rsa[f"{pair}_across"], rsa[f"{pair}_within"]
        points = axis.scatter(*places, marker=MARKS[pair].marker, edgecolors=rcParams["text.color"], **look)
    axis.set(xlabel="Across-category RSA", ylabel="Within-category RSA", xlim=ends, ylim=ends)
    axis.set_aspect("equal")
    axis.set_title("RSA within and across categories")
    keys = [line_key(MARKS[pair].label, marker=MARKS[pair].marker, line="", markersize=8) for pair in PAIRS]
    axis.legend(handles=keys, loc="lower right", fontsize=10)
    bar = figure.colorbar(points, ax=axis, label="Transformer layer", shrink=0.9)
    number_layers(bar.ax.yaxis, layers)
    return figure


def _legend(figure: Figure, more: Sequence[Artist] = ()) -> None:
    """Place the legend beside the axes, where it hides no line."""
    handles, _ = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles=[*handles, *more], loc="outside right center")
