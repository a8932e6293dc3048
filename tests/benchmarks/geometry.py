"""Similarity and RSA beside SciPy, rsatoolbox and the bare matrix product, on one machine in one run.

    pip install -r tests/benchmarks/requirements.txt
    python tests/benchmarks/geometry.py

Similarity: 1,854 words × 1,600 units, 12 runs. RSA: 144 scores of 34 words, GPT-2-XL's 48 layers × 3 pairs, 100 runs.
"""

import numpy as np
from rsatoolbox.data import Dataset
from rsatoolbox.rdm import RDMs, calc_rdm, compare
from scipy.spatial.distance import pdist
from timing import table

from stages.geometry.comparison import pairwise
from stages.geometry.names import PAIRS
from stages.geometry.pairs import pairs_of
from stages.geometry.similarity import correlation, cosine

WORDS, UNITS, LAYERS = 1854, 1600, 48


def rsatoolboxes(vectors: np.ndarray) -> np.ndarray:
    """Return `rsatoolbox.rdm.calc_rdm` of correlations as a similarity; a cosine it does not offer."""
    return 1 - calc_rdm(Dataset(vectors), method="correlation").dissimilarities[0]


def similarity() -> None:
    """Time each way; NumPy has BLAS compute one triangle of the bare product and mirrors it."""
    check = np.random.default_rng(0).normal(size=(50, 20))
    np.testing.assert_allclose(cosine(check), 1 - pdist(check, "cosine"), atol=1e-12)
    np.testing.assert_allclose(correlation(check), rsatoolboxes(check), atol=1e-12)
    single = np.random.default_rng(0).standard_normal((WORDS, UNITS), dtype=np.float32)
    double = single.astype(np.float64)
    ways = {
        "this repository, cosine": lambda: cosine(single),
        "this repository, correlation": lambda: correlation(single),
        "bare product (NumPy, float64)": lambda: double @ double.T,
        "scipy pdist, cosine": lambda: 1 - pdist(double, "cosine"),
        "rsatoolbox calc_rdm, correlation": lambda: rsatoolboxes(double),
    }
    table(f"similarity of {WORDS} × {UNITS}", ways, 12)


def rsa() -> None:
    """Time 144 RSA scores, the same each way."""
    rng = np.random.default_rng(0)
    given = {name: rng.normal(size=(LAYERS, pairs_of(34))) for name in "qkv"}
    rdms = {name: RDMs(1 - values) for name, values in given.items()}
    layers = {name: [RDMs(1 - row[None]) for row in values] for name, values in given.items()}
    ways = {
        "this repository": lambda: pairwise(given),
        "rsatoolbox compare, layer by layer": lambda: {
            a + b: [compare(x, y, "corr")[0, 0] for x, y in zip(layers[a], layers[b], strict=True)] for a, b in PAIRS
        },
        # More than is asked for, every layer with every layer, but in three calls.
        "rsatoolbox compare, all layers at once": lambda: {
            a + b: np.diagonal(compare(rdms[a], rdms[b], "corr")) for a, b in PAIRS
        },
    }
    for work in ways.values():
        for pair, scores in work().items():
            np.testing.assert_allclose(scores, pairwise(given)[pair], atol=1e-10)
    table("RSA of 144 geometries, 34 words", ways, 100)


if __name__ == "__main__":
    similarity()
    rsa()
