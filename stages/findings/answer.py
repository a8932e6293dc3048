"""The answer to the report's title, in sentences made from a run's numbers."""

import numpy as np

from stages.artefacts.results import Results
from stages.findings.beyond import beyond, spectrum_mean
from stages.findings.carriers import units_that_carry, words_that_carry
from stages.geometry.comparison import COMPARISONS
from stages.geometry.names import EVERY, PAIRS
from stages.pipeline.schema import ALL_SENTENCES, OWN_SENTENCE
from stages.plotting.captions import number

#: Mean RSA from which on an answer holds.
ANSWERS = ((0.8, "Largely"), (0.5, "In part"), (0.2, "Little"), (-1.0, "Hardly"))
#: Measures at the beginning of a sentence.
SPOKEN = {"rsa": "RSA", "d": "Cohen's d"}


def answer(run: Results) -> list[str]:
    """Answer in sentences whether query, key and value agree on what words mean.

    They say how far they agree, over layers; what random maps of the same input with the trained spectra would give;
    whether it is so in other sentences. All by Pearson's r, as nulls are. What is switched off is left out.
    """
    rsa = run.pearson_by_layer()
    word = next(word for least, word in ANSWERS if rsa.mean() >= least)
    low, high = (f"{number(rsa[place])} in layer {run.numbers[place]}" for place in (rsa.argmin(), rsa.argmax()))
    ends = f", from {low} to {high}" if len(rsa) > 1 else ""
    mean = number(rsa.mean())
    said = [f"{word}: similarities of words in two of the three correlate at {mean} on average{ends}."]
    if averaged := len(run.record.get("sentences", "")):
        said.append(f"The similarities are means over {averaged} sentences, random maps and units the prompt's own.")
    if run.nulls:
        null = number(spectrum_mean(run.nulls, "rsa"))
        every = beyond(run.null_choices, "rsa", PAIRS, "spectrum", run.alpha)[EVERY, EVERY]
        said.append(
            f"Random maps of the same input, as narrow as the trained ones, agree at {null}. Under every transform and "
            f"comparison, {every.above or 'none'} of {run.layers * len(PAIRS)} scores lie above them, "
            f"{every.below or 'none'} below"
            f"{'; under single choices some do' if every.verdict.startswith('only') else ''}."
        )
    if run.sentences:
        others = dict.fromkeys(name for *_, name in run.sentences if name not in (ALL_SENTENCES, OWN_SENTENCE))
        means = [np.mean([run.sentences["rsa", pair, name]["value"] for pair in PAIRS]) for name in others]
        ends = dict.fromkeys(number(end) for end in (min(means), max(means)))
        said.append(f"In other sentences the average {'lies between' if len(ends) > 1 else 'is'} {' and '.join(ends)}.")
    if run.anisotropy:
        for line in (*units_that_carry(run), *words_that_carry(run)[:1]):
            first, rest = line.partition(": ")[2].split(" ", 1)  # without the name of its table
            said.append(f"{SPOKEN.get(first, first.capitalize())} {rest}.")
    if run.comparison != "pearson":
        label, other = COMPARISONS[run.comparison].name, number(run.rsa_by_layer().mean())
        said.append(
            f"All of this is Pearson's r, as random maps and other sentences are; {label} is {other} on average."
        )
    return said
