"""Which scores depend on a single word or unit: lines for the summary's notes and the report's answer."""

import numpy as np

from stages.artefacts.results import Results
from stages.geometry.effects import MUCH
from stages.geometry.names import LABELS, PAIRS
from stages.pipeline.errors import some_of

#: A unit is named that holds more than this of the squared length of x.
LARGE = 0.1
#: Words that are named of a score.
MOST = 3


def words_that_carry(run: Results) -> list[str]:
    """Name the words that move a score by more than `MUCH`, or than half its interval: a line a score."""
    lines = []
    for (measure, of), cells in run.influence.items():
        words, changes = cells["word"][:, 0], cells["value"][:, 0]
        interval = run.inference.get((measure, of))
        half = (interval["high"] - interval["low"]) / 2 if interval else np.inf
        bound = np.minimum(MUCH, half) if measure == "rsa" else half  # d, in SDs, moves by .1 with any word
        order = np.argsort(-np.abs(changes), kind="stable")
        if (most := order[(np.abs(changes) > bound)[order]]).size:
            named = [f"{words[place]} {changes[place]:+.2f} (layer {run.numbers[place]})" for place in most]
            lines.append(f"influence.csv: {measure} {of} without a single word: {some_of(named, MOST, ', ')}")
    return lines


def units_that_carry(run: Results) -> list[str]:
    """Return where one unit holds more than `LARGE` of x, and the RSA left without the largest unit of each matrix."""
    share, unit = (run.anisotropy[measure, "x", "all"]["value"] for measure in ("unit_share", "unit"))
    if not (large := int(np.sum(share > LARGE))):
        return []
    most = int(share.argmax())
    moved = []
    for pair in PAIRS:
        scores = (run.anisotropy["rsa", pair, variant]["value"] for variant in ("all", "without_unit"))
        before, after = (f"{np.nanmean(values):.2f}" for values in scores)
        if before != after:
            moved.append(f"{LABELS[pair]} {before} to {after}")
    left = f"moves: {', '.join(moved)}" if moved else "stays"
    most_of_all = f"{share[most]:.2f} (unit {unit[most]:.0f}, layer {run.numbers[most]})"
    return [
        f"anisotropy.csv: one unit holds more than {LARGE:g} of the squared length of x in {large} of {len(share)} "
        f"layers, at most {most_of_all}; without the largest unit of each matrix, mean RSA {left}"
    ]
