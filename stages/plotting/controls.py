"""Figures 11 and 12: the controls, and the same scores under other choices."""

from collections.abc import Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.figure import Figure

from stages.artefacts.results import Results
from stages.artefacts.schema import RSA_BY
from stages.geometry.comparison import COMPARISONS
from stages.geometry.names import INPUT, LABELS, MATRICES, PAIRS, Scores
from stages.geometry.transforms import TRANSFORMS
from stages.plotting.captions import EVERY, counts, numbers, places
from stages.plotting.ladder import draw_ranges, has_bias, range_keys
from stages.plotting.layers import band, layer_axis, limit, marker_size, over_layers, profile, zero
from stages.plotting.names import number
from stages.plotting.registry import figure
from stages.plotting.style import area_key, line_key, panels, percent

#: How RSA to the input is drawn, by matrix.
LINES = {"q": "--", "k": ":", "v": "-."}


def _of_input(run: Results) -> str:
    partial = {pair: run.controls["partial_rsa", pair] for pair in PAIRS}
    above, below = {p: c["low"] > 0 for p, c in partial.items()}, {p: c["high"] < 0 for p, c in partial.items()}
    return (
        f"RSA given the input: interval above 0 (of {run.layers} layers) {counts(above)}; below 0 {counts(below)}. "
        f"Mean Cohen's d {numbers({name: run.separability[name].mean() for name in MATRICES})}; of the input "
        f"{number(run.controls['d_of_input', INPUT]['value'].mean())}."
    )


@figure(
    11,
    "Is it in the input already?",
    values=lambda run: (run.controls, run.nulls, run.alpha, run.numbers),
    caption=_of_input,
    alternative="Lines over layers for each pair and matrix: RSA, RSA to the input and given it; Cohen's d"
    " of matrices and input",
    table="controls",
)
def controls(controls: Scores, nulls: Scores, alpha: float, layers: Sequence[int]) -> Figure:
    """Draw Figure 11: RSA and separability over layers, and what is known of their input.

    `controls` and `nulls` are the tables of these names, ranges and intervals hold 1 - alpha. Without nulls, effect
    sizes stand without their rungs.
    """
    figure, (above, below) = over_layers((("RSA score", PAIRS), ("Cohen's d", MATRICES)), layers, height=8)
    text = rcParams["text.color"]
    for pair, axis in above.items():
        profile(axis, pair, controls["rsa", pair]["value"])
        for name in pair:
            to_input = controls["rsa_to_input", name]["value"]
            axis.plot(to_input, color=text, linestyle=LINES[name])
        partial = controls["partial_rsa", pair]
        band(axis, partial, "C3")
        axis.plot(partial["value"], color="C3", marker="D", markersize=0.7 * marker_size(len(layers)))
    for name, axis in below.items():
        draw_ranges(axis, nulls, "d", name)
        profile(axis, name, controls["d", name]["value"])
        axis.plot(controls["d_of_input", INPUT]["value"], color=text, linestyle="--")
    zero([*above.values(), *below.values()])
    columns = {"rsa": "value", "rsa_to_input": "value", "partial_rsa": "low", "d": "value", "d_of_input": "value"}
    drawn = {names: cells[columns[names[0]]] for names, cells in controls.items() if names[0] in columns}
    limit(above.values(), [values for (measure, _), values in drawn.items() if "rsa" in measure], (0.0, 1.0))
    ranges = [cells[end] for (m, *_), cells in nulls.items() if m == "d" and "low" in cells for end in ("low", "high")]
    limit(below.values(), [values for (m, _), values in drawn.items() if "rsa" not in m] + ranges, (0.0, 1.0))
    given = line_key(f"RSA given the input,\n{percent(alpha)} interval", "C3", "D")
    upper = [line_key("trained", marker="s"), given]
    upper += [line_key(f"{LABELS[name]}, RSA to the input", text, line=line) for name, line in LINES.items()]
    lower = [
        line_key("d of the input", text, line="--"),
        *(range_keys(nulls, ("gaussian", "spectrum")) if nulls else []),
    ]
    figure.legend(handles=upper, loc="outside right upper", fontsize=10)
    figure.legend(handles=lower, loc="outside right lower", fontsize=10)
    figure.suptitle("Is it in the input already?")
    return figure


#: The measures of Figure 12: name, and what they are of.
MEASURES = {"rsa": ("RSA", PAIRS), "d": ("Cohen's d", MATRICES)}


def _of_choices(run: Results) -> str:
    """Return the caption: means under every choice, and where every pair and matrix lies among random maps."""

    def means_of(measure: str, names: Sequence[str]) -> str:
        means = {t: np.mean([run.robustness[measure, name, t]["value"] for name in names]) for t in TRANSFORMS}
        return ", ".join(f"{transform.label} {number(means[name])}" for name, transform in TRANSFORMS.items())

    rsa = "; ".join(f"RSA by {COMPARISONS[c].name}: {means_of(measure, PAIRS)}" for c, measure in RSA_BY.items())
    said = f"Means by transform of the vectors. {rsa}; Cohen's d: {means_of('d', MATRICES)}."
    if not run.nulls:
        return f"{said} Random maps: not computed, {run.reasons['nulls']}."
    return (
        f"{said} Layers that lie above, among or below random maps with the trained spectra, under every transform and "
        f"comparison: {'; '.join(places(run, measure, names) for measure, (_, names) in MEASURES.items())}."
    )


@figure(
    12,
    "The same under other choices",
    values=lambda run: (run.robustness, run.null_choices, run.verdicts, run.alpha, run.numbers),
    caption=_of_choices,
    alternative="A row of panels for each pair and matrix, a column for each transform: scores over layers and the "
    "range of random maps; titles count the layers above, among and below it",
    table="robustness",
)
def robustness(scores: Scores, nulls: Scores, verdicts: pd.DataFrame, alpha: float, layers: Sequence[int]) -> Figure:
    """Draw Figure 12: RSA and separability over layers under every transform, among random maps under the same.

    `scores` are by measure, pair or matrix, and transform; `nulls` may be empty, and are otherwise by measure, pair or
    matrix, transform, comparison and rung; `verdicts` are those of `Results`.
    Ranges hold 1 - alpha of the draws; a mark is filled where family-wise p is at most alpha.
    """
    rows = [(measure, name) for measure, (_, names) in MEASURES.items() for name in names]
    figure, axes = panels(len(TRANSFORMS), rows=len(rows), width=10.5, height=12.5)
    grid, text = np.reshape(axes, (len(rows), -1)), rcParams["text.color"]
    drawn: dict[str, list[np.ndarray]] = {measure: [] for measure in MEASURES}
    for line, (measure, name) in zip(grid, rows, strict=True):
        line[0].set_ylabel(f"{MEASURES[measure][0]} of {LABELS[name]}")
        for axis, (transform, choice) in zip(line, TRANSFORMS.items(), strict=True):
            own = scores[measure, name, transform]["value"]
            title = [f"vectors {choice.label}"] if axis in grid[0] else []
            drawn[measure].append(own)
            tested = {}
            if nulls:
                null = nulls[measure, name, transform, "pearson", "spectrum"]
                band(axis, null, "C3", 0.3)
                axis.plot(own, color=text, linestyle=":", linewidth=1)
                own = nulls[measure, name, transform, "pearson", "unbiased"]["value"]
                tested = {"p_familywise": null["p_familywise"]}
                drawn[measure] += [null["low"], null["high"], own]
                place = verdicts.loc[measure, name, "spectrum", transform, "pearson"]
                title.append(f"{place.above} above, {place.inside} among, {place.below} below")
            profile(axis, name, own, tested, alpha, size=0.8)
            axis.set_title("\n".join(title), fontsize=11)
            layer_axis(axis, layers)
    for axis in grid[:-1].ravel():
        axis.set_xlabel("")
        axis.tick_params(labelbottom=False)
    limit(grid[:3].ravel(), drawn["rsa"], (0.6, 0.9))
    limit(grid[3:].ravel(), drawn["d"], (0.0, 0.2))
    if not nulls:
        figure.suptitle("The same under other choices")
        return figure
    keys = [
        area_key(f"maps with the trained spectra,\n{percent(alpha)} of draws", "C3", 0.6),
        line_key("beyond them, family-wise", marker="o"),
        line_key("among them", marker="o", markerfacecolor="none"),
    ] + [line_key("as trained, with bias", text, line=":", linewidth=1)] * has_bias(nulls)
    figure.legend(handles=keys, loc="outside lower center", ncols=4, fontsize=10)
    said = (in_words(measure, verdicts.loc[measure, EVERY, "spectrum"]) for measure in MEASURES)
    figure.suptitle("\n".join(said), fontsize=12)
    return figure


def in_words(measure: str, verdicts: pd.DataFrame) -> str:
    """Return what all choices say of a measure among random maps; `verdicts` are those of all names, by choice."""
    every = verdicts.loc[EVERY, EVERY]
    total = every.above + every.inside + every.below
    if sides := [f"{every[side]} {side}" for side in ("above", "below") if every[side]]:
        said = f"of {total} scores, {' and '.join(sides)} random maps under every choice"
    elif verdicts[["above", "below"]].to_numpy().any():
        said = f"of {total} scores, none beyond random maps under every choice ({every.verdict})"
    else:
        said = f"all {total} scores among random maps, whatever the choice"
    return fill(f"{MEASURES[measure][0]}: {said}", 98)
