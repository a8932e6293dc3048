"""What captions and titles are made of: a run's numbers, chosen and written."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from stages.geometry.names import EVERY, LABELS, MATRICES, PAIRS, Arrays, Scores

if TYPE_CHECKING:
    from stages.artefacts.results import Results

#: What is asked of pairs and of matrices, by measure: what it is called, and of what it is.
MEASURES = {"rsa": ("RSA", PAIRS), "d": ("Cohen's d", MATRICES)}


def labelled(table: Arrays) -> dict[str, np.ndarray]:
    """Choose of a table's columns those that are of a whole matrix or pair."""
    return {name: table[name] for name in LABELS if name in table}


def at(table: Arrays, place: int) -> dict[str, float]:
    """Return their values in one layer."""
    return {name: float(values[place]) for name, values in labelled(table).items()}


def values_of(scores: Scores, measure: str, names: Sequence[str], *choice: str) -> dict[str, np.ndarray]:
    """Choose the values of a measure by matrix or pair, shape (layers,); `choice` are further keys."""
    return {name: scores[measure, name, *choice]["value"] for name in names}


def number(value: float) -> str:
    """Write a number with two decimals and a real minus sign.

    Examples
    --------
    >>> number(-0.239)
    '−0.24'
    """
    return f"{value:.2f}".replace("-", "−")


def numbers(values: Mapping[str, float | np.ndarray]) -> str:
    """Write the numbers of matrices or pairs; where there are several, their means but for NaN."""
    return ", ".join(f"{LABELS[name]} {number(np.nanmean(value))}" for name, value in values.items())


def listed(items: Iterable[str]) -> str:
    """List items in words: "a, b and c"."""
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last


def span(values: Iterable[float | np.ndarray]) -> str:
    """Write from where to where values reach, but for NaN."""
    known = np.concatenate([np.ravel(one) for one in values])
    return f"from {number(np.nanmin(known))} to {number(np.nanmax(known))}"


def ranges(table: Arrays, run: "Results") -> str:
    """Write of each matrix or pair its mean and range over layers, and where the ends are."""

    def end(place: int, values: np.ndarray) -> str:
        return f"{number(values[place])} (layer {run.numbers[place]})"

    return "; ".join(
        f"{LABELS[name]} {number(values.mean())} on average, from {end(values.argmin(), values)} "
        f"to {end(values.argmax(), values)}"
        for name, values in labelled(table).items()
    )


def counts(layers: Mapping[str, np.ndarray]) -> str:
    """Write in how many layers something is so: of each matrix or pair, an array of bool."""
    return ", ".join(f"{LABELS[name]} in {int(np.sum(so))}" for name, so in layers.items())


def places(run: "Results", measure: str) -> str:
    """Write in how many layers scores lie above, among and below maps with the trained spectra, under every choice."""
    rows = {name: run.verdicts.loc[measure, name, "spectrum", EVERY, EVERY] for name in MEASURES[measure][1]}
    return "; ".join(f"{LABELS[n]} {r.above} above, {r.inside} among, {r.below} below" for n, r in rows.items())


def above_chance(run: "Results", measure: str) -> str:
    """Write in how many layers a family-wise test is passed."""
    if not run.inference:
        return f" No tests: {run.reasons['inference']}."
    passed = {name: run.inference[measure, name]["p_familywise"] <= run.alpha for name in MEASURES[measure][1]}
    of = " (of Pearson's r)" if measure == "rsa" and run.comparison != "pearson" else ""
    return f" Family-wise p ≤ {run.alpha:g}{of}, of {run.layers} layers: {counts(passed)}."


def of_units(run: "Results", said: str) -> str:
    """Add to a caption the names of the pairs that have no correlation unit by unit."""
    without = [LABELS[pair] for pair in PAIRS if pair not in run.correlation]
    said = said if len(without) < len(PAIRS) else ""
    reason = f" {listed(without)} cannot be paired unit by unit: their numbers of units differ." if without else ""
    return (said + reason).strip()
