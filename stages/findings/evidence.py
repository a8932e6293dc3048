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
    passed = {name: run.inference[measure, name]["p_familywise"] <= run.alpha for name in names}
    later = 1 if run.layers > 1 else 0  # the post excepts the first layer itself
    return {name: int(p.sum()) for name, p in passed.items()}, all(p[later:].all() for p in passed.values())


def _against(run: Results, measure: str, names: Sequence[str], rung: str) -> tuple:
    """Count layers above, inside and below the range of a drawn rung, which has no bias, nor has what it is held to."""
    places = {n: position(run.nulls[measure, n, "unbiased"]["value"], run.nulls[measure, n, rung]) for n in names}
    signs = {"above": 1, "inside": 0, "below": -1}
    counts = {n: {where: int(np.sum(place == sign)) for where, sign in signs.items()} for n, place in places.items()}
    return counts, np.mean(np.stack([*places.values()]) == 1) > 0.5


def _largest_step(run: Results, measure: str, names: Sequence[str]) -> tuple:
    """Return for each name the step that moves the score most, in the mean over layers."""
    found = {}
    for name in names:
        steps = {s: c["value"].mean() for (m, n, s), c in run.nulls.items() if (m, n) == (f"{measure}_step", name)}
        largest = max(steps, key=lambda step: abs(steps[step]))
        found[name] = {"step": largest, "mean": steps[largest]}
    return found, all(step["step"] != "narrow spectrum" for step in found.values())


@surviving("layers where RSA is above chance, family-wise", "inference", "all layers, or all but the first")
def rsa_significant(run: Results) -> tuple:
    return _significant(run, "rsa", PAIRS)


@surviving("layers where Cohen's d is above chance, family-wise", "inference", "all layers, or all but the first")
def d_significant(run: Results) -> tuple:
    return _significant(run, "d", MATRICES)


@surviving("layers where RSA lies above / inside / below that of any maps of the input", "nulls", "most above")
def rsa_against_gaussian(run: Results) -> tuple:
    return _against(run, "rsa", PAIRS, "gaussian")


@surviving("the same against maps with the trained spectra", "nulls", "most above")
def rsa_against_spectrum(run: Results) -> tuple:
    return _against(run, "rsa", PAIRS, "spectrum")


@surviving("the same against trained maps turned together", "nulls", "most above")
def rsa_against_orientation(run: Results) -> tuple:
    return _against(run, "rsa", PAIRS, "orientation")


@surviving("step that moves RSA most, mean over layers", "nulls", "in no pair the narrow spectrum")
def rsa_largest_step(run: Results) -> tuple:
    return _largest_step(run, "rsa", PAIRS)


@surviving("layers where Cohen's d lies above / inside / below that of any map of the input", "nulls", "most above")
def d_against_gaussian(run: Results) -> tuple:
    return _against(run, "d", MATRICES, "gaussian")


@surviving("the same against a map with the trained spectrum", "nulls", "most above")
def d_against_spectrum(run: Results) -> tuple:
    return _against(run, "d", MATRICES, "spectrum")


@surviving("step that moves Cohen's d most, mean over layers", "nulls", "in no matrix the narrow spectrum")
def d_largest_step(run: Results) -> tuple:
    return _largest_step(run, "d", MATRICES)


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
