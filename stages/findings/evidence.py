"""What tests and controls leave of the findings: counted over layers, and judged like the post's own claims."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from stages.artefacts.results import Results
from stages.findings.claims import Claim, Undefined, later_layers
from stages.geometry.names import MATRICES, PAIRS


def position(value: np.ndarray, drawn: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return of each layer whether a value lies above (1), inside (0) or below (-1) a range.

    Parameters
    ----------
    value : ndarray, shape (layers,)
    drawn : mapping of "low", "high" to ndarray, shape (layers,)

    Returns
    -------
    ndarray of int, shape (layers,)
    """
    return (value > drawn["high"]).astype(int) - (value < drawn["low"]).astype(int)


def _significant(run: Results, measure: str, names: Sequence[str]) -> tuple:
    """Count layers whose family-wise p is no larger than alpha."""
    passed = {name: run.inference[measure, name]["p_familywise"] <= run.alpha for name in names}
    return {name: int(p.sum()) for name, p in passed.items()}, all(later_layers(run, p).all() for p in passed.values())


def _against(run: Results, measure: str, names: Sequence[str], rung: str) -> tuple:
    """Count layers above, inside and below the range of a drawn rung, which has no bias, nor has what it is held to."""
    places = {n: position(run.nulls[measure, n, "unbiased"]["value"], run.nulls[measure, n, rung]) for n in names}
    signs = {"above": 1, "inside": 0, "below": -1}
    counts = {n: {where: int(np.sum(place == sign)) for where, sign in signs.items()} for n, place in places.items()}
    return counts, np.mean(np.stack([*places.values()]) == 1) > 0.5


def _largest_step(run: Results, measure: str, names: Sequence[str]) -> tuple:
    """Return for each name the step that moves the score most, in the mean over layers: a measurement, no verdict."""
    found = {}
    for name in names:
        steps = {s: c["value"].mean() for (m, n, s), c in run.nulls.items() if (m, n) == (f"{measure}_step", name)}
        largest = max(steps, key=lambda step: abs(steps[step]))
        found[name] = {"step": largest, "mean": steps[largest]}
    return found, None


def _partial_rsa(run: Results) -> tuple:
    """Count layers whose interval lies above, and below, 0."""
    cells = {pair: run.controls["partial_rsa", pair] for pair in PAIRS}
    ends = {
        pair: {"above": int(np.sum(c["low"] > 0)), "below": int(np.sum(c["high"] < 0))} for pair, c in cells.items()
    }
    return ends, sum(end["above"] for end in ends.values()) > 0.5 * sum(len(c["low"]) for c in cells.values())


def _gap_above_0(run: Results) -> tuple:
    above = [run.inference["rsa_gap", pair]["low"] > 0 for pair in PAIRS]
    return float(np.mean(above)), np.all(above)


def _matched_gap(run: Results) -> tuple:
    shares = {}
    for which in ("first", "second"):
        gaps = np.concatenate([run.controls[f"rsa_gap_matched_{which}", pair]["value"] for pair in PAIRS])
        if not len(gaps := gaps[~np.isnan(gaps)]):
            raise Undefined("pairs within and across categories cannot be matched")
        shares[f"by_{which}"] = float(np.mean(gaps > 0))
    return shares, min(shares.values()) == 1


def _test(needs: str, finding: str, rule: str, measure: Callable, *given: Any, post: str = "not tested") -> Claim:
    return Claim(finding, post, rule, lambda run: measure(run, *given), needs)


RSA, D = ("rsa", PAIRS), ("d", MATRICES)
_tested, _drawn, _controlled = (partial(_test, needs) for needs in ("inference", "nulls", "controls"))
MOST, ALL, NONE = "most above", "all layers, or all but the first", "none, it is a measurement"


#: By the ids of `metrics/claims.json`, after those of the post.
TESTS: dict[str, Claim] = {
    "rsa_significant": _tested("layers where RSA is above chance, family-wise", ALL, _significant, *RSA),
    "d_significant": _tested("layers where Cohen's d is above chance, family-wise", ALL, _significant, *D),
    "rsa_against_gaussian": _drawn(
        "layers where RSA lies above / inside / below that of any maps of the input", MOST, _against, *RSA, "gaussian"
    ),
    "rsa_against_spectrum": _drawn("the same against maps with the trained spectra", MOST, _against, *RSA, "spectrum"),
    "rsa_against_orientation": _drawn(
        "the same against trained maps turned together", MOST, _against, *RSA, "orientation"
    ),
    "rsa_largest_step": _drawn("step that moves RSA most, mean over layers", NONE, _largest_step, *RSA),
    "d_against_gaussian": _drawn(
        "layers where Cohen's d lies above / inside / below that of any map of the input",
        MOST,
        _against,
        *D,
        "gaussian",
    ),
    "d_against_spectrum": _drawn("the same against a map with the trained spectrum", MOST, _against, *D, "spectrum"),
    "d_largest_step": _drawn("step that moves Cohen's d most, mean over layers", NONE, _largest_step, *D),
    "partial_rsa_above_0": _controlled(
        "layers where the interval of RSA given the input lies above / below 0", MOST, _partial_rsa
    ),
    "within_above_across_bootstrap": _tested(
        "share of RSA scores higher within than across, interval above 0", "all", _gap_above_0, post="every one"
    ),
    "within_above_across_matched": _controlled(
        "the same at matched ranges of similarity", "all", _matched_gap, post="every one"
    ),
}
