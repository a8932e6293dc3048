"""One type for moments: whichever way they are summed, the scores are the same, and the same inputs are refused."""

from collections.abc import Callable

import numpy as np
import pingouin
import pytest
from scipy import stats

from stages.geometry.comparison import pairwise, unit_norm
from stages.geometry.effects import cohens_d as measured_d
from stages.geometry.moments import Moments, cohens_d, moments, moments_of_sets, scores
from stages.geometry.names import MATRICES
from stages.geometry.pairs import within_category
from stages.statistics.bootstrap import bootstrap, resampled
from stages.statistics.permutation import draw_orders, permute_words

CATEGORIES = list("aaaabbbbbccc")
WITHIN = within_category(CATEGORIES)
PAIRS = len(WITHIN)


def values(seed: int = 0) -> np.ndarray:
    return 0.5 + np.random.default_rng(seed).normal(size=(3, PAIRS))


def once(some: np.ndarray) -> tuple[Moments, Moments]:
    every = moments(some)
    return every, moments(some, WITHIN, every.centre)


def as_one_set(some: np.ndarray) -> tuple[Moments, Moments]:
    (kinds,) = moments_of_sets(some, WITHIN)
    return tuple(Moments(*(part[0] for part in (m.n, m.sums, m.products, m.centre))) for m in kinds)


def all_once_in_a_resample(some: np.ndarray) -> tuple[Moments, Moments]:
    kinds = resampled(some[None], WITHIN, np.ones((1, len(CATEGORIES)), int))
    return tuple(Moments(m.n[0, 0], m.sums[0, 0], m.products[0, 0], m.centre[0]) for m in kinds)


ROADS = [once, as_one_set, all_once_in_a_resample]


@pytest.mark.parametrize("road", ROADS)
def test_every_road_gives_the_scores_of_scipy_and_pingouin(road: Callable) -> None:
    some = values()
    every, within = road(some)
    r, d = scores(every, within)
    for kind, chosen in {"rsa": slice(None), "rsa_within": WITHIN, "rsa_across": ~WITHIN}.items():
        expected = [[stats.pearsonr(a[chosen], b[chosen])[0] for b in some] for a in some]
        np.testing.assert_allclose(r[kind], expected, atol=1e-12)
    expected = [pingouin.compute_effsize(row[WITHIN], row[~WITHIN], eftype="cohen") for row in some]
    np.testing.assert_allclose(d, expected, atol=1e-12)
    np.testing.assert_allclose((every - within).means, some[:, ~WITHIN].mean(axis=1), atol=1e-12)
    np.testing.assert_allclose(within.sds, some[:, WITHIN].std(axis=1, ddof=1), atol=1e-12)


def test_a_word_left_out_is_a_count_of_zero() -> None:
    some, counts = values(1), np.ones((1, len(CATEGORIES)), int)
    counts[0, 2] = 0
    rows, columns = np.triu_indices(len(CATEGORIES), 1)
    kept = (rows != 2) & (columns != 2)
    found = scores(*resampled(some[None], WITHIN, counts))
    np.testing.assert_allclose(found.r["rsa"][0, 0], np.corrcoef(some[:, kept]), atol=1e-12)
    np.testing.assert_allclose(found.d[0, 0], measured_d(some[:, kept], WITHIN[kept]), atol=1e-12)


#: What does not vary: exactly, by rounding, far from 0, and what varies within or across alone.
CONSTANT = {
    "one number": np.full(PAIRS, 0.1),
    "zero": np.zeros(PAIRS),
    "up to rounding": 1 + 2e-16 * np.arange(PAIRS),
    "a large number": np.full(PAIRS, 1e9) + 1e-5 * np.random.default_rng(0).random(PAIRS),
}
#: What varies, however little.
VARIES = {
    "cosines near 1": 1 - 1e-7 * np.random.default_rng(1).random(PAIRS),
    "one pair": np.where(np.arange(PAIRS) == 3, 0.2, 0.1),
}


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("flat", CONSTANT)
def test_every_road_refuses_what_does_not_vary(road: Callable, flat: str) -> None:
    some = values()
    some[1] = CONSTANT[flat]
    every, within = road(some)
    assert every.varies.tolist() == [True, False, True]
    with pytest.raises(FloatingPointError):
        every.correlations()
    with pytest.raises(FloatingPointError):
        cohens_d(every, within)
    assert np.isnan(cohens_d(every, within, strict=False)).tolist() == [False, True, False]


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("little", VARIES)
def test_every_road_takes_what_varies_a_little(road: Callable, little: str) -> None:
    some = values()
    some[1] = VARIES[little]
    every, _ = road(some)
    np.testing.assert_allclose(every.correlations()[0, 1], stats.pearsonr(some[0], some[1])[0], atol=1e-6)


@pytest.mark.parametrize("flat", CONSTANT)
def test_tests_intervals_and_comparisons_refuse_it_too(flat: str) -> None:
    similarity = dict(zip(MATRICES, values()[:, None], strict=True))
    similarity["k"] = CONSTANT[flat][None]
    rng = np.random.default_rng(0)
    for refused in (
        lambda: unit_norm(similarity["k"]),
        lambda: pairwise(similarity),
        lambda: measured_d(similarity["k"], WITHIN),
        lambda: bootstrap(similarity, CATEGORIES, np.ones((2, len(CATEGORIES)), int), 0.05),
        lambda: permute_words(similarity, draw_orders(len(CATEGORIES), 20, rng, crossed=False)),
    ):
        with pytest.raises(FloatingPointError):
            refused()
