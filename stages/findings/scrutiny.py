"""What is left of the findings under tests and controls: counted over layers, and judged like the post's own claims."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from stages.findings.claims import Verdict
from stages.geometry.comparison import MATRICES, PAIRS

#: By measure, by matrix or pair, by column ("value", "low", "high", "p_familywise"): an array of shape (layers,).
Measures = Mapping[str, Mapping[str, Mapping[str, np.ndarray]]]


@dataclass(frozen=True)
class Evidence:
    """What the tests and controls of a run gave.

    Attributes
    ----------
    inference, controls : mapping
        The rows of the tables of the same names in `metrics/`; empty where they were switched off.
    alpha : float
        Level of the tests.
    """

    inference: Measures
    controls: Measures
    alpha: float


@dataclass(frozen=True)
class Scrutiny:
    """A question that the post leaves open: what is counted, when the finding survives, and what it takes to judge."""

    finding: str
    needs: str
    judge: Callable[[Evidence], Verdict] = field(repr=False)
    post: str = "not tested"


def position(value: np.ndarray, floor: Mapping[str, np.ndarray]) -> np.ndarray:
    """Say of each layer whether a value lies above (1), inside (0) or below (-1) a range.

    Parameters
    ----------
    value : ndarray, shape (layers,)
    floor : mapping of "low", "high" to ndarray, shape (layers,)

    Returns
    -------
    ndarray of int, shape (layers,)
    """
    return (value > floor["high"]).astype(int) - (value < floor["low"]).astype(int)


def _against_floor(measure: str, names: Sequence[str], suffix: str = "") -> Callable[[Evidence], Verdict]:
    """Count layers above, inside and below the floor; survives when most of all layers and names are above."""

    def judge(run: Evidence) -> Verdict:
        places = {
            name: position(run.controls[measure + suffix][name]["value"], run.controls[f"{measure}_floor"][name])
            for name in names
        }
        counts = {
            name: {where: int(np.sum(place == sign)) for where, sign in (("above", 1), ("inside", 0), ("below", -1))}
            for name, place in places.items()
        }
        return Verdict(counts, bool(np.mean(np.stack(list(places.values())) == 1) > 0.5))

    return judge


def _significant(measure: str, names: Sequence[str]) -> Callable[[Evidence], Verdict]:
    """Count layers below alpha, family-wise; survives when all are."""

    def judge(run: Evidence) -> Verdict:
        below = {name: run.inference[measure][name]["p_familywise"] <= run.alpha for name in names}
        return Verdict({name: int(b.sum()) for name, b in below.items()}, all(b.all() for b in below.values()))

    return judge


def _partial_rsa(run: Evidence) -> Verdict:
    zero = {"low": np.zeros(1), "high": np.zeros(1)}
    cells = {pair: run.controls["partial_rsa"][pair] for pair in PAIRS}
    above = {pair: position(cell["low"], zero) == 1 for pair, cell in cells.items()}
    below = {pair: position(cell["high"], zero) == -1 for pair, cell in cells.items()}
    counts = {pair: {"above": int(above[pair].sum()), "below": int(below[pair].sum())} for pair in PAIRS}
    return Verdict(counts, bool(np.mean(np.stack(list(above.values()))) > 0.5))


def _gap_bootstrap(run: Evidence) -> Verdict:
    above = [run.inference["rsa_gap"][pair]["low"] > 0 for pair in PAIRS]
    return Verdict(float(np.mean(above)), bool(np.all(above)))


def _gap_matched(run: Evidence) -> Verdict:
    shares = {}
    for which in ("first", "second"):
        gaps = np.concatenate([run.controls[f"rsa_gap_matched_{which}"][pair]["value"] for pair in PAIRS])
        gaps = gaps[~np.isnan(gaps)]
        if not len(gaps):
            return Verdict(None, None, "pairs within and across categories cannot be matched")
        shares[f"by_{which}"] = float(np.mean(gaps > 0))
    return Verdict(shares, all(share == 1 for share in shares.values()))


#: The ids in `metrics/claims.json`, after those of the post.
SCRUTINIES: dict[str, Scrutiny] = {
    "rsa_significant": Scrutiny(
        "layers where RSA is above chance, family-wise", "inference", _significant("rsa", PAIRS)
    ),
    "d_significant": Scrutiny(
        "layers where Cohen's d is above chance, family-wise", "inference", _significant("d", MATRICES)
    ),
    "rsa_above_floor": Scrutiny(
        "layers where RSA lies above / inside / below random projections'", "controls", _against_floor("rsa", PAIRS)
    ),
    "rsa_above_floor_without_bias": Scrutiny(
        "the same with the projections' bias subtracted", "controls", _against_floor("rsa", PAIRS, "_without_bias")
    ),
    "d_above_floor": Scrutiny(
        "layers where Cohen's d lies above / inside / below random projections'",
        "controls",
        _against_floor("d", MATRICES),
    ),
    "partial_rsa_above_0": Scrutiny(
        "layers where the interval of RSA given the input lies above / below 0", "controls", _partial_rsa
    ),
    "within_above_across_bootstrap": Scrutiny(
        "share of RSA scores higher within than across, interval above 0", "inference", _gap_bootstrap, "every one"
    ),
    "within_above_across_matched": Scrutiny(
        "the same at matched ranges of similarity", "controls", _gap_matched, "every one"
    ),
}


def scrutinise(run: Evidence) -> dict[str, Verdict]:
    """Judge what is left of the findings.

    Parameters
    ----------
    run : Evidence

    Returns
    -------
    dict of str to Verdict
        By the ids of `SCRUTINIES`; not judged where the stage that it needs was switched off.
    """
    return {
        name: asked.judge(run) if getattr(run, asked.needs) else Verdict(None, None, f"{asked.needs} switched off")
        for name, asked in SCRUTINIES.items()
    }


def summarise_controls(run: Evidence) -> dict[str, float]:
    """Put the controls in the few numbers by which experiments are compared.

    Parameters
    ----------
    run : Evidence

    Returns
    -------
    dict of str to float
        Means over layers and pairs (matrices): ``rsa_floor``, ``d_floor``. Empty where the controls were switched off.
    """
    if not run.controls:
        return {}
    return {
        name: float(np.mean([cells["value"] for cells in run.controls[name].values()]))
        for name in ("rsa_floor", "d_floor")
    }
