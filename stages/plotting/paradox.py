"""Figure 0: the paradox that the post starts from, in one picture."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from stages.artefacts.results import Results
from stages.geometry.comparison import COMPARISONS
from stages.geometry.names import PAIRS
from stages.plotting.captions import numbers, of_units
from stages.plotting.layers import layer_axis, limit, profile, zero
from stages.plotting.names import number
from stages.plotting.registry import figure
from stages.plotting.style import line_key, panels, percent


def _random_maps(run: Results) -> list[np.ndarray]:
    """Return the ends of the range of maps with the trained spectra, mean over pairs: (layers,) each, or nothing."""
    choice = (run.record.get("transform"), run.comparison, "spectrum")
    cells = [run.null_choices["rsa", pair, *choice] for pair in PAIRS] if run.nulls else []
    return [np.mean([one[end] for one in cells], axis=0) for end in ("low", "high")] if cells else []


def _caption(run: Results) -> str:
    r, rsa = ({pair: table[pair].mean() for pair in PAIRS if pair in table} for table in (run.correlation, run.rsa))
    dashed = f" Dashed: {percent(run.alpha)} of random maps with the trained spectra, mean over pairs."
    return (
        of_units(run, f"Mean correlation of units at token {run.context}: {numbers(r)}.")
        + f" Mean RSA score ({COMPARISONS[run.comparison].name}): {numbers(rsa)}."
        + (dashed if run.nulls else "")
    )


@figure(
    0,
    "Different units, similar geometries?",
    values=lambda run: (run.correlation, run.rsa, run.numbers, _random_maps(run), run.alpha, run.comparison),
    caption=_caption,
    alternative="Two panels over layers with one vertical axis: correlations of Q–K, Q–V and K–V unit by unit, and "
    "their RSA scores with the range of random maps",
)
def paradox(
    r: Mapping[str, np.ndarray],
    rsa: Mapping[str, np.ndarray],
    layers: Sequence[int],
    random_maps: Sequence[np.ndarray] = (),
    alpha: float = 0.05,
    comparison: str = "pearson",
) -> Figure:
    """Draw Figure 0: correlations unit by unit, and RSA scores, by pair, shape (layers,), over one axis.

    `random_maps` are the ends of a range of RSA scores that holds 1 - alpha of the draws, or nothing. Pairs that cannot
    be correlated are not in `r`; `comparison` is a key of `COMPARISONS`.
    """
    figure, axes = panels(2, width=9.5, height=4.6)
    for axis, scores in zip(axes, (r, rsa), strict=True):
        for pair in PAIRS:
            if pair in scores:
                profile(axis, pair, scores[pair])
        layer_axis(axis, layers)
    for end in random_maps:
        axes[1].plot(end, color="grey", linestyle="--")
    axes[0].set(title="Unit by unit: correlation", ylabel="Correlation coefficient")
    axes[1].set(title="By geometry: RSA", ylabel=COMPARISONS[comparison].axis)
    zero(axes)
    units, scores = ([table[pair] for pair in PAIRS if pair in table] for table in (r, rsa))
    limit(axes, [*units, *scores, *random_maps], (-0.8, 1.0))
    handles = axes[1].get_legend_handles_labels()[0]
    if len(random_maps):
        handles.append(line_key(f"random maps with the trained spectra ({percent(alpha)})", line="--"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=10)
    ends = [f"from {number(np.min(values))} to {number(np.max(values))}" for values in (units, scores) if values]
    said = f"Units: {COMPARISONS['pearson'].symbol} {ends[0]}" if units else "Units: cannot be paired"
    figure.suptitle(f"{said}. Geometries: RSA {ends[-1]}")
    return figure
