"""What tests and controls leave of the findings: counted over layers, and judged like the post's own claims."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from stages.artefacts.results import Results
from stages.findings.claims import Claim, Undefined, claim
from stages.geometry.names import MATRICES, PAIRS

#: By the ids of `metrics/claims.json`, after those of the post.
TESTS: dict[str, Claim] = {}


def surviving(finding: str, needs: str, rule: str, post: str = "not tested") -> Callable:
    """Enter what judges a finding among `TESTS`, by its name."""
    return claim(finding, post, rule, needs, TESTS)


def position(value: np.ndarray, floor: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return of each layer whether a value lies above (1), inside (0) or below (-1) a range.

    Parameters
    ----------
    value : ndarray, shape (layers,)
    floor : mapping of "low", "high" to ndarray, shape (layers,)

    Returns
    -------
    ndarray of int, shape (layers,)
    """
    return (value > floor["high"]).astype(int) - (value < floor["low"]).astype(int)


def _significant(run: Results, measure: str, names: Sequence[str]) -> tuple:
    passed = {name: run.inference[measure, name]["p_familywise"] <= run.alpha for name in names}
    return {name: int(layers.sum()) for name, layers in passed.items()}, np.all([*passed.values()])


def _above_floor(run: Results, measure: str, names: Sequence[str], suffix: str = "") -> tuple:
    values = {name: run.controls[measure + suffix, name]["value"] for name in names}
    places = {name: position(value, run.controls[f"{measure}_floor", name]) for name, value in values.items()}
    signs = {"above": 1, "inside": 0, "below": -1}
    counts = {n: {where: int(np.sum(place == sign)) for where, sign in signs.items()} for n, place in places.items()}
    return counts, np.mean(np.stack([*places.values()]) == 1) > 0.5


@surviving("layers where RSA is above chance, family-wise", "inference", "all layers")
def rsa_significant(run: Results) -> tuple:
    return _significant(run, "rsa", PAIRS)


@surviving("layers where Cohen's d is above chance, family-wise", "inference", "all layers")
def d_significant(run: Results) -> tuple:
    return _significant(run, "d", MATRICES)


@surviving("layers where RSA lies above / inside / below random projections'", "controls", "most above")
def rsa_above_floor(run: Results) -> tuple:
    return _above_floor(run, "rsa", PAIRS)


@surviving("the same with the projections' bias subtracted", "controls", "most above")
def rsa_above_floor_without_bias(run: Results) -> tuple:
    return _above_floor(run, "rsa", PAIRS, "_without_bias")


@surviving("layers where Cohen's d lies above / inside / below random projections'", "controls", "most above")
def d_above_floor(run: Results) -> tuple:
    return _above_floor(run, "d", MATRICES)


@surviving("layers where the interval of RSA given the input lies above / below 0", "controls", "most above")
def partial_rsa_above_0(run: Results) -> tuple:
    cells = {pair: run.controls["partial_rsa", pair] for pair in PAIRS}
    above = {pair: int(np.sum(cell["low"] > 0)) for pair, cell in cells.items()}
    counts = {pair: {"above": above[pair], "below": int(np.sum(cell["high"] < 0))} for pair, cell in cells.items()}
    return counts, sum(above.values()) > 0.5 * sum(len(cell["low"]) for cell in cells.values())


@surviving("share of RSA scores higher within than across, interval above 0", "inference", "all", "every one")
def within_above_across_bootstrap(run: Results) -> tuple:
    above = [run.inference["rsa_gap", pair]["low"] > 0 for pair in PAIRS]
    return float(np.mean(above)), np.all(above)


@surviving("the same at matched ranges of similarity", "controls", "all", "every one")
def within_above_across_matched(run: Results) -> tuple:
    shares = {}
    for which in ("first", "second"):
        gaps = np.concatenate([run.controls[f"rsa_gap_matched_{which}", pair]["value"] for pair in PAIRS])
        if not len(gaps := gaps[~np.isnan(gaps)]):
            raise Undefined("pairs within and across categories cannot be matched")
        shares[f"by_{which}"] = float(np.mean(gaps > 0))
    return shares, min(shares.values()) == 1
