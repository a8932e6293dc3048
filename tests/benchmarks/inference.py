"""Time and memory of tests, intervals and controls, at GPT-2-XL's size and at 500 words; prints one table.

    python tests/benchmarks/inference.py [--all]

Seconds are the best of three runs, or of fewer where one takes long; MB is the peak allocated beside the inputs.
"""

import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from stages.geometry.moments import Moments
from stages.geometry.names import PAIRS, PLACES
from stages.geometry.similarity import cosine
from stages.statistics.amounts import MANY
from stages.statistics.bootstrap import Statistics, bootstrap, resample_words
from stages.statistics.partial import against_input
from stages.statistics.permutation import Orders, draw_orders, permute_labels, permute_words
from stages.statistics.seeds import stream

LAYERS, TIMES = 48, 10_000


def data(words: int, layers: int) -> tuple[dict[str, np.ndarray], list[str]]:
    """Similarities as the stages read them (float32), of words in three categories."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(layers, words, 32)).astype(np.float32)
    similarity = {name: cosine(x @ rng.normal(size=(32, 32))).astype(np.float32) for name in "qkv"}
    return similarity | {"x": cosine(x).astype(np.float32)}, sorted("abc"[i % 3] for i in range(words))


def rsa(every: Moments, within: Moments) -> Statistics:
    """Only the scores over all pairs."""
    r = every.correlations()
    return {("rsa", pair): r[..., a, b] for pair, (a, b) in zip(PAIRS, PLACES, strict=True)}


def row(name: str, work: Callable[[], object], bar: str = "", runs: int = 3) -> None:
    """Time `work`, then trace its memory."""
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    if runs > 1:
        tracemalloc.start()
        work()
        memory = f"{tracemalloc.get_traced_memory()[1] / 1e6:8.0f}"
        tracemalloc.stop()
    else:
        memory = f"{'':8}"
    print(f"{name:62}{min(seconds):9.2f}{memory}   {bar}", flush=True)


def main() -> None:
    """Print the table."""
    print(f"{'':62}{'seconds':>9}{'MB':>8}   bar")
    similarity, categories = data(34, LAYERS)
    matrices = {name: similarity[name] for name in "qkv"}
    counts, _ = resample_words(categories, TIMES, stream(0, "bootstrap"))

    def orders(name: str, times: int) -> Orders:
        return draw_orders(len(categories), times, stream(0, name), len(categories) > MANY)

    def words(times: int) -> Callable[[], object]:
        return lambda: permute_words(matrices, orders("words", times))

    def labels(times: int) -> Callable[[], object]:
        return lambda: permute_labels(matrices, categories, orders("labels", times))

    row("34 words: 144 tests x 10,000 word permutations", words(TIMES), "3 s, 500 MB")
    row(
        "34 words: 10,000 bootstraps of 144 correlations",
        lambda: bootstrap(matrices, categories, counts, 0.05, rsa),
        "0.5 s, 500 MB",
    )
    row("34 words: 144 d x 10,000 label permutations", labels(TIMES))
    row(
        "34 words: 10,000 bootstraps of all of inference.csv",
        lambda: bootstrap(matrices, categories, counts, 0.05),
    )
    row(
        "34 words: 10,000 bootstraps of all of controls.csv",
        lambda: bootstrap(similarity, categories, counts, 0.05, against_input),
    )
    similarity, categories = data(500, 8)
    matrices = {name: similarity[name] for name in "qkv"}
    counts, _ = resample_words(categories, 1000, stream(0, "bootstrap"))
    row("500 words: 24 tests x 10,000 word permutations", words(TIMES), "bounded: 500 MB", 2)
    row("500 words: 24 d x 10,000 label permutations", labels(TIMES), "bounded: 500 MB", 2)
    row(
        "500 words: 1,000 bootstraps of all of inference.csv",
        lambda: bootstrap(matrices, categories, counts, 0.05),
        "bounded: 500 MB",
        2,
    )


if __name__ == "__main__":
    main()
