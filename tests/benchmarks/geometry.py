"""Similarity and RSA beside SciPy, rsatoolbox and the bare matrix product, on one machine in one run; prints one table.

    pip install -r tests/benchmarks/requirements.txt
    python tests/benchmarks/geometry.py [--sets 12]

Similarity: sets of 1,854 words × 1,600 units. Each way in a process of its own; seconds are the mean of a set, MB what
the peak of memory (from /proc: Linux only) adds to inputs and result. RSA: 144 scores of 34 words, GPT-2-XL's 48 layers
× 3 pairs. Heads: GPT-2-XL's 48 × 25 heads of 64 units.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from stages.geometry.comparison import pairwise
from stages.geometry.pairs import pairs_of, within_category
from stages.geometry.similarity import Similar, correlation, cosine
from stages.statistics.heads import head_scores

WORDS, UNITS = 1854, 1600
LAYERS, HEADS = 48, 25


def product(vectors: np.ndarray) -> np.ndarray:
    """Multiply and nothing else; NumPy has BLAS compute one triangle and mirrors it."""
    return vectors @ vectors.T


def scipys(metric: str, vectors: np.ndarray) -> np.ndarray:
    """Return `scipy.spatial.distance.pdist` as a similarity."""
    from scipy.spatial.distance import pdist

    return 1 - pdist(vectors, metric)


def rsatoolboxes(vectors: np.ndarray) -> np.ndarray:
    """Return `rsatoolbox.rdm.calc_rdm` of correlations as a similarity; a cosine it does not offer."""
    from rsatoolbox.data import Dataset
    from rsatoolbox.rdm import calc_rdm

    return 1 - calc_rdm(Dataset(vectors), method="correlation").dissimilarities[0]


WAYS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], type]] = {
    "this repository, cosine": (cosine, np.float32),
    "this repository, correlation": (correlation, np.float32),
    "bare product (NumPy, float64)": (product, np.float64),
    "scipy pdist, cosine": (partial(scipys, "cosine"), np.float64),
    "rsatoolbox calc_rdm, correlation": (rsatoolboxes, np.float64),
}


def similarity(way: str, sets: int) -> None:
    """Print seconds a set, and the MB that the peak adds."""
    work, dtype = WAYS[way]
    rng = np.random.default_rng(0)
    work(rng.normal(size=(64, 32)))  # imports, BLAS's threads
    given = [rng.standard_normal((WORDS, UNITS), dtype=np.float32).astype(dtype, copy=False) for _ in range(sets)]
    result = np.ones((sets, pairs_of(WORDS)))
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew, from here
    before = resident("VmRSS")
    seconds = 0.0
    for vectors, place in zip(given, result, strict=True):
        start = time.perf_counter()
        found = work(vectors)
        seconds += (time.perf_counter() - start) / sets
        if found.ndim == 1:
            place[:] = found
        del found
    print(seconds, resident("VmHWM") - before)


def resident(field: str) -> float:
    """Return the memory of this process, now (VmRSS) or at its peak (VmHWM), in MB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split(f"{field}:")[1].split()[0]) * 1024 / 1e6


def fastest(work: Callable[[], object], seconds: float = 2) -> float:
    """Time the best of as many runs as fit into some seconds."""
    best, end = np.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def rsa() -> None:
    """Print the seconds of 144 RSA scores."""
    from rsatoolbox.rdm import RDMs, compare

    rng = np.random.default_rng(0)
    given = {name: rng.normal(size=(LAYERS, pairs_of(34))) for name in "qkv"}
    rdms = {name: RDMs(1 - values) for name, values in given.items()}
    layers = {name: [RDMs(1 - row[None]) for row in values] for name, values in given.items()}

    def one_by_one() -> dict[str, np.ndarray]:
        return {
            a + b: np.array([compare(x, y, "corr")[0, 0] for x, y in zip(layers[a], layers[b], strict=True)])
            for a, b in ("qk", "qv", "kv")
        }

    def all_at_once() -> dict[str, np.ndarray]:
        """Return more than is asked for, every layer with every layer, but in three calls."""
        return {a + b: np.diagonal(compare(rdms[a], rdms[b], "corr")) for a, b in ("qk", "qv", "kv")}

    ours = pairwise(given)
    for peer in (one_by_one(), all_at_once()):
        for pair, scores in peer.items():
            np.testing.assert_allclose(ours[pair], scores, atol=1e-10)
    base = fastest(lambda: pairwise(given))
    print(f"\n{'RSA of 144 geometries, 34 words':40}{'ms':>9}{'times ours':>12}")
    print(f"{'this repository':40}{1e3 * base:9.2f}{1:12.1f}")
    for name, work in (("layer by layer", one_by_one), ("all layers at once", all_at_once)):
        seconds = fastest(work)
        print(f"{f'rsatoolbox compare, {name}':40}{1e3 * seconds:9.2f}{seconds / base:12.1f}", flush=True)


def heads() -> None:
    """Print the seconds of all heads, layer by layer."""
    rng = np.random.default_rng(0)
    within = within_category([f"{i % 3}" for i in range(34)])
    vectors = [{name: rng.normal(size=(34, UNITS)).astype(np.float32) for name in "qkvx"} for _ in range(LAYERS)]
    start = time.perf_counter()
    for layer in vectors:
        head_scores({name: layer[name] for name in "qkv"}, HEADS, Similar(len(layer["q"]), "cosine", "none"), within)
    scored = time.perf_counter()
    print(f"\n{'48 × 25 heads, 34 words':40}{'s':>9}")
    print(f"{'scores':40}{scored - start:9.2f}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=12)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        similarity(arguments.way, arguments.sets)
        return
    check = np.random.default_rng(0).normal(size=(50, 20))
    np.testing.assert_allclose(cosine(check), scipys("cosine", check), atol=1e-12)
    np.testing.assert_allclose(correlation(check), rsatoolboxes(check), atol=1e-12)
    print(f"{f'similarity, {arguments.sets} sets of {WORDS} × {UNITS}':40}{'s a set':>9}{'times ours':>12}{'MB':>7}")
    base = None
    for way in WAYS:
        command = [sys.executable, __file__, "--sets", str(arguments.sets), "--way", way]
        seconds, extra = map(float, subprocess.check_output(command, text=True).split())
        base = base or seconds
        print(f"{way:40}{seconds:9.3f}{seconds / base:12.2f}{extra:7.0f}", flush=True)
    rsa()
    heads()


if __name__ == "__main__":
    main()
