"""The controls: random projections against brute force.

RSA_FULL=1 repeats the simulation at ten times its size.
"""

import os

import numpy as np
import pytest
from scipy import stats

from stages.geometry.comparison import pearson
from stages.geometry.similarity import cosine
from stages.statistics.projections import factor, project

SIZE = 10 if os.environ.get("RSA_FULL") else 1


@pytest.mark.parametrize("units", [4, 9])
def test_the_factor_is_that_of_the_gram_matrix_singular_or_not(units: int) -> None:
    x = np.random.default_rng(0).normal(size=(6, units))
    x[3] = x[2]
    root = factor(x)
    assert root.shape == (6, min(6, units))
    np.testing.assert_allclose(root @ root.T, x @ x.T, atol=1e-12)


def test_drawn_projections_have_the_law_of_brute_force_ones() -> None:
    rng = np.random.default_rng(0)
    draws, width = 1500 * SIZE, 5
    x = rng.normal(size=(7, 11)) + 1
    exact = project(factor(x), width, draws, rng)
    brute = x @ rng.normal(size=(draws, 11, width))
    assert exact.shape == (draws, 7, width)
    np.testing.assert_allclose(np.mean(exact @ exact.swapaxes(1, 2), axis=0), width * x @ x.T, rtol=0.2)
    for values in (exact, brute):
        assert stats.kstest(values[:, 4, 2], "norm", args=(0, np.linalg.norm(x[4]))).pvalue > 0.01
    for one, other in (
        (exact[:, 0, 1] * exact[:, 5, 1], brute[:, 0, 1] * brute[:, 5, 1]),
        (cosine(exact)[:, 3], cosine(brute)[:, 3]),
        (pearson(cosine(exact), cosine(x)), pearson(cosine(brute), cosine(x))),
    ):
        assert stats.ks_2samp(one, other).pvalue > 0.01
