"""What tests and random maps leave of the findings: counted over layers, and judged like the post's own claims."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from stages.artefacts.results import Results
from stages.findings.beyond import EVERY, beyond
from stages.findings.claims import Claim, Undefined, later_layers
from stages.geometry.names import MATRICES, PAIRS


def _significant(run: Results, measure: str, names: Sequence[str]) -> tuple:
    """Count layers whose family-wise p, which is one-sided, is no larger than alpha."""
    passed = {name: run.inference[measure, name]["p_familywise"] <= run.alpha for name in names}
    return {name: int(p.sum()) for name, p in passed.items()}, all(later_layers(run, p).all() for p in passed.values())


def _against(run: Results, measure: str, names: Sequence[str], rung: str) -> tuple:
    """Count layers above, among and below random maps under every choice; no verdict where choices differ."""
    every = (EVERY, EVERY)
    counts = {name: beyond(run.null_choices, measure, (name,), rung, run.alpha)[every] for name in names}
    verdict = beyond(run.null_choices, measure, names, rung, run.alpha)[every].verdict
    measured = {n: {where: getattr(c, where) for where in ("above", "inside", "below")} for n, c in counts.items()}
    if verdict not in ("robust: above", "robust: below"):
        raise Undefined(verdict, measured)
    return measured, verdict == "robust: above"


def _largest_step(run: Results, measure: str, names: Sequence[str]) -> tuple:
    """Return for each name the step that moves the score most, in the mean over layers: a measurement, no verdict."""
    found = {}
    for name in names:
        steps = {s: c["value"].mean() for (m, n, s), c in run.nulls.items() if (m, n) == (f"{measure}_step", name)}
        largest = max(steps, key=lambda step: abs(steps[step]))
        found[name] = {"step": largest, "mean": steps[largest]}
    return found, None


def _gap_above_0(run: Results) -> tuple:
    above = [run.inference["rsa_gap", pair]["low"] > 0 for pair in PAIRS]
    return float(np.mean(above)), np.all(above)


def _test(needs: str, finding: str, rule: str, measure: Callable, *given: Any, post: str = "not tested") -> Claim:
    return Claim(finding, post, rule, lambda run: measure(run, *given), needs)


RSA, D = ("rsa", PAIRS), ("d", MATRICES)
_tested, _drawn = (partial(_test, needs) for needs in ("inference", "nulls"))
ALL, NONE = "all layers, or all but the first", "none, it is a measurement"
BEYOND = "above in a layer under every transform and comparison, family-wise"
GAP = "share of RSA scores higher within than across, interval above 0"

#: By the ids of `metrics/claims.json`, after those of the post.
TESTS: dict[str, Claim] = {
    "rsa_significant": _tested("layers where RSA is above chance, family-wise, one-sided", ALL, _significant, *RSA),
    "d_significant": _tested("layers where Cohen's d is above chance, family-wise, one-sided", ALL, _significant, *D),
    "rsa_against_gaussian": _drawn(
        "layers where RSA lies above / among / below any maps of the input", BEYOND, _against, *RSA, "gaussian"
    ),
    "rsa_against_spectrum": _drawn("the same, maps with the trained spectra", BEYOND, _against, *RSA, "spectrum"),
    "rsa_against_orientation": _drawn("the same, trained maps turned together", BEYOND, _against, *RSA, "orientation"),
    "rsa_largest_step": _drawn("step that moves RSA most, mean over layers", NONE, _largest_step, *RSA),
    "d_against_gaussian": _drawn(
        "layers where Cohen's d lies above / among / below any maps", BEYOND, _against, *D, "gaussian"
    ),
    "d_against_spectrum": _drawn("the same, maps with the trained spectra", BEYOND, _against, *D, "spectrum"),
    "d_largest_step": _drawn("step that moves Cohen's d most, mean over layers", NONE, _largest_step, *D),
    "partial_rsa_against_spectrum": _drawn(
        "layers where RSA given the input lies above / among / below maps with the trained spectra",
        BEYOND, _against, "partial_rsa", PAIRS, "spectrum",
    ),
    "within_above_across_bootstrap": _tested(GAP, "all", _gap_above_0, post="every one"),
    "gap_against_spectrum": _drawn(
        "layers where within less across lies above / among / below maps with the trained spectra",
        BEYOND, _against, "rsa_gap", PAIRS, "spectrum", post="every one",
    ),
}  # fmt: skip
