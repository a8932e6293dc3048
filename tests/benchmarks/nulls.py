"""Time the ladder of nulls at GPT-2-XL's shape, beside the matrix products alone that it cannot do without.

    python tests/benchmarks/nulls.py

100 draws; 48 layers of 1600 units, 34 words, 25 heads. The weights are random and the same in every layer, and loaded
already.
"""

import resource
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

sys.path[:0] = [str(Path(__file__).parents[2])]

from stages.geometry.comparison import COMPARISONS  # noqa: E402
from stages.geometry.names import MATRICES, PAIRS  # noqa: E402
from stages.geometry.pairs import within_category  # noqa: E402
from stages.geometry.similarity import Similar  # noqa: E402
from stages.geometry.transforms import TRANSFORMS  # noqa: E402
from stages.models.rotated import project_turned, spectra  # noqa: E402
from stages.statistics.heads import head_draws, head_ranges  # noqa: E402
from stages.statistics.nulls import Choices, draw_rungs  # noqa: E402

DRAWS, LAYERS, WORDS, UNITS, HEADS = 100, 48, 34, 1600, 25


def main() -> None:
    """Print seconds and memory."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((WORDS, UNITS))
    weights = {name: torch.from_numpy(rng.standard_normal((UNITS, UNITS), dtype=np.float32)) for name in MATRICES}
    within = within_category(["a"] * 10 + ["b"] * 13 + ["c"] * 11)
    similar = {name: Similar(WORDS, "cosine", name) for name in TRANSFORMS}
    choices = Choices(similar, [name for name in COMPARISONS if name != "pearson"], within)
    rows = torch.randn(DRAWS * WORDS, UNITS)

    def products() -> None:
        for w in weights.values():
            rows @ w

    def rungs(heads: bool) -> None:
        look = {"look": partial(head_draws, heads=HEADS, similar=similar["none"], within=within)} if heads else {}
        _, blocks = draw_rungs(x, partial(project_turned, weights), choices, DRAWS, rng, **look)
        if heads:
            head_ranges(blocks, 0.05)

    for name, work in {
        "matrix products alone": products,
        "the three drawn rungs": partial(rungs, False),
        "the same, and every head's": partial(rungs, True),
        "spectra and overlaps": partial(spectra, weights, PAIRS),
    }.items():
        work()  # warm
        start = time.perf_counter()
        for _ in range(3):
            work()
        print(f"{name:28} {(time.perf_counter() - start) / 3 * LAYERS:6.1f} s for {LAYERS} layers")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
