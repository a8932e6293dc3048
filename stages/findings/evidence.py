"""What tests and random maps leave of the findings: counted over layers, and judged like the post's own claims."""

import numpy as np

from stages.artefacts.results import Results
from stages.findings.beyond import beyond, names_of
from stages.findings.claims import Claim, later_layers
from stages.geometry.names import EVERY, PAIRS

UNTESTED = "not tested"
LIES = "lies above / among / below"


def _significant(finding: str, measure: str) -> Claim:
    """Count layers whose family-wise p, which is one-sided, is no larger than alpha."""

    def judge(run: Results) -> tuple:
        passed = {name: run.inference[measure, name]["p_familywise"] <= run.alpha for name in names_of(measure)}
        counts = {name: int(p.sum()) for name, p in passed.items()}
        return counts, all(later_layers(run, p).all() for p in passed.values())

    return Claim(finding, UNTESTED, "all layers, or all but the first", judge, needs="inference")


def _against(measure: str, rung: str, finding: str, post: str = UNTESTED) -> Claim:
    """Count layers above, among and below random maps under every choice; no verdict where choices differ."""

    def judge(run: Results) -> tuple:
        def agreed(*names: str) -> tuple:
            return beyond(run.null_choices, measure, names, rung, run.alpha)[EVERY, EVERY]

        names = names_of(measure)
        counts = {name: dict(zip(("above", "inside", "below"), agreed(name), strict=False)) for name in names}
        verdict = agreed(*names).verdict
        holds = {"robust: above": True, "robust: below": False}.get(verdict)
        return counts, holds, verdict if holds is None else ""

    rule = "above in a layer under every transform and comparison, family-wise"
    return Claim(finding, post, rule, judge, needs="nulls")


def _largest_step(finding: str, measure: str) -> Claim:
    """Find the step that moves each score most, in the mean over layers."""

    def judge(run: Results) -> tuple:
        found = {}
        for name in names_of(measure):
            steps = {s: c["value"].mean() for (m, n, s), c in run.nulls.items() if (m, n) == (f"{measure}_step", name)}
            largest = max(steps, key=lambda step: abs(steps[step]))
            found[name] = {"step": largest, "mean": steps[largest]}
        return found, None

    return Claim(finding, UNTESTED, "none, it is a measurement", judge, needs="nulls")


def _gap_above_0(run: Results) -> tuple:
    above = [run.inference["rsa_gap", pair]["low"] > 0 for pair in PAIRS]
    return np.mean(above), np.all(above)


GAP = "share of RSA scores higher within than across, interval above 0"

#: By the ids of `metrics/claims.json`, after those of the post.
TESTS: dict[str, Claim] = {
    "rsa_significant": _significant("layers where RSA is above chance, family-wise, one-sided", "rsa"),
    "d_significant": _significant("layers where Cohen's d is above chance, family-wise, one-sided", "d"),
    "rsa_against_gaussian": _against("rsa", "gaussian", f"layers where RSA {LIES} any maps of the input"),
    "rsa_against_spectrum": _against("rsa", "spectrum", "the same, maps with the trained spectra"),
    "rsa_against_orientation": _against("rsa", "orientation", "the same, trained maps turned together"),
    "rsa_largest_step": _largest_step("step that moves RSA most, mean over layers", "rsa"),
    "d_against_gaussian": _against("d", "gaussian", f"layers where Cohen's d {LIES} any maps"),
    "d_against_spectrum": _against("d", "spectrum", "the same, maps with the trained spectra"),
    "d_largest_step": _largest_step("step that moves Cohen's d most, mean over layers", "d"),
    "partial_rsa_against_spectrum": _against(
        "partial_rsa", "spectrum", f"layers where RSA given the input {LIES} maps with the trained spectra"
    ),
    "within_above_across_bootstrap": Claim(GAP, "every one", "all", _gap_above_0, needs="inference"),
    "gap_against_spectrum": _against(
        "rsa_gap", "spectrum", f"layers where within less across {LIES} maps with the trained spectra", "every one"
    ),
}
