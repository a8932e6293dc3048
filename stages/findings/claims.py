"""The post's findings, judged on a run's own numbers: on another model, one that does not hold is a finding too."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from stages.artefacts.results import Results
from stages.findings.beyond import against_spectrum
from stages.geometry.comparison import COMPARISONS, fisher_z
from stages.geometry.names import MATRICES, PAIRS


class Undefined(Exception):
    """Why a finding cannot be judged on a run."""


class Verdict(NamedTuple):
    """How a finding came out on a run."""

    measured: Any
    holds: bool | None  # None where it is not judged
    reason: str = ""  # why it is not
    beyond: dict | None = None  # of `against_spectrum`, where random maps have the same measure


class Claim(NamedTuple):
    """A finding, and how it is judged.

    ``measure`` takes `Results` and returns what is measured, whether the finding holds (None for a measurement without
    a rule), and, where it cannot be judged, why; or it raises `Undefined`.
    """

    finding: str  # what is measured
    post: str  # what the post says
    rule: str  # when it holds, in words
    measure: Callable[[Results], tuple]
    null: str = ""  # the measure that random maps have, too, if any
    needs: str = ""  # a stage that can be switched off, without whose table it cannot be judged, if any

    def why_not(self, run: Results) -> str:
        """Return why the table that it needs is empty; nothing where it is not."""
        return run.reasons[self.needs] if self.needs and not getattr(run, self.needs) else ""

    def judge(self, run: Results) -> Verdict:
        """Judge it on a run."""
        beyond = against_spectrum(run.null_choices, self.null, run.alpha) if self.null and run.null_choices else None
        if reason := self.why_not(run):
            return Verdict(None, None, reason)
        try:
            measured, holds, *reason = self.measure(run)
        except Undefined as reason:
            return Verdict(None, None, str(reason), beyond)
        return Verdict(measured, None if holds is None else bool(holds), "".join(reason), beyond)


#: What stands instead of the post's words for a finding that is not the post's.
OWN = "not told"
#: The post's, in its order, then your own: by the ids of `metrics/claims.json`.
CLAIMS: dict[str, Claim] = {}


def claim(finding: str, post: str, rule: str, null: str = "") -> Callable:
    """Enter the function below among `CLAIMS`, by its name: the rule in words stands above the rule in code."""

    def enter(measure: Callable[[Results], tuple]) -> Callable:
        CLAIMS[measure.__name__] = Claim(finding, post, rule, measure, null)
        return measure

    return enter


def of_post() -> list[str]:
    """List the ids of the post's findings: those that are counted."""
    return [name for name, claim in CLAIMS.items() if claim.post != OWN]


def _r(run: Results, *pairs: str) -> list[np.ndarray]:
    if missing := [pair for pair in pairs if pair not in run.correlation]:
        raise Undefined(f"{', '.join(missing)}: units differ in number")
    return [run.correlation[pair] for pair in pairs]


def _at_least(layers: int, run: Results) -> None:
    if run.layers < layers:
        raise Undefined(f"needs {layers} layers, the model has {run.layers}")


def later_layers(run: Results, values: np.ndarray) -> np.ndarray:
    """Leave out layer 0, which the post excepts, if it was captured and is not alone."""
    return values[1:] if run.layers > 1 and run.numbers[0] == 0 else values


@claim("Q-K correlation of units, focus layer", "weakly negative", "-0.3 < r < 0")
def qk_correlation_focus(run: Results) -> tuple:
    (r,) = _r(run, "qk")
    return r[run.place], -0.3 < r[run.place] < 0


@claim("share of layers where it is weakly negative", "most layers", "more than half")
def qk_correlation_most_layers(run: Results) -> tuple:
    (r,) = _r(run, "qk")
    share = np.mean((r > -0.3) & (r < 0))
    return share, share > 0.5


@claim("mean absolute r of units, Q-V and K-V", "near zero", "both below 0.1")
def v_correlations_near_zero(run: Results) -> tuple:
    pairs = ("qv", "kv")
    size = {pair: np.abs(r).mean() for pair, r in zip(pairs, _r(run, *pairs), strict=True)}
    return size, max(size.values()) < 0.1


@claim("mean absolute r at the target less that at the context token", "some below 0", "below 0 for a pair")
def target_closer_to_zero(run: Results) -> tuple:
    pairs = [pair for pair in PAIRS if pair in run.correlation] or PAIRS
    context, target = (_r(run, *(f"{pair}{token}" for pair in pairs)) for token in ("", "_target"))
    if np.array_equal(context, target):
        raise Undefined("tokens.context and tokens.target are one token")
    shift = {p: np.abs(b).mean() - np.abs(a).mean() for p, a, b in zip(pairs, context, target, strict=True)}
    return shift, min(shift.values()) < 0


@claim("mean similarity, focus layer", "K > Q > V", "K > Q > V")
def similarity_order(run: Results) -> tuple:
    mean = run.mean_similarity
    return dict(mean), mean["k"] > mean["q"] > mean["v"]


@claim("weakest RSA, focus layer", "around .85", "at least 0.80", null="rsa")
def rsa_focus(run: Results) -> tuple:
    weakest = min(run.pearson[pair][run.place] for pair in PAIRS)
    return weakest, weakest >= 0.80


@claim("mean RSA, layer 0 left out", "around .9", "0.85 to 0.95", null="rsa")
def rsa_level(run: Results) -> tuple:
    _at_least(2, run)
    mean = later_layers(run, run.pearson_by_layer()).mean()
    return mean, 0.85 <= mean <= 0.95


@claim("rank correlation of RSA with depth, layer 0 left out", "no visible change", "between -0.5 and 0.5")
def rsa_flat(run: Results) -> tuple:
    _at_least(4, run)
    later = later_layers(run, run.pearson_by_layer())
    rho = float(COMPARISONS["spearman"].score(np.arange(len(later)), later)) if np.ptp(later) else 0.0
    rho = round(rho, 9)  # of few layers it may be 1/2 itself, which must not depend on the last bit
    return rho, abs(rho) < 0.5


@claim("mean RSA of layer 0 and of the rest", "layer 0 is the exception", "layer 0 below the rest")
def rsa_first_layer(run: Results) -> tuple:
    _at_least(2, run)
    if run.numbers[0]:
        raise Undefined("layer 0 was not captured")
    first, *later = run.pearson_by_layer()
    return {"layer_0": first, "rest": np.mean(later)}, first < np.mean(later)


@claim("Cohen's d, focus layer", "around 2.5", "each 2 to 3", null="d")
def d_focus(run: Results) -> tuple:
    d = {name: run.separability[name][run.place] for name in MATRICES}
    return d, all(2 <= value <= 3 for value in d.values())


@claim("smallest d of any layer and matrix", "high throughout", "at least 0.8", null="d")
def d_high(run: Results) -> tuple:
    smallest = min(run.separability[name].min() for name in MATRICES)
    return smallest, smallest >= 0.8


@claim("mean d of the middle and of the outer layers", "lower in the middle", "the middle third below the others")
def d_dip(run: Results) -> tuple:
    _at_least(3, run)
    first, middle, last = np.array_split(np.mean([run.separability[name] for name in MATRICES], axis=0), 3)
    means = {"middle": middle.mean(), "outer": np.concatenate([first, last]).mean()}
    return means, means["middle"] < means["outer"]


@claim("share of RSA scores higher within than across", "every one", "all", null="rsa_gap")
def within_above_across(run: Results) -> tuple:
    above = [run.rsa[f"{pair}_within"] > run.rsa[f"{pair}_across"] for pair in PAIRS]
    return np.mean(above), np.all(above)


@claim("within less across after Fisher z", "the same", "mean above its SD over layers and pairs", null="rsa_gap_z")
def within_above_across_z(run: Results) -> tuple:
    """Fisher's z keeps the order of scores, and so the sign of every gap: it can change their size alone."""
    gaps = np.array([np.subtract(*(fisher_z(run.rsa[f"{p}_{kind}"]) for kind in ("within", "across"))) for p in PAIRS])
    return {"smallest": gaps.min(), "mean": gaps.mean(), "sd": gaps.std(ddof=1)}, gaps.mean() > gaps.std(ddof=1)
