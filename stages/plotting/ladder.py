"""Figure 10: the ladder of nulls, and which step changes what."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from stages.artefacts.results import Results
from stages.geometry.names import PAIRS, Scores
from stages.plotting.captions import numbers, places
from stages.plotting.layers import limit
from stages.plotting.names import number
from stages.plotting.registry import figure
from stages.plotting.style import MARKS, explain, line_key, panels

#: The rungs, each with the step to it and what it is called below the axis.
RUNGS = {
    "gaussian": ("", "any map"),
    "spectrum": ("narrow spectrum", "spectrum\nas narrow"),
    "orientation": ("shared directions", "directions\nshared"),
    "unbiased": ("alignment", "aligned with\nthe input"),
    "trained": ("bias", "bias:\ntrained"),
}


def _caption(run: Results) -> str:
    """Return the caption: each rung's mean over layers, and where RSA lies relative to the trained spectra."""
    gaussian, spectrum, orientation, trained = (
        numbers({pair: run.nulls["rsa", pair, rung]["value"].mean() for pair in PAIRS})
        for rung in ("gaussian", "spectrum", "orientation", "trained")
    )
    return (
        f"Mean RSA of any maps of the input: {gaussian}; with the trained spectra: {spectrum}; turned together: "
        f"{orientation}; as trained: {trained}. Layers that lie above, among or below maps with the trained spectra, "
        f"under every transform and comparison: {places(run, 'rsa', PAIRS)}."
    )


@figure(
    10,
    "Where the agreement comes from",
    values=lambda run: (run.nulls, run.numbers),
    caption=_caption,
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
        label, colour, marker = MARKS[pair]
        scores = np.array([nulls["rsa", pair, rung]["value"] for rung in rungs])
        axis.plot(scores, color="grey", linewidth=0.8)
        axis.plot(scores.mean(axis=1), color=colour, linewidth=3.5)
        axis.plot(np.full(len(layers), len(rungs) - 1), scores[-1], marker, color=colour, markersize=5, alpha=0.7)
        axis.set_title(f"{label}\n", linespacing=1.6)
        if np.ptp(np.sort(scores[-1])[:2]) > 0.1:  # one stands apart
            lowest = scores[-1].argmin()
            where = {"ha": "right", "va": "bottom", "xytext": (0, 5), "textcoords": "offset points", "fontsize": 10}
            axis.annotate(f"layer {layers[lowest]}", (len(rungs) - 1, scores[-1, lowest]), **where)
        for place, added in enumerate(np.diff(scores.mean(axis=1))):
            look = {"transform": axis.get_xaxis_transform(), "ha": "center", "color": colour, "fontsize": 10}
            axis.text(place + 0.5, 1.02, f"{added.round(2) + 0:+.2f}".replace("-", "−"), **look)
        names = ["trained" if rung == rungs[-1] else RUNGS[rung][1] for rung in rungs]
        axis.set_xticks(range(len(rungs)), names, rotation=90, fontsize=10)
    limit(axes, [nulls["rsa", pair, rung]["value"] for pair in PAIRS for rung in rungs], (0.4, 1.0))
    axes[0].set_ylabel("RSA score")
    names = [step for step, _ in RUNGS.values() if step]
    steps = {step: np.mean([nulls["rsa_step", pair, step]["value"] for pair in PAIRS]) for step in names}
    most = max(steps, key=lambda step: abs(steps[step]))
    said = f"From any map to the trained ones: {most} changes RSA most ({number(steps[most])} on average)"
    keys = [line_key("one layer", linewidth=0.8), line_key("mean, and what each step adds to it", linewidth=3.5)]
    explain(figure, said, keys)
    return figure


def has_bias(nulls: Scores) -> bool:
    """Return whether the model's Q, K and V have biases, which the nulls have not: without, their step is 0."""
    return any(cells["value"].any() for (*_, rung), cells in nulls.items() if rung == "bias")
