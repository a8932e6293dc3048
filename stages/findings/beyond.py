"""Which scores lie beyond those of random maps, and under which choices: a verdict only where all choices agree."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from stages.geometry.comparison import COMPARISONS
from stages.geometry.names import MATRICES, PAIRS
from stages.geometry.transforms import TRANSFORMS

#: In the place of a transform and of a comparison: all of them.
EVERY = "every"
#: What is asked, by measure: the rungs that it is compared with.
ASKED = {
    "rsa": ("gaussian", "spectrum", "orientation"),
    "rsa_within": ("spectrum",),
    "rsa_across": ("spectrum",),
    "rsa_gap": ("gaussian", "spectrum"),
    "rsa_gap_z": ("gaussian", "spectrum"),
    "partial_rsa": ("spectrum",),
    "rsa_to_input": ("spectrum",),
    "d": ("gaussian", "spectrum"),
}
#: Claims of the post, by what random maps have of them: the others have no null.
OF_CLAIMS = {
    "rsa_focus": "rsa",
    "rsa_level": "rsa",
    "d_focus": "d",
    "d_high": "d",
    "within_above_across": "rsa_gap",
    "within_above_across_z": "rsa_gap_z",
}

#: The ladder under every choice, as `stages.statistics.nulls.ladder` gives it.
Ladder = Mapping[tuple[str, str, str, str, str], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Beyond:
    """Where the scores of a matrix or pair lie among those of random maps.

    Attributes
    ----------
    above, inside, below : int
        In how many layers.
    verdict : str
        Empty for a single choice.
    """

    above: int
    inside: int
    below: int
    verdict: str = ""


def beyond(
    ladder: Ladder, measure: str, names: Sequence[str], rung: str, alpha: float
) -> dict[tuple[str, str], Beyond]:
    """Count layers in which scores lie above, among and below those of random maps, under each choice and under all.

    A score lies above, or below, where its family-wise p (over all layers, and pairs or matrices) is at most alpha. The
    verdict says "robust" where a layer lies there under every choice, so that it says so wrongly with a probability of
    at most alpha.

    Parameters
    ----------
    ladder : mapping
    measure : str
    names : sequence of str
        Matrices or pairs.
    rung : str
        Of the random maps.
    alpha : float

    Returns
    -------
    dict of (transform, comparison) to Beyond
        Last for `EVERY` of both: counts of layers (and names) where all choices agree, and the verdict.
    """
    choices = dict.fromkeys(key[2:4] for key in ladder if key[:2] == (measure, names[0]) and key[4] == rung)
    signs = {
        choice: np.stack([_signs(ladder, (measure, name, *choice), rung, alpha) for name in names])
        for choice in choices
    }
    every = np.stack(list(signs.values()))
    agreed = np.where((every == every[0]).all(axis=0), every[0], 0)
    found = {choice: Beyond(*_counts(sign)) for choice, sign in signs.items()}
    return found | {(EVERY, EVERY): Beyond(*_counts(agreed), verdict(found, agreed))}


def _signs(ladder: Ladder, key: tuple[str, ...], rung: str, alpha: float) -> np.ndarray:
    """Return of each layer 1 where the score lies above the random maps', -1 where below, 0 where among them."""
    null, value = ladder[*key, rung], ladder[*key, "unbiased"]["value"]
    return np.where(null["p_familywise"] <= alpha, np.sign(value - null["value"]), 0).astype(int)


def _counts(signs: np.ndarray) -> tuple[int, int, int]:
    return tuple(int(np.sum(signs == sign)) for sign in (1, 0, -1))


def verdict(choices: Mapping[tuple[str, str], Beyond], agreed: np.ndarray) -> str:
    """Return what the choices agree on: "robust: above", "only raw: below", "not decided", ..."""
    sides = [side for side, sign in (("above", 1), ("below", -1)) if (agreed == sign).any()]
    if sides:
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


def verdicts(ladder: Ladder, alpha: float) -> dict[tuple[str, str, str, str, str], Beyond]:
    """Return what `beyond` says of every matrix or pair and of all together, for every measure and rung of `ASKED`.

    Returns
    -------
    dict of (measure, matrix or pair or "every", rung, transform, comparison) to Beyond
    """
    found = {}
    for measure, rungs in ASKED.items():
        listed = MATRICES if measure in ("d", "rsa_to_input") else PAIRS
        for rung in rungs:
            for of, names in {EVERY: listed, **{name: (name,) for name in listed}}.items():
                for choice, counts in beyond(ladder, measure, names, rung, alpha).items():
                    found[measure, of, rung, *choice] = counts
    return found


def beyond_random_maps(ladder: Ladder, alpha: float) -> dict[str, dict]:
    """Return, for each claim of the post that has a null, whether it lies beyond maps with the trained spectra.

    Returns
    -------
    dict of str to dict
        By claim: ``verdict`` ("yes": above in some layer under every choice; "undecided": under some choices; "no"),
        ``above`` (in how many layers and pairs, or matrices, under every choice) and ``of``.
    """
    found = {}
    for claim, measure in OF_CLAIMS.items() if ladder else ():
        choices = beyond(ladder, measure, MATRICES if measure == "d" else PAIRS, "spectrum", alpha)
        every = choices[EVERY, EVERY]
        some = any(choice.above for choice in choices.values())
        verdict = "yes" if every.above else "undecided" if some else "no"
        found[claim] = {"verdict": verdict, "above": every.above, "of": every.above + every.inside + every.below}
    return found


def as_table(found: Mapping[tuple[str, str, str, str, str], Beyond]) -> pd.DataFrame:
    """Return `verdicts` as `metrics/verdicts.csv` holds them: a row a measure, matrix or pair, rung and choice."""
    keys = ("measure", "of", "rung", "transform", "comparison")
    return pd.DataFrame([dict(zip(keys, names, strict=True)) | asdict(counts) for names, counts in found.items()])
