"""Which scores lie beyond those of random maps, and under which choices: a verdict only where all choices agree."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from stages.geometry.comparison import COMPARISONS
from stages.geometry.names import DRAWN, EVERY, MATRICES, PAIRS, Scores
from stages.geometry.transforms import TRANSFORMS

#: What is asked, by measure: the rungs that it is compared with.
ASKED = {
    "rsa": DRAWN,
    "rsa_within": ("spectrum",),
    "rsa_across": ("spectrum",),
    "rsa_gap": ("gaussian", "spectrum"),
    "rsa_gap_z": ("gaussian", "spectrum"),
    "partial_rsa": ("spectrum",),
    "rsa_to_input": ("spectrum",),
    "d": ("gaussian", "spectrum"),
}


class Beyond(NamedTuple):
    """The number of layers above, among and below random maps; a verdict on all choices together."""

    above: int
    inside: int
    below: int
    verdict: str = ""


def names_of(measure: str) -> tuple[str, ...]:
    """Return the matrices or pairs that a measure of `ASKED` is of."""
    return MATRICES if measure in ("d", "rsa_to_input") else PAIRS


def beyond(
    ladder: Scores, measure: str, names: Sequence[str], rung: str, alpha: float
) -> dict[tuple[str, str], Beyond]:
    """Count layers in which scores lie above, among and below those of random maps, under each choice and under all.

    A score is above, or below, where its family-wise p (over all layers, and pairs or matrices) is at most alpha. The
    verdict is "robust" where a layer is there under every choice: a false one has a probability of at most alpha.

    Of a measure of some matrices or pairs, `names`, against the random maps of a rung; `ladder` is that of
    `stages.statistics.nulls`. By transform and comparison; last for `EVERY` of both: counts of layers (and names) where
    all choices agree, and the verdict.
    """
    choices = dict.fromkeys(key[2:4] for key in ladder if key[:2] == (measure, names[0]) and key[4] == rung)
    signs = np.array([[_signs(ladder, (measure, name, *choice), rung, alpha) for name in names] for choice in choices])
    agreed = _count(np.where((signs == signs[0]).all(axis=0), signs[0], 0))
    found = dict(zip(choices, map(_count, signs), strict=True))
    return found | {(EVERY, EVERY): agreed._replace(verdict=_verdict(found, agreed))}


def _signs(ladder: Scores, key: tuple[str, ...], rung: str, alpha: float) -> np.ndarray:
    """Return for each layer 1 where the score is above those of the random maps, -1 where below, 0 where among them."""
    null, value = ladder[*key, rung], ladder[*key, "unbiased"]["value"]
    return np.where(null["p_familywise"] <= alpha, np.sign(value - null["value"]), 0)


def _count(signs: np.ndarray) -> Beyond:
    return Beyond(*(int(np.sum(signs == sign)) for sign in (1, 0, -1)))


def _verdict(choices: Mapping[tuple[str, str], Beyond], agreed: Beyond) -> str:
    """Return what the choices agree on: "robust: above", "only raw: below", "not decided", ..."""
    if sides := [side for side in ("above", "below") if getattr(agreed, side)]:
        return f"robust: {' and '.join(sides)}"
    some = {side: [choice for choice, found in choices.items() if getattr(found, side)] for side in ("above", "below")}
    parts = [f"only {in_short(found, choices)}: {side}" for side, found in some.items() if found]
    return "; ".join(parts) or "not decided"


def in_short(some: Sequence[tuple[str, str]], choices: Mapping[tuple[str, str], Beyond]) -> str:
    """Name choices: a transform alone where all of its comparisons are among them.

    Examples
    --------
    >>> in_short([("none", "pearson"), ("center", "pearson")], {("none", "pearson"): 0, ("center", "pearson"): 0})
    'raw, centred'
    """
    parts = []
    for transform in dict.fromkeys(choice[0] for choice in some):
        own = [comparison for other, comparison in some if other == transform]
        every = sum(other == transform for other, _ in choices)
        words = [""] if len(own) == every else [f" {COMPARISONS[comparison].short}" for comparison in own]
        parts += [f"{TRANSFORMS[transform].short}{word}" for word in words]
    return ", ".join(parts)


def verdicts(ladder: Scores, alpha: float) -> dict[tuple[str, str, str, str, str], Beyond]:
    """Return the rows of `metrics/verdicts.csv`: `beyond` of each matrix or pair, and of all, as `ASKED`.

    By measure, matrix or pair or "every", rung, transform and comparison.
    """
    return {
        (measure, of, rung, *choice): counts
        for measure, rungs in (ASKED if ladder else {}).items()
        for rung in rungs
        for of, names in {EVERY: names_of(measure), **{name: (name,) for name in names_of(measure)}}.items()
        for choice, counts in beyond(ladder, measure, names, rung, alpha).items()
    }


def against_spectrum(ladder: Scores, measure: str, alpha: float) -> dict[str, str | int]:
    """Return whether scores lie beyond those of maps with the trained spectra.

    ``verdict`` is "yes" if some layer is above under every choice, "undecided" if under some, or else "no"; ``above``
    is the number of scores (of layers and pairs, or matrices) above under every choice, and ``of`` the number of all.
    """
    choices = beyond(ladder, measure, names_of(measure), "spectrum", alpha)
    every = choices[EVERY, EVERY]
    verdict = "yes" if every.above else "undecided" if any(choice.above for choice in choices.values()) else "no"
    return {"verdict": verdict, "above": every.above, "of": sum(every[:3])}


def spectrum_mean(nulls: Scores, measure: str) -> float:
    """Return what maps with the trained spectra give, on average over layers and pairs, or matrices."""
    return float(np.mean([nulls[measure, name, "spectrum"]["value"] for name in names_of(measure)]))
