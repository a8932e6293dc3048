"""Figures 11 and 12: what is in the input already, and what other choices would say."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from stages.artefacts.results import Results
from stages.artefacts.schema import RSA_BY
from stages.geometry.comparison import COMPARISONS
from stages.geometry.names import INPUT, LABELS, MATRICES, PAIRS, Scores
from stages.geometry.transforms import TRANSFORMS
from stages.plotting.captions import EVERY, counts, numbers, places
from stages.plotting.layers import dashed, layer_axis, limit, lone, profile, zero
from stages.plotting.names import number
from stages.plotting.registry import figure
from stages.plotting.style import MARKS, explain, line_key, mark_keys, panels, percent


def _of_input(run: Results) -> str:
    partial = {pair: run.controls["partial_rsa", pair] for pair in PAIRS}
    above, below = {p: c["low"] > 0 for p, c in partial.items()}, {p: c["high"] < 0 for p, c in partial.items()}
    to_input = {name: run.controls["rsa_to_input", name]["value"].mean() for name in MATRICES}
    return (
        f"Mean RSA to the input {numbers(to_input)}. RSA given the input: interval above 0 (of {run.layers} layers) "
        f"{counts(above)}; below 0 {counts(below)}. Mean Cohen's d "
        f"{numbers({name: run.separability[name].mean() for name in MATRICES})}; of the input "
        f"{number(run.controls['d_of_input', INPUT]['value'].mean())}."
    )


@figure(
    11,
    "Is it in the input already?",
    values=lambda run: (run.controls, run.nulls, run.alpha, run.numbers),
    caption=_of_input,
    alternative="Two panels over layers: RSA of each pair, as it is and given the input, with the range of random "
    "maps; Cohen's d of each matrix and of the input",
    table="controls",
)
def controls(controls: Scores, nulls: Scores, alpha: float, layers: Sequence[int]) -> Figure:
    """Draw Figure 11: RSA and separability over layers, and what is known of their input.

    `controls` and `nulls` are the tables of these names. Without nulls, RSA given the input stands without the range of
    random maps, which holds 1 - alpha of the draws.
    """
    figure, (left, right) = panels(2, height=4.6)
    for pair in PAIRS:
        rsa = controls["rsa", pair]["value"]
        left.plot(rsa, marker=lone(rsa), color=MARKS[pair].colour, linewidth=1, linestyle=":")
        profile(left, pair, controls["partial_rsa", pair]["value"])
    if nulls:
        null = [nulls["partial_rsa", pair, "spectrum"] for pair in PAIRS]
        dashed(left, [np.mean([cells[end] for cells in null], axis=0) for end in ("low", "high")])
    for name in MATRICES:
        profile(right, name, controls["d", name]["value"])
    text, of_input = rcParams["text.color"], controls["d_of_input", INPUT]["value"]
    right.plot(of_input, marker=lone(of_input), color=text, linewidth=2.5)
    for axis, title, least in ((left, "RSA given the input", (-0.5, 1.0)), (right, "Cohen's d", (0.0, 1.0))):
        axis.set_title(title)
        layer_axis(axis, layers)
        limit([axis], [line.get_ydata() for line in axis.lines], least)
    zero([left, right])
    means = [np.mean([controls[m, p]["value"] for p in PAIRS]) for m in ("rsa", "partial_rsa")]
    d = numbers({name: controls["d", name]["value"].mean() for name in MATRICES})
    said = (
        f"Mean RSA is {number(means[0])}, and {number(means[1])} given the input.\n"
        f"Mean Cohen's d is {number(of_input.mean())} in the input; {d}"
    )
    keys = [
        *mark_keys((*PAIRS, *MATRICES)),
        line_key("RSA as it is", line=":", linewidth=1),
        line_key("Cohen's d of the input", text, linewidth=2.5),
    ] + [line_key(f"random maps, given the input ({percent(alpha)})", line="--")] * bool(nulls)
    explain(figure, said, keys, 3)
    return figure


#: The measures of Figure 12: name, and what they are of.
MEASURES = {"rsa": ("RSA", PAIRS), "d": ("Cohen's d", MATRICES)}


def _of_choices(run: Results) -> str:
    """Return the caption: means under every choice, and where every pair and matrix lies among random maps."""

    def means_of(measure: str, names: Sequence[str]) -> str:
        means = {t: np.mean([run.robustness[measure, name, t]["value"] for name in names]) for t in TRANSFORMS}
        return ", ".join(f"{transform.label} {number(means[name])}" for name, transform in TRANSFORMS.items())

    said = ""
    if run.robustness:
        rsa = "; ".join(f"RSA by {COMPARISONS[c].name}: {means_of(measure, PAIRS)}" for c, measure in RSA_BY.items())
        said = f"Means by transform of the vectors. {rsa}; Cohen's d: {means_of('d', MATRICES)}. "
    return (
        f"{said}Layers that lie above, among or below random maps with the trained spectra, under every transform and "
        f"comparison: {'; '.join(places(run, measure, names) for measure, (_, names) in MEASURES.items())}."
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
    # One colour for above, one for below; the other ends of the two scales are what the page is.
    colours = ["C7", rcParams["axes.facecolor"], "C6"]
    image = axis.imshow(shares, LinearSegmentedColormap.from_list("", colours), vmin=-1, vmax=1, aspect="auto")
    axis.plot(
        *np.argwhere(np.isclose(np.abs(shares), 1)).T[::-1],
        "o",
        color=rcParams["text.color"],
        mec=rcParams["axes.facecolor"],
    )
    axis.axhline(2.5, color="grey", linewidth=0.8)
    axis.set_yticks(range(len(names)), [f"{MEASURES[measure][0]} of {LABELS[name]}" for measure, name in names])
    layer_axis(axis, layers)
    bar = figure.colorbar(image, ax=axis, ticks=[-1, 0, 1], pad=0.02)
    bar.ax.set_yticklabels(["below under\nevery choice", "among", "above under\nevery choice"])
    said = (in_words(measure, verdicts.loc[measure, EVERY, "spectrum"]) for measure in MEASURES)
    explain(figure, f"Beyond random maps under every choice?\n{'. '.join(said)}")
    return figure


def in_words(measure: str, verdicts: pd.DataFrame) -> str:
    """Return what all choices say of a measure among random maps; `verdicts` are those of all names, by choice."""
    every = verdicts.loc[EVERY, EVERY]
    sides = [f"{every[side]} {side}" for side in ("above", "below") if every[side]]
    reason = f" ({every.verdict})" if verdicts[["above", "below"]].to_numpy().any() else ", whatever the choice"
    found = " and ".join(sides) or "none"
    return f"{MEASURES[measure][0]}: {found} of {every.above + every.inside + every.below}{reason * (not sides)}"
