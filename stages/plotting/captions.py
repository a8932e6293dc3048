"""What captions are made of: a run's numbers, written."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from stages.geometry.names import LABELS, PAIRS
from stages.plotting.names import number

if TYPE_CHECKING:
    from stages.artefacts.results import Results

#: In `metrics/verdicts.csv`, instead of a name, a transform or a comparison: all of them.
EVERY = "every"


def listed(items: Iterable[str]) -> str:
    """List items in words: "a, b and c"."""
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last


def numbers(values: Mapping[str, float]) -> str:
    """Write the numbers of matrices or pairs."""
    return ", ".join(f"{LABELS[name]} {number(value)}" for name, value in values.items())


def span(values: Iterable[np.ndarray]) -> str:
    """Write from where to where values reach, but for NaN."""
    known = np.concatenate([np.ravel(one) for one in values])
    return f"from {number(np.nanmin(known))} to {number(np.nanmax(known))}"


def at_focus(names: Sequence[str], table: Mapping[str, np.ndarray], run: "Results") -> dict[str, float]:
    """Return the focus layer's values of those names that a table has."""
    return {name: float(table[name][run.place]) for name in names if name in table}


def ranges(names: Sequence[str], table: Mapping[str, np.ndarray], run: "Results") -> str:
    """Write of each column its mean and range, and where the ends are."""

    def end(place: int, values: np.ndarray) -> str:
        return f"{number(values[place])} (layer {run.numbers[place]})"

    return "; ".join(
        f"{LABELS[name]} {number(values.mean())} on average, from {end(values.argmin(), values)} "
        f"to {end(values.argmax(), values)}"
        for name in names
        if (values := table.get(name)) is not None
    )


def counts(layers: Mapping[str, np.ndarray]) -> str:
    """Write in how many layers something is so: of each matrix or pair, an array of bool."""
    return ", ".join(f"{LABELS[name]} in {int(np.sum(so))}" for name, so in layers.items())


def places(run: "Results", measure: str, names: Sequence[str]) -> str:
    """Write in how many layers scores lie above, among and below maps with the trained spectra, under every choice."""
    rows = {name: run.verdicts.loc[measure, name, "spectrum", EVERY, EVERY] for name in names}
    return "; ".join(f"{LABELS[n]} {r.above} above, {r.inside} among, {r.below} below" for n, r in rows.items())


def above_chance(run: "Results", measure: str, names: Sequence[str]) -> str:
    """Write in how many layers a family-wise test is passed."""
    if not run.inference:
        return " No tests: inference.enabled is false."
    passed = {name: run.inference[measure, name]["p_familywise"] <= run.alpha for name in names}
    of = " (of Pearson's r)" if measure == "rsa" and run.comparison != "pearson" else ""
    return f" Family-wise p ≤ {run.alpha:g}{of}, of {run.layers} layers: {counts(passed)}."


def of_units(run: "Results", said: str) -> str:
    """Add to what is said of correlations unit by unit the names of the pairs that have none."""
    without = [LABELS[pair] for pair in PAIRS if pair not in run.correlation]
    said = said if len(without) < len(PAIRS) else ""
    reason = f" {listed(without)} cannot be paired unit by unit: their numbers of units differ." if without else ""
    return (said + reason).strip()
