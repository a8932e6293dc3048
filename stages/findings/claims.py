"""The post's findings, judged on a run's own numbers: on another model, one that does not hold is a finding too."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stages.geometry.comparison import MATRICES, PAIRS, fisher_z, spearman


@dataclass(frozen=True)
class Results:
    """What a run measured.

    Attributes
    ----------
    correlation, rsa, separability : mapping of str to ndarray, shape (layers,)
        The columns of the tables of the same names in `metrics/`. Where K and V have fewer units than Q, `correlation`
        lacks their pairs with Q.
    mean_similarity : mapping of "q", "k", "v" to float
        Mean similarity over all word pairs at the focus layer.
    focus : int
        The focus layer.
    """

    correlation: Mapping[str, np.ndarray]
    rsa: Mapping[str, np.ndarray]
    separability: Mapping[str, np.ndarray]
    mean_similarity: Mapping[str, float]
    focus: int

    def rsa_by_layer(self) -> np.ndarray:
        """Mean RSA score of the three pairs, shape (layers,)."""
        return np.mean([self.rsa[pair] for pair in PAIRS], axis=0)


@dataclass(frozen=True)
class Verdict:
    """A finding as it came out: the numbers, and whether it holds (None where it cannot be judged, with the reason)."""

    measured: Any
    holds: bool | None
    reason: str = ""


@dataclass(frozen=True)
class Claim:
    """A finding of the post: what about, what the post says, and how it is judged."""

    finding: str
    post: str
    judge: Callable[[Results], Verdict] = field(repr=False)


def _needs_pairs(run: Results, *pairs: str) -> Verdict | None:
    missing = [pair for pair in pairs if pair not in run.correlation]
    return Verdict(None, None, f"{', '.join(missing)}: units differ in number") if missing else None


def _qk_correlation_focus(run: Results) -> Verdict:
    if undefined := _needs_pairs(run, "qk"):
        return undefined
    r = run.correlation["qk"][run.focus]
    return Verdict(r, bool(-0.3 < r < 0))


def _qk_correlation_most_layers(run: Results) -> Verdict:
    if undefined := _needs_pairs(run, "qk"):
        return undefined
    r = run.correlation["qk"]
    share = np.mean((r > -0.3) & (r < 0))
    return Verdict(share, bool(share > 0.5))


def _v_correlations_near_zero(run: Results) -> Verdict:
    if undefined := _needs_pairs(run, "qv", "kv"):
        return undefined
    size = {pair: np.abs(run.correlation[pair]).mean() for pair in ("qv", "kv")}
    return Verdict(size, all(value < 0.1 for value in size.values()))


def _target_closer_to_zero(run: Results) -> Verdict:
    shift = {
        pair: np.abs(run.correlation[f"{pair}_target"]).mean() - np.abs(run.correlation[pair]).mean()
        for pair in PAIRS
        if pair in run.correlation
    }
    return Verdict(shift, any(value < 0 for value in shift.values()))


def _similarity_order(run: Results) -> Verdict:
    mean = run.mean_similarity
    return Verdict(dict(mean), bool(mean["k"] > mean["q"] > mean["v"]))


def _rsa_focus(run: Results) -> Verdict:
    weakest = min(run.rsa[pair][run.focus] for pair in PAIRS)
    return Verdict(weakest, bool(weakest >= 0.8))


def _needs_layers(run: Results, layers: int) -> Verdict | None:
    found = len(run.rsa_by_layer())
    return None if found >= layers else Verdict(None, None, f"needs {layers} layers, the model has {found}")


def _rsa_level(run: Results) -> Verdict:
    if short := _needs_layers(run, 2):
        return short
    mean = run.rsa_by_layer()[1:].mean()
    return Verdict(mean, bool(0.85 <= mean <= 0.95))


def _rsa_flat(run: Results) -> Verdict:
    if short := _needs_layers(run, 4):
        return short
    later = run.rsa_by_layer()[1:]
    if np.ptp(later) == 0:
        return Verdict(0.0, True)
    rho = float(spearman(np.arange(len(later)), later))
    return Verdict(rho, bool(abs(rho) < 0.5))


def _rsa_first_layer(run: Results) -> Verdict:
    if short := _needs_layers(run, 2):
        return short
    first, *later = run.rsa_by_layer()
    return Verdict({"layer_0": first, "rest": np.mean(later)}, bool(first < np.mean(later)))


def _d_focus(run: Results) -> Verdict:
    d = {name: run.separability[name][run.focus] for name in MATRICES}
    return Verdict(d, all(2 <= value <= 3 for value in d.values()))


def _d_high(run: Results) -> Verdict:
    smallest = min(run.separability[name].min() for name in MATRICES)
    return Verdict(smallest, bool(smallest >= 0.8))


def _d_dip(run: Results) -> Verdict:
    if short := _needs_layers(run, 3):
        return short
    d = np.mean([run.separability[name] for name in MATRICES], axis=0)
    first, middle, last = np.array_split(d, 3)
    middle_mean, outer_mean = middle.mean(), np.concatenate([first, last]).mean()
    return Verdict({"middle": middle_mean, "outer": outer_mean}, bool(middle_mean < outer_mean))


def _within_above_across(run: Results) -> Verdict:
    above = [run.rsa[f"{pair}_within"] > run.rsa[f"{pair}_across"] for pair in PAIRS]
    return Verdict(np.mean(above), bool(np.all(above)))


def _within_above_across_z(run: Results) -> Verdict:
    gaps = [fisher_z(run.rsa[f"{pair}_within"]) - fisher_z(run.rsa[f"{pair}_across"]) for pair in PAIRS]
    return Verdict({"smallest": np.min(gaps), "mean": np.mean(gaps)}, bool(np.min(gaps) > 0))


#: The ids of `metrics/claims.json`, in the order of the post.
CLAIMS: dict[str, Claim] = {
    "qk_correlation_focus": Claim("Q-K correlation of units, focus layer", "weakly negative", _qk_correlation_focus),
    "qk_correlation_most_layers": Claim(
        "share of layers where it is weakly negative", "most layers", _qk_correlation_most_layers
    ),
    "v_correlations_near_zero": Claim("mean absolute r of units, Q-V and K-V", "near zero", _v_correlations_near_zero),
    "target_closer_to_zero": Claim(
        "mean absolute r at the target less that at the context token", "some below 0", _target_closer_to_zero
    ),
    "similarity_order": Claim("mean similarity, focus layer", "K > Q > V", _similarity_order),
    "rsa_focus": Claim("weakest RSA, focus layer", "around .85", _rsa_focus),
    "rsa_level": Claim("mean RSA, layer 0 left out", "around .9", _rsa_level),
    "rsa_flat": Claim("rank correlation of RSA with depth, layer 0 left out", "no visible change", _rsa_flat),
    "rsa_first_layer": Claim("mean RSA of layer 0 and of the rest", "layer 0 is the exception", _rsa_first_layer),
    "d_focus": Claim("Cohen's d, focus layer", "around 2.5", _d_focus),
    "d_high": Claim("smallest d of any layer and matrix", "high throughout", _d_high),
    "d_dip": Claim("mean d of the middle and of the outer layers", "lower in the middle", _d_dip),
    "within_above_across": Claim("share of RSA scores higher within than across", "every one", _within_above_across),
    "within_above_across_z": Claim("within less across after Fisher z", "the same", _within_above_across_z),
}


def judge(run: Results) -> dict[str, Verdict]:
    """Judge every finding of the post on a run.

    Parameters
    ----------
    run : Results

    Returns
    -------
    dict of str to Verdict
        By the ids of `CLAIMS`.
    """
    return {identifier: claim.judge(run) for identifier, claim in CLAIMS.items()}


def summarise(run: Results) -> dict[str, float]:
    """Put a run in the few numbers by which experiments are compared.

    Parameters
    ----------
    run : Results

    Returns
    -------
    dict of str to float
        Means over layers: ``qk_r`` (unit correlation of Q and K at the context token), ``rsa`` and ``rsa_gap`` (within
        categories minus across; both over the three pairs too), ``d_q``, ``d_k``, ``d_v`` (Cohen's d).
    """
    gaps = [run.rsa[f"{pair}_within"] - run.rsa[f"{pair}_across"] for pair in PAIRS]
    return {
        **({"qk_r": float(run.correlation["qk"].mean())} if "qk" in run.correlation else {}),
        "rsa": float(run.rsa_by_layer().mean()),
        "rsa_gap": float(np.mean(gaps)),
        **{f"d_{name}": float(run.separability[name].mean()) for name in MATRICES},
    }
