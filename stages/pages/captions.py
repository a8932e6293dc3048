"""Captions that state a run's own numbers, and alternative text, for every figure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stages.artefacts.results import Results
from stages.geometry.names import INPUT, LABELS, MATRICES, PAIRS
from stages.pipeline.schema import ALL_SENTENCES
from stages.plotting.names import COMPARISON_LABELS, FIGURES, number


@dataclass(frozen=True)
class Caption:
    """What stands around a figure."""

    title: str
    text: str
    alternative: str


def captions(run: Results, context: int) -> dict[str, Caption]:
    """Write the caption of every figure.

    Parameters
    ----------
    run : Results
    context : int
        The token at which activations are correlated.

    Returns
    -------
    dict of str to Caption
        By `FIGURES`.
    """
    words, within = len(run.record["words"]), int(run.within.sum())
    pairs = len(run.within)
    focus, score = f"layer {run.focus}", COMPARISON_LABELS[run.comparison].name
    above = sum(int(np.sum(run.rsa[f"{pair}_within"] > run.rsa[f"{pair}_across"])) for pair in PAIRS)
    means = {kind: np.mean([run.rsa[f"{pair}_{kind}"] for pair in PAIRS]) for kind in ("within", "across")}
    undefined = [LABELS[pair] for pair in PAIRS if pair not in run.correlation]
    without = f" {_list(undefined)} cannot be paired unit by unit: their numbers of units differ." if undefined else ""
    written = [
        Caption(
            "Figure 1. Pairs within and across categories",
            f"{words} words make {pairs} pairs: {within} within a category, {pairs - within} across.",
            "Four square masks over the words: same category, upper triangle, within and across categories",
        ),
        Caption(
            f"Figure 2. Activations, {focus}",
            f"Correlation of units at token {context}: {_at(PAIRS, run.correlation, run.place)}.{without}",
            "A scatter plot of activations for each pair of Q, K and V, a point a unit",
        ),
        Caption(
            "Figure 3. Correlation of activations over layers",
            f"{_ranges(PAIRS, run.correlation, run.numbers)}.{without}",
            "Lines over layers: correlation of activations of Q–K, Q–V and K–V",
        ),
        Caption(
            f"Figure 4. Similarity matrices, {focus}",
            f"In the mean over pairs of words: {_numbers(run.mean_similarity)}.",
            "Three square maps of the similarities of all word pairs in Q, K and V, with lines between categories",
        ),
        Caption(
            f"Figure 5. Similarities of two matrices, {focus}",
            f"RSA score ({score}) over {pairs} pairs of words: {_at(PAIRS, run.rsa, run.place)}.",
            "A scatter plot of similarities for each pair of Q, K and V, a point a word pair",
        ),
        Caption(
            "Figure 6. RSA scores over layers",
            f"RSA score ({score}): {_ranges(PAIRS, run.rsa, run.numbers)}." + _above_chance(run, "rsa", PAIRS),
            "Three lines over layers: RSA scores of Q–K, Q–V and K–V",
        ),
        Caption(
            f"Figure 7. Similarities within and across categories, {focus}",
            f"Cohen's d: {_at(MATRICES, run.separability, run.place)}.",
            "For Q, K and V, the distribution of similarities within categories and that across categories",
        ),
        Caption(
            "Figure 8. Categories over layers",
            f"Cohen's d: {_ranges(MATRICES, run.separability, run.numbers)}. Mean RSA within categories "
            f"{number(means['within'])}, across {number(means['across'])}." + _above_chance(run, "d", MATRICES),
            "Lines over layers: Cohen's d of Q, K and V; RSA scores within, and across categories",
        ),
        Caption(
            "Figure 9. RSA within against across categories",
            f"RSA is higher within than across in {above} of {3 * run.layers} layers and pairs.",
            "A scatter plot with a line of unity: RSA within against RSA across categories, a mark a pair and layer",
        ),
        Caption(
            "Figure 10. Where the agreement comes from",
            _ladder(run) if run.nulls else _not_computed(run, "nulls"),
            "Lines over layers for each pair: RSA with the ranges of three nulls, and below them the steps from one to "
            "the next as stacked bars",
        ),
        Caption(
            "Figure 11. Is it in the input already?",
            _input(run) if run.controls else _not_computed(run, "controls"),
            "Lines over layers for each pair and matrix: RSA, RSA to the input and given it; Cohen's d and that of the "
            "input",
        ),
        Caption(
            "Figure 12. The same under other choices",
            _robustness(run.robustness) if run.robustness else _not_computed(run, "robustness"),
            "Lines over layers for each pair and matrix, under three transforms and two comparisons",
        ),
        Caption(
            "Figure 13. Every attention head",
            _heads(run.heads, run.numbers) if run.heads else _not_computed(run, "heads"),
            "Maps of layers by heads: Cohen's d of Q, K and V, and RSA of Q–K, Q–V and K–V",
        ),
        Caption(
            f"Figure 14. A map of the words, {focus}",
            f"Near each other: alike. Stress, 0 where the plane keeps every distance: {_numbers(run.maps[1])}.",
            "For Q, K and V, the words as points in a plane, coloured by category",
        ),
        Caption(
            "Figure 15. The same words in other sentences",
            _sentences(run) if run.sentences else _not_computed(run, "sentences"),
            "Lines over layers, one a sentence, and means: RSA of each pair, reliability and Cohen's d of each matrix",
        ),
    ]
    return dict(zip(FIGURES, written, strict=True))


def _not_computed(run: Results, table: str) -> str:
    return f"Not computed: {run.reasons[table]}."


def _list(items: Iterable[str]) -> str:
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last


def _numbers(values: Mapping[str, float]) -> str:
    return ", ".join(f"{LABELS[name]} {number(value)}" for name, value in values.items())


def _at(names: Sequence[str], table: Mapping[str, np.ndarray], place: int) -> str:
    return _numbers({name: table[name][place] for name in names if name in table})


def _ranges(names: Sequence[str], table: Mapping[str, np.ndarray], layers: Sequence[int]) -> str:
    """Write of each column its mean and range, and where the ends are."""

    def end(place: int, values: np.ndarray) -> str:
        return f"{number(values[place])} (layer {layers[place]})"

    return "; ".join(
        f"{LABELS[name]} {number(values.mean())} on average, from {end(values.argmin(), values)} "
        f"to {end(values.argmax(), values)}"
        for name in names
        if (values := table.get(name)) is not None
    )


def _above_chance(run: Results, measure: str, names: Sequence[str]) -> str:
    if not run.inference:
        return " No tests: inference.enabled is false."
    layers = {name: int(np.sum(run.inference[measure, name]["p_familywise"] <= run.alpha)) for name in names}
    counts = ", ".join(f"{LABELS[name]} in {count}" for name, count in layers.items())
    of = " (of Pearson's r)" if measure == "rsa" and run.comparison != "pearson" else ""
    return f" Family-wise p ≤ {run.alpha:g}{of}, of {run.layers} layers: {counts}."


def _ladder(run: Results) -> str:
    """Say what each rung gives in the mean over layers, and where RSA lies against the trained spectra."""
    means = {
        rung: _numbers({pair: run.nulls["rsa", pair, rung]["value"].mean() for pair in PAIRS})
        for rung in ("gaussian", "spectrum", "orientation", "trained")
    }
    counts = run.claims["rsa_against_spectrum"]["measured"]
    places = "; ".join(
        f"{LABELS[pair]} {c['above']} above, {c['inside']} inside, {c['below']} below" for pair, c in counts.items()
    )
    return (
        f"Mean RSA of any maps of the input: {means['gaussian']}; with the trained spectra: {means['spectrum']}; "
        f"turned together: {means['orientation']}; as trained: {means['trained']}. "
        f"Against the range of the trained spectra, in layers: {places}."
    )


def _input(run: Results) -> str:
    partial = {pair: run.controls["partial_rsa", pair] for pair in PAIRS}
    above = ", ".join(f"{LABELS[p]} in {int(np.sum(cells['low'] > 0))}" for p, cells in partial.items())
    below = ", ".join(f"{LABELS[p]} in {int(np.sum(cells['high'] < 0))}" for p, cells in partial.items())
    d = {name: run.separability[name].mean() for name in MATRICES}
    return (
        f"RSA given the input: interval above 0 (of {run.layers} layers) {above}; below 0 {below}. Mean Cohen's d "
        f"{_numbers(d)}; of the input {number(run.controls['d_of_input', INPUT]['value'].mean())}."
    )


def _robustness(table: Mapping[str, np.ndarray]) -> str:
    choices = {"none": "as they are", "center": "centred", "zscore": "z-scored"}
    rsa = {c: np.mean([table[f"{pair}_{c}_pearson"] for pair in PAIRS]) for c in choices}
    d = {c: np.mean([table[f"{name}_{c}"] for name in MATRICES]) for c in choices}
    return (
        f"Mean RSA (Pearson's r) of vectors {', '.join(f'{label} {number(rsa[c])}' for c, label in choices.items())}; "
        f"mean Cohen's d {', '.join(f'{label} {number(d[c])}' for c, label in choices.items())}."
    )


def _sentences(run: Results) -> str:
    """Say in means over layers how reliable the geometries are, and what that leaves of their agreement."""

    def means(measure: str, names: Sequence[str]) -> str:
        return _numbers({name: np.nanmean(run.sentences[measure, name, ALL_SENTENCES]["value"]) for name in names})

    sentences = len({sentence for *_, sentence in run.sentences} - {ALL_SENTENCES})
    return (
        f"Means over layers. Correlation of the similarities in two of {sentences} sentences: "
        f"{means('reliability', MATRICES)}. RSA within a sentence {means('rsa', PAIRS)}; across sentences "
        f"{means('rsa_across', PAIRS)}; corrected for attenuation {means('rsa_corrected', PAIRS)}."
    )


def _heads(table: Mapping[str, np.ndarray], layers: Sequence[int]) -> str:
    def largest(names: Sequence[str]) -> str:
        best = {name: np.unravel_index(table[name].argmax(), table[name].shape) for name in names}
        return ", ".join(
            f"{LABELS[name]} {number(table[name][place])} (layer {layers[place[0]]}, head {place[1]})"
            for name, place in best.items()
        )

    return f"Largest Cohen's d of a head: {largest(MATRICES)}. Largest RSA: {largest(PAIRS)}."
