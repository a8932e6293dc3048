"""How often intervals hold the truth: `python tests/benchmarks/coverage.py` writes the table that the docs quote.

Words are drawn at random from six populations; the truth is the statistic of very many of their words. For each
statistic the share of samples whose interval holds it, and of those that lie wholly below and above it: of percentile
intervals (ends of the bootstrap distribution) and of basic ones (mirrored at the value).
"""

import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[2])]

from stages.geometry.names import INPUT, MATRICES  # noqa: E402
from stages.geometry.pairs import within_category  # noqa: E402
from stages.geometry.similarity import cosine  # noqa: E402
from stages.statistics.bootstrap import (  # noqa: E402
    against_input,
    resample_words,
    resampled,
)

SIZES = (10, 13, 11)
ALPHA = 0.05
SAMPLES, RESAMPLES = 400, 1000
MEASURES = ("rsa", "rsa_within", "rsa_across", "rsa_gap", "partial_rsa", "rsa_to_input", "d", "sd_within", "sd_across")


def population(strength: float, shared: float, seed: int) -> Iterator:
    """Return what draws words: how far categories stand apart, and how much of the maps Q, K and V share."""
    rng = np.random.default_rng(seed)
    centres = strength * rng.normal(size=(3, 16))
    common = rng.normal(size=(16, 24))
    maps = {name: shared * common + rng.normal(size=(16, 24)) for name in MATRICES}

    def draw(sets: int, factor: int) -> np.ndarray:
        words = np.repeat(np.arange(3), np.array(SIZES) * factor)
        x = 0.5 + centres[words] + rng.normal(size=(sets, len(words), 16))
        return {**{name: cosine(x @ m) for name, m in maps.items()}, INPUT: cosine(x)}, words

    return draw


def statistics(similarity: dict, words: np.ndarray, counts: np.ndarray) -> dict:
    values = np.stack([similarity[name] for name in (*MATRICES, INPUT)], axis=1)
    return against_input(*resampled(values, within_category(words), counts))


def main() -> None:
    """Print the coverage of every statistic, mean over matrices or pairs, and its smallest over populations."""
    rows = {measure: [] for measure in MEASURES}
    for place, (strength, shared) in enumerate(product((0.5, 1.0, 2.0), (0.0, 1.0))):
        draw = population(strength, shared, place)
        similarity, words = draw(1, 40)
        truth = statistics(similarity, words, np.ones((1, len(words)), int))
        hits = {key: [] for key in truth if key[0] in MEASURES}
        rng = np.random.default_rng(100 + place)
        for _ in range(SAMPLES):
            similarity, words = draw(1, 1)
            counts, _ = resample_words([str(word) for word in words], RESAMPLES, rng)
            counts = np.concatenate([np.ones((1, counts.shape[1]), counts.dtype), counts])
            found = statistics(similarity, words, counts)
            for key, inside in hits.items():
                value, drawn, true = found[key][0, 0], found[key][1:, 0], truth[key][0, 0]
                low, high = np.quantile(drawn, [ALPHA / 2, 1 - ALPHA / 2])
                inside.append([low <= true <= high, high < true, 2 * value - high <= true <= 2 * value - low])
        for measure, row in rows.items():
            row.append(np.mean([hits[key] for key in hits if key[0] == measure], axis=(0, 1)))
    print(f"{'measure':14} {'percentile':>22} {'below the truth':>16} {'basic':>22}")
    for measure, row in rows.items():
        p, below, b = np.transpose(row)
        percentile, basic = (f"{share.mean():.3f} ({share.min():.3f}-{share.max():.3f})" for share in (p, b))
        print(f"{measure:14} {percentile:>22} {below.mean():16.3f} {basic:>22}")


if __name__ == "__main__":
    main()
