"""Random projections against brute force; RSA_FULL=1 draws ten times as many."""

import os

import numpy as np
import pytest
from scipy import stats

from stages.geometry.comparison import pearson
from stages.geometry.similarity import cosine
from stages.statistics.projections import factor, project

SIZE = 10 if os.environ.get("RSA_FULL") else 1


@pytest.mark.parametrize("units", [4, 11])
def test_drawn_projections_have_the_law_of_brute_force_ones(units: int) -> None:
    """Of words whose Gram matrix is singular, too: more of them than units, two the same."""
    rng, draws = np.random.default_rng(0), 1500 * SIZE
    x = rng.normal(size=(7, units)) + 1
    x[3] = x[2]
    exact, brute = project(factor(x), 5, draws, rng), x @ rng.normal(size=(draws, units, 5))
    assert exact.shape == brute.shape
    for statistic in (
        lambda values: values[:, 4, 2],
        lambda values: values[:, 0, 1] * values[:, 5, 1],
        lambda values: cosine(values)[:, 3],
        lambda values: pearson(cosine(values), cosine(x)),
    ):
        assert stats.ks_2samp(statistic(exact), statistic(brute)).pvalue > 0.01
