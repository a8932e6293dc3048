"""How often intervals hold the truth: `python tests/benchmarks/coverage.py` writes the table that the docs quote.

Words are drawn at random from six populations; the truth is the statistic of very many of their words. For each
statistic the share of samples whose interval holds it, and of those that lie wholly below and above it: of percentile
intervals (ends of the bootstrap distribution) and of basic ones (mirrored at the value).
"""

from collections.abc import Callable
from itertools import product

import numpy as np
import pandas as pd
import timing  # noqa: F401  it says where stages is

from stages.geometry.moments import Moments
from stages.geometry.names import INPUT, MATRICES
from stages.geometry.similarity import cosine
from stages.statistics.bootstrap import Scores, against_input, bootstrap, resample_words, rsa_and_separability

SIZES = (10, 13, 11)
ALPHA = 0.05
SAMPLES, RESAMPLES = 400, 1000


def population(strength: float, shared: float, seed: int) -> Callable[[int, int], tuple[dict, np.ndarray]]:
    """Return what draws words: how far categories stand apart, and how much of the maps Q, K and V share."""
    rng = np.random.default_rng(seed)
    centres = strength * rng.normal(size=(3, 16))
    common = rng.normal(size=(16, 24))
    maps = {name: shared * common + rng.normal(size=(16, 24)) for name in MATRICES}

    def draw(sets: int, factor: int) -> tuple[dict, np.ndarray]:
        words = np.repeat(np.arange(3), np.array(SIZES) * factor)
        x = 0.5 + centres[words] + rng.normal(size=(sets, len(words), 16))
        return {**{name: cosine(x @ m) for name, m in maps.items()}, INPUT: cosine(x)}, words

    return draw


def intervals(similarity: dict, words: np.ndarray, counts: np.ndarray) -> Scores:
    def statistics(every: Moments, within: Moments) -> dict:
        return {**rsa_and_separability(every, within), **against_input(every, within)}

    return bootstrap(similarity, [str(word) for word in words], counts, ALPHA, statistics)


def main() -> None:
    """Print the coverage of every statistic, mean over matrices or pairs: average, lowest and highest population."""
    rows = []
    for place, (strength, shared) in enumerate(product((0.5, 1.0, 2.0), (0.0, 1.0))):
        draw = population(strength, shared, place)
        similarity, words = draw(1, 40)
        truth = intervals(similarity, words, np.ones((1, len(words)), int))
        rng = np.random.default_rng(100 + place)
        for _ in range(SAMPLES):
            similarity, words = draw(1, 1)
            counts, _ = resample_words([str(word) for word in words], RESAMPLES, rng)
            for key, found in intervals(similarity, words, counts).items():
                value, low, high = (found[end].item() for end in ("value", "low", "high"))
                true = truth[key]["value"].item()
                holds = low <= true <= high, high < true, 2 * value - high <= true <= 2 * value - low
                rows.append((key[0], place, *holds))
    table = pd.DataFrame(rows, columns=["measure", "population", "percentile", "below the truth", "basic"])
    shares = table.groupby(["measure", "population"]).mean().groupby("measure").agg(["mean", "min", "max"])
    print(shares.round(3).to_string())


if __name__ == "__main__":
    main()
