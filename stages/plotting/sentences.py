"""Figure 15: the same words in several sentences."""

from collections.abc import Sequence

import numpy as np
from matplotlib import rcParams
from matplotlib.figure import Figure

from stages.artefacts.results import Results
from stages.geometry.names import MATRICES, PAIRS, Scores
from stages.pipeline.schema import ALL_SENTENCES
from stages.plotting.captions import numbers
from stages.plotting.layers import limit, over_layers, profile
from stages.plotting.names import number
from stages.plotting.registry import figure
from stages.plotting.style import explain, line_key


def _caption(run: Results) -> str:
    """Return the caption: reliability of the geometries, and RSA corrected for it, in means over layers."""

    def means_of(measure: str, names: Sequence[str]) -> str:
        cells = {name: run.sentences[measure, name, ALL_SENTENCES]["value"] for name in names}
        known = {name: np.nanmean(values) for name, values in cells.items() if np.isfinite(values).any()}
        return numbers(known) or "not defined, as no matrix is reliable"

    return (
        f"Means over layers. Correlation of the similarities in two of {len(_single(run.sentences))} sentences: "
        f"{means_of('reliability', MATRICES)}. RSA within a sentence {means_of('rsa', PAIRS)}; across sentences "
        f"{means_of('rsa_across', PAIRS)}; corrected for attenuation {means_of('rsa_corrected', PAIRS)}."
    )


def _single(scores: Scores) -> list[str]:
    """List the sentences, the run's own first."""
    return list(dict.fromkeys(sentence for *_, sentence in scores if sentence != ALL_SENTENCES))


@figure(
    15,
    "The same words in other sentences",
    values=lambda run: (run.sentences, run.numbers),
    caption=_caption,
    alternative="Lines over layers, one a sentence, the run's own with marks: RSA of pairs, Cohen's d of matrices",
    table="sentences",
    at_target=False,  # sentences are read at the word's own token
)
def sentences(scores: Scores, layers: Sequence[int]) -> Figure:
    """Draw Figure 15: RSA and Cohen's d over layers in every sentence, and RSA across sentences.

    `scores` are those of `metrics/sentences.csv`, by measure, matrix or pair, and sentence.
    """
    own, *others = _single(scores)
    figure, grid = over_layers((("RSA score", PAIRS), ("Cohen's d", MATRICES)), layers, height=6)
    said, text = [], rcParams["text.color"]
    for row, measure, label in zip(grid, ("rsa", "d"), ("RSA", "Cohen's d"), strict=True):
        for name, axis in row.items():
            for sentence in others:
                axis.plot(scores[measure, name, sentence]["value"], color="grey", linewidth=0.8)
            profile(axis, name, scores[measure, name, own]["value"])
            if measure == "rsa":
                axis.plot(scores["rsa_across", name, ALL_SENTENCES]["value"], color=text, linestyle="--")
        limit(row.values(), [line.get_ydata() for axis in row.values() for line in axis.lines], (0.4, 1.0))
        every = np.array([[scores[measure, name, one]["value"] for name in row] for one in (own, *others)])
        spread = np.nanmax(np.ptp(every, axis=0), initial=0)
        said.append(f"{label} by up to {number(spread)}")
    keys = [
        line_key("the run's own sentence", marker="s"),
        line_key("other sentences", linewidth=0.8),
        line_key("across: one matrix in one sentence, one in another", text, line="--"),
    ]
    explain(figure, f"Between {len(others) + 1} sentences scores differ: {', '.join(said)}", keys)
    return figure
