"""Figures 15, 18 and 19: other sentences, other models, other geometries of the words."""

from collections.abc import Sequence

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages.artefacts.kept import Kept
from stages.artefacts.results import Results
from stages.geometry.names import LABELS, MATRICES, PAIRS, WITH_INPUT, Arrays, Scores
from stages.pipeline.schema import ALL_SENTENCES
from stages.plotting.captions import MEASURES, listed, number, numbers, span, values_of
from stages.plotting.layers import by_measure, layer_axis, limit, marker_size, profile, zero
from stages.plotting.registry import figure, without_values
from stages.plotting.style import MARKS, explain, line_key, mark_keys, panels, percent, shortened, widened

#: Models side by side; more go into further rows.
ACROSS = 3
#: Candidates are told apart by colour (those of categories first, as pairs and matrices do not use them) and by marker.
LOOKS = [*zip(("C6", "C7", "C8", "C9", "C10", "#2fa6a6", "#9a9a9a", "#a0a03c"), "*hX<>dP8", strict=True)]


def _names(scores: Scores) -> list[str]:
    """List the candidates, or the sentences, the run's own first."""
    return list(dict.fromkeys(name for measure, _, name in scores if measure == "rsa" and name != ALL_SENTENCES))


def _of_sentences(run: Results) -> str:
    def means_of(measure: str, names: Sequence[str]) -> str:
        cells = values_of(run.sentences, measure, names, ALL_SENTENCES)
        known = {name: values for name, values in cells.items() if np.isfinite(values).any()}
        return numbers(known) or "not defined, as no matrix is reliable"

    return (
        f"Means over layers. Correlation of the similarities in two of {len(_names(run.sentences))} sentences: "
        f"{means_of('reliability', MATRICES)}. RSA within a sentence {means_of('rsa', PAIRS)}; across sentences "
        f"{means_of('rsa_across', PAIRS)}; corrected for attenuation {means_of('rsa_corrected', PAIRS)}."
    )


@figure(
    15,
    "The same words in other sentences",
    values=lambda run: (run.sentences, run.numbers),
    caption=_of_sentences,
    alternative="Lines over layers, one a sentence, the run's own with marks: RSA of pairs, Cohen's d of matrices",
    table="sentences",
    at_target=False,  # sentences are read at the word's own token
)
def sentences(scores: Scores, layers: Sequence[int]) -> Figure:
    """Draw Figure 15: RSA and Cohen's d over layers in every sentence, and RSA across sentences.

    `scores` are those of `metrics/sentences.csv`, by measure, matrix or pair, and sentence.
    """
    own, *others = _names(scores)
    figure, grid = by_measure(layers, "RSA score", "Cohen's d")
    said, text = [], rcParams["text.color"]
    for measure, row in grid.items():
        for name, axis in row.items():
            for sentence in others:
                axis.plot(scores[measure, name, sentence]["value"], color="grey", linewidth=0.8)
            profile(axis, name, scores[measure, name, own]["value"])
            if measure == "rsa":
                axis.plot(scores["rsa_across", name, ALL_SENTENCES]["value"], color=text, linestyle="--")
        limit(row.values(), (0.4, 1.0))
        every = np.array([[scores[measure, name, one]["value"] for name in row] for one in (own, *others)])
        spread = np.nanmax(np.ptp(every, axis=0), initial=0)
        said.append(f"{MEASURES[measure][0]} by up to {number(spread)}")
    keys = [
        line_key("the run's own sentence", marker="s"),
        line_key("other sentences", linewidth=0.8),
        line_key("across: one matrix in one sentence, one in another", text, line="--"),
    ]
    return explain(figure, f"Between {len(others) + 1} sentences scores differ: {', '.join(said)}", keys)


def _of_models(run: Results) -> str:
    said = [
        f"{one.name} {number(one.pearson)}"
        + (f" (random maps {number(one.summary['rsa_null'])})" if "rsa_null" in one.summary else "")
        for one in run.kept
    ]
    return f"Mean RSA: {listed(said)}. Bands: maps with the trained spectra." if said else "No run has been kept."


@figure(
    18,
    "Other models",
    values=lambda run: (run.kept,),
    caption=_of_models,
    alternative="A panel a model: RSA of each pair above, Cohen's d of each matrix below, over relative depth, with "
    "the range of random maps",
    at_target=False,
)
def models(kept: Sequence[Kept]) -> Figure:
    """Draw Figure 18: for each kept run RSA of every pair, and below it Cohen's d of every matrix.

    Of a run, its name, tables and summary are drawn; the band where it has nulls.
    """
    if not kept:
        return without_values("no run is kept in metrics/models")
    rows, across = -(-len(kept) // ACROSS), min(len(kept), ACROSS)
    figure, axes = panels(across, rows=2 * rows, height=4.6 * rows + 0.8)
    grid = np.reshape(axes, (rows, 2, across)).swapaxes(1, 2).reshape(-1, 2)
    titles = shortened([one.name for one in kept], 27)
    limits = widened((one.rsa[pair] for one in kept for pair in PAIRS), (0, 1))
    for one, title, (above, below) in zip(kept, titles, grid, strict=False):
        _panel(above, one, "rsa", one.rsa)
        _panel(below, one, "d", one.separability)
        above.set_ylim(limits)
        above.set_title(title, fontsize=11)
        below.set_xlabel("Relative depth")
    for above, below in grid[::across]:
        above.set_ylabel("RSA score")
        below.set_ylabel("Cohen's d")
    for empty in grid[len(kept) :].ravel():
        empty.axis("off")
    lows, highs = zip(*(axis.get_ylim() for axis in grid[: len(kept), 1]), strict=True)
    for axis in grid[:, 1]:
        axis.set_ylim(min(0, *lows), max(highs))
    keys = [*mark_keys((*PAIRS, *MATRICES)), line_key("random maps with the trained spectra", linewidth=8, alpha=0.4)]
    more = [one.pearson - one.summary["rsa_null"] for one in kept if "rsa_null" in one.summary]
    said = f"{len(kept)} runs" + (f": mean RSA less that of random maps {span([more])}" if more else "")
    return explain(figure, said, keys)


def _panel(axis: Axes, one: Kept, measure: str, scores: Arrays) -> None:
    """Draw the scores of one model, and behind them the mean range of random maps."""
    names = MEASURES[measure][1]
    depth = np.linspace(0, 1, len(scores[names[0]]))
    if (measure, names[0], "spectrum") in one.nulls:
        ends = [[one.nulls[measure, name, "spectrum"][end] for name in names] for end in ("low", "high")]
        axis.fill_between(depth, *np.mean(ends, axis=1), color="grey", alpha=0.3, linewidth=0)
    for name in names:
        colour, marker = MARKS[name]
        axis.plot(depth, scores[name], color=colour, marker=marker, markersize=3, linewidth=1.2)


def _of_candidates(run: Results) -> str:
    said, names = [], _names(run.rdms)
    for matrix in MATRICES:
        rsa = {name: run.rdms["rsa", matrix, name]["value"] for name in names}
        most = max(rsa, key=lambda name: rsa[name].max())
        place = int(rsa[most].argmax())
        alone = run.rdms["unique", matrix, most]["value"][place]
        together = run.rdms["explained", matrix, "all"]["value"][place]
        words = run.sentences["reliability", matrix, ALL_SENTENCES]["value"][place] if run.sentences else np.nan
        most_there_is = f", of at most {number(words)} that words explain in any sentence" if words > 0 else ""
        said.append(
            f"{LABELS[matrix]} follows {most} most in layer {run.numbers[place]} ({number(rsa[most][place])}): "
            f"{number(alone)} of its variance is explained by that alone, {number(together)} by all "
            f"together{most_there_is}."
        )
    apart = [int((run.rdms["rsa_difference", of, names[0]]["low"] > 0).sum()) for of in ("v-q", "v-k")]
    said.append(
        f"V follows {names[0]} more than Q in {apart[0]} of {run.layers} layers and more than K in {apart[1]}, "
        f"counting only differences whose {percent(run.alpha)} interval lies above 0, under this transform."
    )
    return " ".join(said)


def _ceilings(run: Results) -> Arrays:
    """Return the lower and upper noise ceiling over sentences, shape (2, layers), by matrix; none without sentences."""
    of, sides = MATRICES if run.sentences else (), ("ceiling_lower", "ceiling_upper")
    return {name: np.array([run.sentences[side, name, ALL_SENTENCES]["value"] for side in sides]) for name in of}


@figure(
    19,
    "What do Q, K and V agree on?",
    values=lambda run: (run.rdms, run.numbers, run.alpha, _ceilings(run), run.bands),
    caption=_of_candidates,
    alternative="Four panels over layers, for Q, K, V and their input: RSA with categories and other geometries",
    table="rdms",
)
def candidates(scores: Scores, layers: Sequence[int], alpha: float, ceilings: Arrays, bands: bool) -> Figure:
    """Draw Figure 19: RSA of Q, K, V and x with candidate geometries, by measure, matrix and candidate.

    `ceilings` are the lower and upper noise ceiling, shape (2, layers), of matrices of which they are known.
    """
    figure, axes = panels(2, rows=2, height=6.8)
    names, size = _names(scores), marker_size(len(layers))
    short = dict(zip(names, shortened(names, 20), strict=True))
    for axis, matrix in zip(axes, WITH_INPUT, strict=True):
        if matrix in ceilings:
            axis.fill_between(range(len(layers)), *ceilings[matrix], color="grey", alpha=0.35, linewidth=0)
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
    zero(axes)
    limit(axes)
    keys = [*axes[0].get_legend_handles_labels()[0]]
    keys += [line_key(f"family-wise p > {alpha:g}", marker="o", line="", markerfacecolor="none")]
    keys += [line_key(f"{percent(alpha)} interval", marker="|", line="", markersize=14)] * bands
    keys += [line_key("noise ceiling over sentences", linewidth=8, alpha=0.35)] * bool(ceilings)
    if len(names) == 1:
        return explain(figure, f"Q, K and V beside {short[names[0]]}", keys)
    followed: dict[str, list[str]] = {}  # candidates, and the matrices that follow each most
    for matrix in MATRICES:
        mean = {name: scores["rsa", matrix, name]["value"].mean() for name in names}
        followed.setdefault(short[max(mean, key=mean.get)], []).append(LABELS[matrix])
    said = [f"{listed(of)} follow{'s' * (len(of) == 1)} {name} most" for name, of in followed.items()]
    return explain(figure, f"On average over layers, {'; '.join(said)}", keys)
