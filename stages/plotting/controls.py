"""Figures 10 to 12: random maps step by step, what is in the input already, and what other choices would say."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from stages.artefacts.results import Results
from stages.artefacts.schema import RSA_BY
from stages.geometry.comparison import COMPARISONS
from stages.geometry.names import EVERY, INPUT, LABELS, MATRICES, PAIRS, RUNGS, Arrays, Scores
from stages.geometry.transforms import TRANSFORMS
from stages.plotting.captions import MEASURES, counts, labelled, number, numbers, places, values_of
from stages.plotting.layers import dashed, layer_axis, limit, lone, over_layers, profile, zero
from stages.plotting.registry import figure
from stages.plotting.style import MARKS, explain, line_key, mark_keys, panels, percent

#: What rungs are called below the axis, all but the last, the trained maps; others as they are.
BELOW = {
    "gaussian": "any map",
    "spectrum": "spectrum\nas narrow",
    "orientation": "directions\nshared",
    "unbiased": "aligned with\nthe input",
}


def _of_ladder(run: Results) -> str:
    mean = {rung: numbers(values_of(run.nulls, "rsa", PAIRS, rung)) for rung in RUNGS}
    return (
        f"Mean RSA of any maps of the input: {mean['gaussian']}; with the trained spectra: {mean['spectrum']}; turned "
        f"together: {mean['orientation']}; as trained: {mean['trained']}. Layers that lie above, among or below maps "
        f"with the trained spectra, under every transform and comparison: {places(run, 'rsa')}."
    )


@figure(
    10,
    "Where the agreement comes from",
    values=lambda run: (run.nulls, run.numbers),
    caption=_of_ladder,
    alternative="For each pair, RSA from random maps step by step to the trained ones: a thin line for each layer, a "
    "thick one for their mean, and above it what each step adds",
    table="nulls",
)
def ladder(nulls: Scores, layers: Sequence[int]) -> Figure:
    """Draw Figure 10: RSA from rung to rung, of each pair a panel, of each layer a line.

    `nulls` is the table of that name, by measure, pair, and rung or step.
    """
    rungs = [rung for rung in RUNGS if rung != "trained" or has_bias(nulls)]
    figure, axes = panels(3, height=4.6)
    for axis, pair in zip(axes, PAIRS, strict=True):
        colour, marker = MARKS[pair]
        scores = np.array([nulls["rsa", pair, rung]["value"] for rung in rungs])
        axis.plot(scores, color="grey", linewidth=0.8)
        axis.plot(scores.mean(axis=1), color=colour, linewidth=3.5)
        axis.plot(np.full(len(layers), len(rungs) - 1), scores[-1], marker, color=colour, markersize=5, alpha=0.7)
        axis.set_title(f"{LABELS[pair]}\n", linespacing=1.6)
        if np.ptp(np.sort(scores[-1])[:2]) > 0.1:  # one stands apart
            lowest = scores[-1].argmin()
            where = {"ha": "right", "va": "bottom", "xytext": (0, 5), "textcoords": "offset points", "fontsize": 10}
            axis.annotate(f"layer {layers[lowest]}", (len(rungs) - 1, scores[-1, lowest]), **where)
        for place, added in enumerate(np.diff(scores.mean(axis=1))):
            look = {"transform": axis.get_xaxis_transform(), "ha": "center", "color": colour, "fontsize": 10}
            axis.text(place + 0.5, 1.02, f"{added.round(2) + 0:+.2f}".replace("-", "−"), **look)
        names = [*(BELOW.get(rung, rung) for rung in rungs[:-1]), "trained"]
        axis.set_xticks(range(len(rungs)), names, rotation=90, fontsize=10)
    limit(axes, (0.4, 1.0))
    axes[0].set_ylabel("RSA score")
    steps = {step: np.mean([*values_of(nulls, "rsa_step", PAIRS, step).values()]) for step in RUNGS.values() if step}
    most = max(steps, key=lambda step: abs(steps[step]))
    said = f"From any map to the trained ones: {most} changes RSA most ({number(steps[most])} on average)"
    keys = [line_key("one layer", linewidth=0.8), line_key("mean, and what each step adds to it", linewidth=3.5)]
    return explain(figure, said, keys)


def has_bias(nulls: Scores) -> bool:
    """Return whether the model's Q, K and V have biases, which the nulls have not: without, their step is 0."""
    return any(cells["value"].any() for (*_, rung), cells in nulls.items() if rung == "bias")


def _of_input(run: Results) -> str:
    partial = {pair: run.controls["partial_rsa", pair] for pair in PAIRS}
    above, below = {p: c["low"] > 0 for p, c in partial.items()}, {p: c["high"] < 0 for p, c in partial.items()}
    return (
        f"Mean RSA to the input {numbers(values_of(run.controls, 'rsa_to_input', MATRICES))}. RSA given the input: "
        f"interval above 0 (of {run.layers} layers) {counts(above)}; below 0 {counts(below)}. Mean Cohen's d "
        f"{numbers(labelled(run.separability))}; of the input "
        f"{number(run.controls['d_of_input', INPUT]['value'].mean())}."
    )


@figure(
    11,
    "Is it in the input already?",
    values=lambda run: (run.pearson, run.separability, run.controls, run.nulls, run.alpha, run.numbers),
    caption=_of_input,
    alternative="Two panels over layers: RSA of each pair, as it is and given the input, with the range of random "
    "maps; Cohen's d of each matrix and of the input",
    table="controls",
)
def controls(
    rsa: Arrays, separability: Arrays, controls: Scores, nulls: Scores, alpha: float, layers: Sequence[int]
) -> Figure:
    """Draw Figure 11: RSA and separability over layers, and what is known of their input.

    Arguments are the tables of these names; RSA is Pearson's r. Without nulls, RSA given the input stands without the
    range of random maps, which holds 1 - alpha of the draws.
    """
    figure, (left, right) = panels(2, height=4.6)
    given, of_input = values_of(controls, "partial_rsa", PAIRS), controls["d_of_input", INPUT]["value"]
    d = {name: separability[name] for name in MATRICES}
    for pair, values in rsa.items():
        left.plot(values, marker=lone(values), color=MARKS[pair].colour, linewidth=1, linestyle=":")
        profile(left, pair, given[pair])
    layer_axis(left, layers)
    if nulls:
        null = [nulls["partial_rsa", pair, "spectrum"] for pair in PAIRS]
        dashed(left, [np.mean([cells[end] for cells in null], axis=0) for end in ("low", "high")])
    over_layers(right, layers, d)
    text = rcParams["text.color"]
    right.plot(of_input, marker=lone(of_input), color=text, linewidth=2.5)
    left.set_title("RSA given the input")
    right.set_title("Cohen's d")
    zero([left, right])
    limit([left], (-0.5, 1.0))
    limit([right], (0.0, 1.0))
    means = [number(np.mean([*scores.values()])) for scores in (rsa, given)]
    said = (
        f"Mean RSA is {means[0]}, and {means[1]} given the input.\n"
        f"Mean Cohen's d is {number(of_input.mean())} in the input; {numbers(d)}"
    )
    keys = [
        *mark_keys((*PAIRS, *MATRICES)),
        line_key("RSA as it is", line=":", linewidth=1),
        line_key("Cohen's d of the input", text, linewidth=2.5),
        *[line_key(f"random maps, given the input ({percent(alpha)})", line="--")] * bool(nulls),
    ]
    return explain(figure, said, keys, 3)


def _of_choices(run: Results) -> str:
    def means_of(measure: str, names: Sequence[str]) -> str:
        means = {t: np.mean([*values_of(run.robustness, measure, names, t).values()]) for t in TRANSFORMS}
        return ", ".join(f"{transform.label} {number(means[name])}" for name, transform in TRANSFORMS.items())

    said = ""
    if run.robustness:
        rsa = "; ".join(f"RSA by {COMPARISONS[c].name}: {means_of(measure, PAIRS)}" for c, measure in RSA_BY.items())
        said = f"Means by transform of the vectors. {rsa}; Cohen's d: {means_of('d', MATRICES)}. "
    return (
        f"{said}Layers that lie above, among or below random maps with the trained spectra, under every transform and "
        f"comparison: {'; '.join(places(run, measure) for measure in MEASURES)}."
    )


@figure(
    12,
    "The same under other choices",
    values=lambda run: (run.null_choices, run.verdicts, run.alpha, run.numbers),
    caption=_of_choices,
    alternative="A map, a row for each pair and matrix, a column for each layer: under how many choices of transform "
    "and comparison a score lies above or below random maps",
    table="nulls",
)
def robustness(nulls: Scores, verdicts: pd.DataFrame, alpha: float, layers: Sequence[int]) -> Figure:
    """Draw Figure 12: for each score the share of choices under which it lies above random maps, less that below.

    `nulls` are by measure, pair or matrix, transform, comparison and rung; `verdicts` are those of `Results`. A score
    lies beyond maps with the trained spectra where family-wise p is at most alpha.
    """
    names = [(measure, name) for measure, (_, of) in MEASURES.items() for name in of]
    shares = np.zeros((len(names), len(layers)))
    for row, names_of in zip(shares, names, strict=True):
        choices = [key[:4] for key in nulls if key[:2] == names_of and key[4] == "spectrum"]
        for choice in choices:
            null, own = nulls[*choice, "spectrum"], nulls[*choice, "unbiased"]["value"]
            row += np.where(null["p_familywise"] <= alpha, np.sign(own - null["value"]), 0) / len(choices)
    figure, (axis,) = panels(1, height=3.9)
    text, page = rcParams["text.color"], rcParams["axes.facecolor"]
    # One colour for above, one for below; the other ends of the two scales are what the page is.
    colours = LinearSegmentedColormap.from_list("", ["C7", page, "C6"])
    image = axis.imshow(shares, colours, vmin=-1, vmax=1, aspect="auto")
    axis.plot(*np.argwhere(np.isclose(np.abs(shares), 1)).T[::-1], "o", color=text, mec=page)
    axis.axhline(2.5, color="grey", linewidth=0.8)
    axis.set_yticks(range(len(names)), [f"{MEASURES[measure][0]} of {LABELS[name]}" for measure, name in names])
    layer_axis(axis, layers)
    bar = figure.colorbar(image, ax=axis, ticks=[-1, 0, 1], pad=0.02)
    bar.ax.set_yticklabels(["below under\nevery choice", "among", "above under\nevery choice"])
    said = (sides(measure, verdicts.loc[measure, EVERY, "spectrum"]) for measure in MEASURES)
    return explain(figure, f"Beyond random maps under every choice?\n{'. '.join(said)}")


def sides(measure: str, verdicts: pd.DataFrame) -> str:
    """Return what all choices say of a measure among random maps; `verdicts` are those of all names, by choice."""
    every = verdicts.loc[EVERY, EVERY]
    sides = [f"{every[side]} {side}" for side in ("above", "below") if every[side]]
    reason = f" ({every.verdict})" if verdicts[["above", "below"]].to_numpy().any() else ", whatever the choice"
    found = " and ".join(sides) or "none"
    return f"{MEASURES[measure][0]}: {found} of {every.above + every.inside + every.below}{reason * (not sides)}"
