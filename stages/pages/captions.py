"""Captions that state a run's own numbers, and alternative text, for every figure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

MATRICES = {"q": "Q", "k": "K", "v": "V"}
PAIRS = {"qk": "Q–K", "qv": "Q–V", "kv": "K–V"}
SCORES = {"pearson": "Pearson's r", "spearman": "Spearman's ρ", "cka_debiased": "debiased CKA"}


@dataclass(frozen=True)
class Results:
    """What a run measured, as its tables hold it; those of stages that are switched off are empty.

    Attributes
    ----------
    correlation, rsa, separability, robustness : mapping of str to ndarray, shape (layers,)
    heads : mapping of str to ndarray, shape (layers, heads)
    inference : mapping
        By measure, by matrix or pair, by column: ndarray, shape (layers,).
    claims : mapping
        `metrics/claims.json`.
    mean_similarity : mapping of "q", "k", "v" to float
        At the focus layer, over all word pairs.
    words, within : int
        Words, and pairs within a category.
    focus, context : int
        The focus layer, and the token at which activations are correlated.
    comparison : str
        A key of `SCORES`.
    alpha : float
    """

    correlation: Mapping[str, np.ndarray]
    rsa: Mapping[str, np.ndarray]
    separability: Mapping[str, np.ndarray]
    robustness: Mapping[str, np.ndarray]
    heads: Mapping[str, np.ndarray]
    inference: Mapping[str, Any]
    claims: Mapping[str, Any]
    mean_similarity: Mapping[str, float]
    words: int
    within: int
    focus: int
    context: int
    comparison: str
    alpha: float

    @property
    def layers(self) -> int:
        """How many there are."""
        return len(self.rsa["qk"])


@dataclass(frozen=True)
class Caption:
    """What stands around a figure."""

    title: str
    text: str
    alternative: str


def number(value: float) -> str:
    """Write a number with two decimals and a real minus sign.

    Examples
    --------
    >>> number(-0.239)
    '−0.24'
    """
    return f"{value:.2f}".replace("-", "−")


def captions(run: Results) -> dict[str, Caption]:
    """Write the caption of every figure.

    Parameters
    ----------
    run : Results

    Returns
    -------
    dict of str to Caption
        By the names of the files in `plots/figures/`, in their order.
    """
    pairs = run.words * (run.words - 1) // 2
    focus, score = f"layer {run.focus}", SCORES[run.comparison]
    above = sum(int(np.sum(run.rsa[f"{pair}_within"] > run.rsa[f"{pair}_across"])) for pair in PAIRS)
    means = {kind: np.mean([run.rsa[f"{pair}_{kind}"] for pair in PAIRS]) for kind in ("within", "across")}
    undefined = [label for pair, label in PAIRS.items() if pair not in run.correlation]
    without = f" {_list(undefined)} cannot be paired unit by unit: their numbers of units differ." if undefined else ""
    controls_off = "Not computed: controls.enabled is false."
    return {
        "fig1_masks": Caption(
            "Figure 1. Pairs within and across categories",
            f"{run.words} words make {pairs} pairs: {run.within} within a category, {pairs - run.within} across.",
            "Four square masks over the words: same category, upper triangle, within and across categories",
        ),
        "fig2_activation_scatter": Caption(
            f"Figure 2. Activations, {focus}",
            f"Correlation of units at token {run.context}, in {focus}: "
            f"{_at(PAIRS, run.correlation, run.focus)}.{without}",
            "A scatter plot of activations for each pair of Q, K and V, a point a unit",
        ),
        "fig3_activation_correlation": Caption(
            "Figure 3. Correlation of activations over layers",
            f"Over {run.layers} layers: {_ranges(PAIRS, run.correlation)}.{without}",
            "Lines over layers: correlation of activations of Q–K, Q–V and K–V",
        ),
        "fig4_similarity_matrices": Caption(
            f"Figure 4. Similarity matrices, {focus}",
            f"Mean similarity of two words in {focus}: "
            + ", ".join(f"{label} {number(run.mean_similarity[name])}" for name, label in MATRICES.items())
            + ".",
            "Three square maps of the similarities of all word pairs in Q, K and V, with lines between categories",
        ),
        "fig5_rsa_scatter": Caption(
            f"Figure 5. Similarities of two matrices, {focus}",
            f"RSA score ({score}) over {pairs} word pairs in {focus}: {_at(PAIRS, run.rsa, run.focus)}.",
            "A scatter plot of similarities for each pair of Q, K and V, a point a word pair",
        ),
        "fig6_rsa_profile": Caption(
            "Figure 6. RSA scores over layers",
            f"RSA score ({score}): {_ranges(PAIRS, run.rsa)}." + _above_chance(run, "rsa", PAIRS),
            "Three lines over layers: RSA scores of Q–K, Q–V and K–V",
        ),
        "fig7_category_distributions": Caption(
            f"Figure 7. Similarities within and across categories, {focus}",
            f"Cohen's d, within against across, in {focus}: {_at(MATRICES, run.separability, run.focus)}.",
            "For Q, K and V, the distribution of similarities within categories and that across categories",
        ),
        "fig8_category_profile": Caption(
            "Figure 8. Categories over layers",
            f"Cohen's d: {_ranges(MATRICES, run.separability)}. Mean RSA within categories "
            f"{number(means['within'])}, across {number(means['across'])}." + _above_chance(run, "d", MATRICES),
            "Lines over layers: Cohen's d of Q, K and V; RSA scores within, and across categories",
        ),
        "fig9_within_vs_across": Caption(
            "Figure 9. RSA within against across categories",
            f"RSA is higher within than across in {above} of {3 * run.layers} layers and pairs.",
            "A scatter plot with a line of unity: RSA within against RSA across categories, a mark a pair and layer",
        ),
        "fig10_controls": Caption(
            "Figure 10. Is it more than shared input?",
            _floor(run.claims) or controls_off,
            "Lines over layers for each pair and matrix, with the range of random projections of the input",
        ),
        "fig11_robustness": Caption(
            "Figure 11. The same under other choices",
            _robustness(run.robustness) if run.robustness["q_none"].size else controls_off,
            "Lines over layers for each pair and matrix, under three transforms and two comparisons",
        ),
        "fig12_heads": Caption(
            "Figure 12. Every attention head",
            _heads(run.heads) if run.heads["q"].size else "Not computed: heads.enabled is false.",
            "Maps of layers by heads: Cohen's d of Q, K and V, and RSA of Q–K, Q–V and K–V",
        ),
    }


def _list(items: Iterable[str]) -> str:
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last


def _at(names: Mapping[str, str], table: Mapping[str, np.ndarray], layer: int) -> str:
    return ", ".join(f"{label} {number(table[name][layer])}" for name, label in names.items() if name in table)


def _ranges(names: Mapping[str, str], table: Mapping[str, np.ndarray]) -> str:
    """Write of each column its mean and range, and where the ends are."""
    return "; ".join(
        f"{label} {number(values.mean())} on average, from {number(values.min())} (layer {values.argmin()}) "
        f"to {number(values.max())} (layer {values.argmax()})"
        for name, label in names.items()
        if (values := table.get(name)) is not None
    )


def _above_chance(run: Results, measure: str, names: Mapping[str, str]) -> str:
    if measure not in run.inference:
        return " No tests: inference.enabled is false."
    layers = {
        label: int(np.sum(run.inference[measure][name]["p_familywise"] <= run.alpha)) for name, label in names.items()
    }
    counts = ", ".join(f"{label} in {count}" for label, count in layers.items())
    of = " (of Pearson's r)" if measure == "rsa" and run.comparison != "pearson" else ""
    return f" Family-wise p ≤ {run.alpha:g}{of}, of {run.layers} layers: {counts}."


def _floor(claims: Mapping[str, Any]) -> str:
    """Say where RSA and d lie against random projections, as `metrics/claims.json` counts it."""
    said = []
    for claim, what, labels in (("rsa_above_floor", "RSA", PAIRS), ("d_above_floor", "Cohen's d", MATRICES)):
        counts = claims[claim]["measured"]
        if counts is None:
            return ""
        layers = "; ".join(
            f"{labels[name]} {c['above']} above, {c['inside']} inside, {c['below']} below" for name, c in counts.items()
        )
        said.append(f"{what} against the range of random projections of the input, in layers: {layers}.")
    return " ".join(said)


def _robustness(table: Mapping[str, np.ndarray]) -> str:
    choices = {"none": "as they are", "center": "centred", "zscore": "z-scored"}
    rsa = {c: np.mean([table[f"{pair}_{c}_pearson"] for pair in PAIRS]) for c in choices}
    d = {c: np.mean([table[f"{name}_{c}"] for name in MATRICES]) for c in choices}
    return (
        f"Mean RSA (Pearson's r) of vectors {', '.join(f'{label} {number(rsa[c])}' for c, label in choices.items())}; "
        f"mean Cohen's d {', '.join(f'{label} {number(d[c])}' for c, label in choices.items())}."
    )


def _heads(table: Mapping[str, np.ndarray]) -> str:
    best = {name: np.unravel_index(table[name].argmax(), table[name].shape) for name in (*MATRICES, *PAIRS)}

    def largest(names: Mapping[str, str]) -> str:
        return ", ".join(
            f"{label} {number(table[name][best[name]])} (layer {best[name][0]}, head {best[name][1]})"
            for name, label in names.items()
        )

    return f"Largest Cohen's d of a head: {largest(MATRICES)}. Largest RSA: {largest(PAIRS)}."
