"""Figure 15: the same words in several sentences."""

from collections.abc import Sequence

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages.artefacts.results import Results
from stages.geometry.names import MATRICES, PAIRS, Scores
from stages.pipeline.schema import ALL_SENTENCES
from stages.plotting.captions import numbers
from stages.plotting.layers import limit, marker_size, over_layers, profile, zero
from stages.plotting.registry import figure
from stages.plotting.style import area_key, line_key, percent

CORRECTED, WORDS, SENTENCE = "C3", "C3", "C4"
#: The measures of the middle row.
RELIABILITY = ("reliability", "ceiling_lower", "ceiling_upper", "share_words", "share_sentence")


def _caption(run: Results) -> str:
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

    `scores` are those of `metrics/sentences.csv`, by measure, matrix or pair, and sentence; intervals hold 1 - alpha.
    """
    rows = (("RSA score", PAIRS), ("Reliability; share of variance", MATRICES), ("Cohen's d", MATRICES))
    figure, grid = over_layers(rows, layers, height=11)
    for pair, axis in grid[0].items():
        _every_sentence(axis, scores, "rsa", pair)
        axis.plot(scores["rsa_across", pair, ALL_SENTENCES]["value"], color=rcParams["text.color"], linestyle="--")
        corrected = scores["rsa_corrected", pair, ALL_SENTENCES]["value"]
        axis.plot(corrected, "D-", color=CORRECTED, linewidth=1, markersize=0.5 * marker_size(len(corrected)))
    for name in MATRICES:
        _reliability(grid[1][name], scores, name)
        _every_sentence(grid[2][name], scores, "d", name)
    for row, measures in zip(grid, (("rsa", "rsa_across", "rsa_corrected"), RELIABILITY, ("d",)), strict=True):
        zero(row.values())
        drawn = [v for (measure, *_), cells in scores.items() if measure in measures for v in cells.values()]
        limit(row.values(), drawn, (0.0, 1.0))
    text = rcParams["text.color"]
    keys: list[Artist] = [
        line_key("mean over sentences", marker="s"),
        line_key("single sentences", linewidth=0.8),
        area_key(f"{percent(alpha)} interval over\nwords and sentences"),
        line_key("across sentences", text, line="--"),
        line_key("corrected for\nattenuation", CORRECTED, "D"),
        area_key("noise ceiling,\nlower to upper", text, 0.35),
        line_key("share of variance:\nthe words'", WORDS, line=":"),
        line_key("the sentence's", SENTENCE, line="-."),
    ]
    figure.legend(handles=keys, loc="outside right center", fontsize=10)
    figure.suptitle(f"The same words in {_how_many(scores)} sentences")
    return figure


def _every_sentence(axis: Axes, scores: Scores, measure: str, name: str) -> None:
    """Draw a score in single sentences, and over them its mean with its interval."""
    for (other, of, sentence), cells in scores.items():
        if (other, of) == (measure, name) and sentence != ALL_SENTENCES:
            axis.plot(cells["value"], color="grey", linewidth=0.8)
    mean = scores[measure, name, ALL_SENTENCES]
    profile(axis, name, mean["value"], mean)


def _reliability(axis: Axes, scores: Scores, name: str) -> None:
    """Draw the reliability of one matrix, its noise ceiling, and what is the words' and the sentence's."""
    lower, upper = (scores[f"ceiling_{end}", name, ALL_SENTENCES]["value"] for end in ("lower", "upper"))
    axis.fill_between(np.arange(len(lower)), lower, upper, color=rcParams["text.color"], alpha=0.35, linewidth=0)
    reliability = scores["reliability", name, ALL_SENTENCES]
    profile(axis, name, reliability["value"], reliability)
    for share, colour, line in (("share_words", WORDS, ":"), ("share_sentence", SENTENCE, "-.")):
        axis.plot(scores[share, name, ALL_SENTENCES]["value"], color=colour, linestyle=line, linewidth=2)
