"""The answer to the report's title, in sentences made from a run's numbers."""

import numpy as np

from stages.artefacts.results import Results
from stages.findings.evidence import position
from stages.geometry.names import PAIRS
from stages.pipeline.schema import ALL_SENTENCES, OWN_SENTENCE
from stages.plotting.names import COMPARISON_LABELS, number

#: Mean RSA from which on an answer holds.
ANSWERS = ((0.8, "Largely"), (0.5, "In part"), (0.2, "Little"), (-1.0, "Hardly"))
#: What random maps of the same spectra give, where most scores lie above, inside or below their range.
NULLS = {1: "less", 0: "about as much", -1: "more"}


def answer(run: Results) -> list[str]:
    """Answer whether query, key and value agree on what words mean.

    Parameters
    ----------
    run : Results

    Returns
    -------
    list of str
        How far they agree, over layers; what random maps of the same input with the trained spectra would give; whether
        it is so in other sentences. All by Pearson's r, as nulls are. What is switched off is left out.
    """
    rsa = run.pearson_by_layer()
    word = next(word for least, word in ANSWERS if rsa.mean() >= least)
    low, high = int(rsa.argmin()), int(rsa.argmax())
    ends = (
        f", from {number(rsa[low])} in layer {run.numbers[low]} to {number(rsa[high])} in layer {run.numbers[high]}"
        if len(rsa) > 1
        else ""
    )
    mean = number(rsa.mean())
    said = [f"{word}: similarities of words in two of the three correlate at {mean} on average{ends}."]
    if run.nulls:
        drawn = {pair: run.nulls["rsa", pair, "spectrum"] for pair in PAIRS}
        null = number(np.mean([cells["value"] for cells in drawn.values()]))
        # The nulls have no bias, nor have the scores that are held against their range.
        places = np.ravel([position(run.nulls["rsa", pair, "unbiased"]["value"], drawn[pair]) for pair in PAIRS])
        above, inside, below = (int(np.sum(places == sign)) for sign in NULLS)
        most = max(NULLS, key=lambda sign: np.sum(places == sign))
        said.append(
            f"Random maps of the same input, as narrow as the trained ones, would agree {NULLS[most]}: {null}. "
            f"Of {len(places)} layers and pairs {above} lie above their range, {inside} inside, {below} below "
            "(bias left out)."
        )
    if run.sentences:
        ends = [number(end(mean_by_sentence(run))) for end in (min, max)]
        said.append(f"In other sentences the average lies between {' and '.join(ends)}.")
    if run.comparison != "pearson":
        label, other = COMPARISON_LABELS[run.comparison].name, number(run.rsa_by_layer().mean())
        said.append(
            f"All of this is Pearson's r, as random maps and other sentences are; {label} is {other} on average."
        )
    return said


def mean_by_sentence(run: Results) -> list[float]:
    """Return the mean RSA in every other sentence than the run's own, over layers and pairs."""
    names = dict.fromkeys(name for *_, name in run.sentences if name not in (ALL_SENTENCES, OWN_SENTENCE))
    return [float(np.mean([run.sentences["rsa", pair, name]["value"] for pair in PAIRS])) for name in names]
