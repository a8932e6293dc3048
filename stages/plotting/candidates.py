"""Figure 19: agreement with other geometries of the words."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rcParams
from matplotlib.figure import Figure

from stages.artefacts.results import Results
from stages.geometry.names import LABELS, MATRICES, WITH_INPUT, Scores
from stages.pipeline.schema import ALL_SENTENCES
from stages.plotting.captions import listed
from stages.plotting.layers import layer_axis, limit, marker_size, zero
from stages.plotting.names import number
from stages.plotting.registry import figure
from stages.plotting.style import explain, line_key, panels, percent, shortened

#: Told apart by colour (those of categories first, as pairs and matrices do not use them) and by marker.
LOOKS = [*zip(("C6", "C7", "C8", "C9", "C10", "#2fa6a6", "#9a9a9a", "#a0a03c"), "*hX<>dP8", strict=True)]


def _names(scores: Scores) -> list[str]:
    return list(dict.fromkeys(name for measure, _, name in scores if measure == "rsa"))


def _caption(run: Results) -> str:
    """Return what each matrix follows most, what that explains alone, and whether matrices differ in it."""
    said = []
    for matrix in MATRICES:
        rsa = {name: run.rdms["rsa", matrix, name]["value"] for name in _names(run.rdms)}
        most = max(rsa, key=lambda name: rsa[name].max())
        place = int(rsa[most].argmax())
        alone, together = (
            run.rdms[measure, matrix, name]["value"][place]
            for measure, name in (("unique", most), ("explained", "all"))
        )
        words = run.sentences["reliability", matrix, ALL_SENTENCES]["value"][place] if run.sentences else np.nan
        most_there_is = f", of at most {number(words)} that words explain in any sentence" if words > 0 else ""
        said.append(
            f"{LABELS[matrix]} follows {most} most in layer {run.numbers[place]} ({number(rsa[most][place])}): "
            f"{number(alone)} of its variance is explained by that alone, {number(together)} by all "
            f"together{most_there_is}."
        )
    for name in _names(run.rdms)[:1]:
        apart = [clear_differences(run.rdms, of, name) for of in ("v-q", "v-k")]
        said.append(
            f"V follows {name} more than Q in {apart[0]} of {run.layers} layers and more than K in {apart[1]}, "
            f"counting only differences whose {percent(run.alpha)} interval lies above 0, under this transform."
        )
    return " ".join(said)


def clear_differences(scores: Scores, of: str, name: str) -> int:
    """Return in how many layers the interval of a difference of two matrices lies above 0."""
    return int((scores["rsa_difference", of, name]["low"] > 0).sum())


def _ceilings(run: Results) -> Mapping[str, tuple[np.ndarray, np.ndarray]]:
    """Return the noise ceiling over sentences, lower and upper, by matrix; nothing without sentences."""
    of = MATRICES if run.sentences else ()
    ends = ("ceiling_lower", "ceiling_upper")
    return {name: tuple(run.sentences[end, name, ALL_SENTENCES]["value"] for end in ends) for name in of}


@figure(
    19,
    "What do Q, K and V agree on?",
    values=lambda run: (run.rdms, run.numbers, run.alpha, _ceilings(run), run.bands),
    caption=_caption,
    alternative="Four panels over layers, for Q, K, V and their input: RSA with categories and other geometries",
    table="rdms",
)
def candidates(
    scores: Scores, layers: Sequence[int], alpha: float, ceilings: Mapping[str, tuple], bands: bool = True
) -> Figure:
    """Draw Figure 19: RSA of Q, K, V and x with candidate geometries, by measure, matrix and candidate.

    `ceilings` are the lower and upper noise ceiling by matrix, shape (layers,), where they are known.
    """
    figure, axes = panels(2, rows=2, height=6.8)
    names, size = _names(scores), marker_size(len(layers))
    short = dict(zip(names, shortened(names, 20), strict=True))
    for axis, matrix in zip(axes, WITH_INPUT, strict=True):
        if matrix in ceilings:
            lower, upper = ceilings[matrix]
            axis.fill_between(range(len(layers)), lower, upper, color="grey", alpha=0.35, linewidth=0)
        for name, (colour, marker) in zip(names, LOOKS, strict=False):
            cells = scores["rsa", matrix, name]
            chance = np.flatnonzero(cells["p_familywise"] > alpha)
            axis.plot(cells["value"], color=colour, marker=marker, markersize=size, label=short[name])
            axis.plot(chance, cells["value"][chance], marker, color=colour, mfc=rcParams["axes.facecolor"], ms=size)
            if bands:
                axis.vlines(range(len(layers)), cells["low"], cells["high"], color=colour, linewidth=0.8, alpha=0.6)
        axis.set(ylabel="RSA score")
        axis.set_title("Input x" if matrix not in MATRICES else LABELS[matrix])
        layer_axis(axis, layers)
    for axis in axes[:2]:
        axis.set_xlabel("")
    zero(axes)
    limit(axes, [values for (measure, *_), cells in scores.items() if measure == "rsa" for values in cells.values()])
    keys = [*axes[0].get_legend_handles_labels()[0]]
    keys += [line_key(f"family-wise p > {alpha:g}", marker="o", line="", markerfacecolor="none")]
    keys += [line_key(f"{percent(alpha)} interval", marker="|", line="", markersize=14)] * bands
    keys += [line_key("noise ceiling over sentences", linewidth=8, alpha=0.35)] * bool(ceilings)
    best = {m: max(names, key=lambda name, m=m: scores["rsa", m, name]["value"].mean()) for m in MATRICES}
    followed = f"On average over layers, {_followed({LABELS[m]: short[name] for m, name in best.items()})}"
    explain(figure, followed if names[1:] else f"Q, K and V beside {short[names[0]]}", keys)
    return figure


def _followed(best: Mapping[str, str]) -> str:
    """Write which matrices follow which candidate most."""
    of = {name: [matrix for matrix in best if best[matrix] == name] for name in dict.fromkeys(best.values())}
    return "; ".join(f"{listed(m)} follow{'s' if len(m) == 1 else ''} {name} most" for name, m in of.items())
