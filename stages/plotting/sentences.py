"""Figure 15: the same words in several sentences."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from stages.geometry.names import LABELS, MATRICES, PAIRS, Scores
from stages.pipeline.schema import ALL_SENTENCES
from stages.plotting.captions import numbers
from stages.plotting.registry import figure
from stages.plotting.style import layer_axis, marker_size, panels, profile, show_limits, widened

if TYPE_CHECKING:
    from stages.artefacts.results import Results

CORRECTED, WORDS, SENTENCE = "C3", "C3", "C4"
#: The measures of the middle row.
RELIABILITY = ("reliability", "ceiling_lower", "ceiling_upper", "share_words", "share_sentence")


def _caption(run: "Results") -> str:
    """Return the caption: reliability of the geometries, and RSA corrected for it, in means over layers."""

    def means_of(measure: str, names: Sequence[str]) -> str:
        cells = {name: run.sentences[measure, name, ALL_SENTENCES]["value"] for name in names}
        known = {name: np.nanmean(values) for name, values in cells.items() if np.isfinite(values).any()}
        return numbers(known) or "not defined, as no matrix is reliable"

    return (
        f"Means over layers. Correlation of the similarities in two of {_how_many(run.sentences)} sentences: "
        f"{means_of('reliability', MATRICES)}. RSA within a sentence {means_of('rsa', PAIRS)}; across sentences "
        f"{means_of('rsa_across', PAIRS)}; corrected for attenuation {means_of('rsa_corrected', PAIRS)}."
    )


def _how_many(scores: Scores) -> int:
    return len({sentence for *_, sentence in scores} - {ALL_SENTENCES})


@figure(
    15,
    "The same words in other sentences",
    values=lambda run: (run.sentences, run.alpha, run.numbers),
    caption=_caption,
    alternative="Lines over layers, one a sentence, and means: RSA of pairs, reliability and Cohen's d of matrices",
    table="sentences",
    at_target=False,  # sentences are read at the word's own token
)
def sentences(scores: Scores, alpha: float, layers: Sequence[int]) -> Figure:
    """Draw Figure 15: RSA, reliability and Cohen's d over layers, in every sentence and over all of them.

    Parameters
    ----------
    scores : Scores
        By measure, matrix or pair, and sentence: "value", "low" and "high", arrays of shape (layers,), of the table
        `metrics/sentences.csv`.
    alpha : float
        Intervals hold 1 - alpha.
    layers : sequence of int
        Their numbers.
    """
    figure, axes = panels(3, rows=3, width=13, height=11)
    for axis, pair in zip(axes[:3], PAIRS, strict=True):
        _every_sentence(axis, scores, "rsa", pair)
        axis.plot(_over_all(scores, "rsa_across", pair)["value"], color=rcParams["text.color"], linestyle="--")
        corrected = _over_all(scores, "rsa_corrected", pair)["value"]
        axis.plot(corrected, "D-", color=CORRECTED, linewidth=1, markersize=0.5 * marker_size(len(corrected)))
    for axis, name in zip(axes[3:6], MATRICES, strict=True):
        _reliability(axis, scores, name)
    for axis, name in zip(axes[6:], MATRICES, strict=True):
        _every_sentence(axis, scores, "d", name)
    rows = {
        "RSA score": (("rsa", "rsa_across", "rsa_corrected"), PAIRS),
        "Reliability; share of variance": (RELIABILITY, MATRICES),
        "Cohen's d": (("d",), MATRICES),
    }
    for place, (label, (measures, names)) in enumerate(rows.items()):
        row = axes[3 * place : 3 * place + 3]
        values = [v for (measure, *_), cells in scores.items() if measure in measures for v in cells.values()]
        limits = show_limits(widened(values, (0.0, 1.0)))
        for axis, name in zip(row, names, strict=True):
            axis.axhline(0, color="grey", linewidth=0.8)
            axis.set(title=LABELS[name], ylim=limits)
            layer_axis(axis, layers)
        row[0].set_ylabel(label)
    percent, text = f"{100 * (1 - alpha):g} %", rcParams["text.color"]
    keys: list[Artist] = [
        Line2D([], [], color="grey", marker="s", label="mean over sentences"),
        Line2D([], [], color="grey", linewidth=0.8, label="single sentences"),
        Patch(color="grey", alpha=0.3, linewidth=0, label=f"{percent} interval over\nwords and sentences"),
        Line2D([], [], color=text, linestyle="--", label="across sentences"),
        Line2D([], [], color=CORRECTED, marker="D", label="corrected for\nattenuation"),
        Patch(color=text, alpha=0.35, linewidth=0, label="noise ceiling,\nlower to upper"),
        Line2D([], [], color=WORDS, linestyle=":", label="share of variance:\nthe words'"),
        Line2D([], [], color=SENTENCE, linestyle="-.", label="the sentence's"),
    ]
    figure.legend(handles=keys, loc="outside right center", fontsize=10)
    figure.suptitle(f"The same words in {_how_many(scores)} sentences")
    return figure


def _over_all(scores: Scores, measure: str, name: str) -> dict[str, np.ndarray]:
    return scores[measure, name, ALL_SENTENCES]


def _every_sentence(axis: Axes, scores: Scores, measure: str, name: str) -> None:
    """Draw a score in single sentences, and over them its mean with its interval."""
    for (other, of, sentence), cells in scores.items():
        if (other, of) == (measure, name) and sentence != ALL_SENTENCES:
            axis.plot(cells["value"], color="grey", linewidth=0.8)
    mean = _over_all(scores, measure, name)
    profile(axis, name, mean["value"], mean)


def _reliability(axis: Axes, scores: Scores, name: str) -> None:
    """Draw the reliability of one matrix, its noise ceiling, and what is the words' and the sentence's."""
    lower, upper = (_over_all(scores, f"ceiling_{end}", name)["value"] for end in ("lower", "upper"))
    axis.fill_between(np.arange(len(lower)), lower, upper, color=rcParams["text.color"], alpha=0.35, linewidth=0)
    reliability = _over_all(scores, "reliability", name)
    profile(axis, name, reliability["value"], reliability)
    for share, colour, line in (("share_words", WORDS, ":"), ("share_sentence", SENTENCE, "-.")):
        axis.plot(_over_all(scores, share, name)["value"], color=colour, linestyle=line, linewidth=2)
