"""Time and memory of tests, intervals, controls and nulls, at GPT-2-XL's size and at 500 words.

    python tests/benchmarks/inference.py

Three runs, with 500 words two. The bars: of 34 words 3 s for the word permutations and 0.5 s for the bootstraps of RSA;
never above 500 MB. The ladder of nulls stands beside the matrix products alone, which it cannot do without.
"""

from functools import partial

import numpy as np
from timing import table

from stages.geometry.comparison import COMPARISONS
from stages.geometry.moments import Moments
from stages.geometry.names import MANY_WORDS, MATRICES, PAIRS, PLACES
from stages.geometry.pairs import within_category
from stages.geometry.similarity import Similar, cosine
from stages.geometry.transforms import TRANSFORMS
from stages.statistics.bootstrap import Statistics, against_input, bootstrap, resample_words
from stages.statistics.draws import stream
from stages.statistics.nulls import Choices, draw_rungs
from stages.statistics.permutation import Orders, draw_orders, permute_labels, permute_words
from stages.statistics.projections import project_turned, spectra

TIMES = 10_000


def rsa(every: Moments, within: Moments) -> Statistics:
    """Return only the scores over all pairs."""
    r = every.correlations()
    return {("rsa", pair): r[..., a, b] for pair, (a, b) in PLACES.items()}


def rows(words: int, layers: int, resamples: int, runs: int) -> None:
    """Time each computation, of similarities as the stages read them (float32), in three categories."""
    rng, categories = np.random.default_rng(0), sorted("abc"[i % 3] for i in range(words))
    x = rng.normal(size=(layers, words, 32)).astype(np.float32)
    matrices = {name: cosine(x @ rng.normal(size=(32, 32))).astype(np.float32) for name in "qkv"}
    similarity = {**matrices, "x": cosine(x).astype(np.float32)}
    counts, _ = resample_words(categories, resamples, stream(0, "bootstrap"))

    def orders(name: str) -> Orders:
        return draw_orders(words, TIMES, stream(0, name), words > MANY_WORDS)

    ways = {
        f"{3 * layers} RSA scores x {TIMES} word permutations": lambda: permute_words(matrices, orders("words")),
        f"{3 * layers} d x {TIMES} label permutations": lambda: permute_labels(matrices, categories, orders("labels")),
        f"bootstraps of {3 * layers} RSA scores": lambda: bootstrap(matrices, categories, counts, 0.05, rsa),
        "bootstraps of all of inference.csv": lambda: bootstrap(matrices, categories, counts, 0.05),
        "bootstraps of all of controls.csv": lambda: bootstrap(similarity, categories, counts, 0.05, against_input),
    }
    table(f"{words} words, {resamples} bootstraps", ways, runs)


def nulls(layers: int, words: int, units: int, draws: int) -> None:
    """Time each part of the ladder of nulls; the weights are random and the same in every layer."""
    rng = np.random.default_rng(0)
    x, rows = rng.standard_normal((words, units)), rng.standard_normal((draws * words, units), dtype=np.float32)
    weights = {name: rng.standard_normal((units, units), dtype=np.float32) for name in MATRICES}
    similar = {name: Similar(words, "cosine", name) for name in TRANSFORMS}
    others = [name for name in COMPARISONS if name != "pearson"]
    choices = Choices(similar, others, within_category(sorted("abc"[i % 3] for i in range(words))))
    ways = {
        "matrix products alone": lambda: [rows @ weight for weight in weights.values()],
        f"{draws} draws of three rungs": partial(draw_rungs, x, partial(project_turned, weights), choices, draws, rng),
        "spectra and overlaps": partial(spectra, weights, PAIRS),
    }
    table(f"ladder of nulls, {words} words, {layers} layers of {units} units", ways, 3, layers)


if __name__ == "__main__":
    rows(34, 48, TIMES, 3)
    rows(500, 8, 1000, 2)
    nulls(48, 34, 1600, 100)
