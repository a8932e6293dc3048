"""One type for moments: whichever way they are summed, the scores are the same, and the same inputs are refused."""

from collections.abc import Callable
from functools import partial

import numpy as np
import oracle
import pytest

from stages.geometry.comparison import unit_norm
from stages.geometry.effects import _of_each_word
from stages.geometry.effects import cohens_d as measured_d
from stages.geometry.moments import Moments, cohens_d, moments_of_sets, scores, similarities
from stages.geometry.pairs import condense, square, within_category
from stages.geometry.similarity import METRICS, Similar
from stages.geometry.transforms import TRANSFORMS
from stages.statistics.bootstrap import resampled

CATEGORIES = list("aaaabbbbbccc")
WITHIN = within_category(CATEGORIES)
PAIRS = len(WITHIN)
KINDS = {"rsa": WITHIN | True, "rsa_within": WITHIN, "rsa_across": ~WITHIN}


def values() -> np.ndarray:
    return 0.5 + np.random.default_rng(0).normal(size=(3, PAIRS))


@pytest.fixture(params=[1, 1000, 2**20])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in blocks of one draw or pair, of some, or all at once."""
    for module in ("similarity", "moments"):
        monkeypatch.setattr(f"stages.geometry.{module}.BLOCK", request.param)


def as_one_set(some: np.ndarray) -> tuple[Moments, Moments]:
    (kinds,) = moments_of_sets(some, WITHIN)
    return tuple(Moments(*(part[0] for part in (m.n, m.sums, m.products, m.centre))) for m in kinds)


def all_once_in_a_resample(some: np.ndarray) -> tuple[Moments, Moments]:
    kinds = resampled(some[None], WITHIN, np.ones((1, len(CATEGORIES)), int))
    return tuple(Moments(m.n[0, 0], m.sums[0, 0], m.products[0, 0], m.centre[0]) for m in kinds)


def beside_a_word_left_out(some: np.ndarray) -> tuple[Moments, Moments]:
    mean = some.mean(axis=1, keepdims=True)
    one_more = condense(np.pad(square(some - mean, 0), ((0, 0), (0, 1), (0, 1)))) + mean
    within = within_category([*CATEGORIES, "c"])
    ((every, inside),) = moments_of_sets(one_more, within)
    kinds = (m - _of_each_word(one_more, every.centre, w) for m, w in ((every, None), (inside, within)))
    return tuple(Moments(m.n[-1], m.sums[-1], m.products[-1], m.centre[0]) for m in kinds)


ROADS = [as_one_set, all_once_in_a_resample, beside_a_word_left_out]


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("spread", [1, 1e-7])
def test_every_road_gives_the_scores_of_numpy_and_pingouin(road: Callable, spread: float) -> None:
    """Also where a matrix hardly tells words apart: similarities about 1, the same to seven digits."""
    some = 1 + spread * values()
    every, within = road(some)
    r, d = scores(every, within)
    for kind, chosen in KINDS.items():
        np.testing.assert_allclose(r[kind], np.corrcoef(some[:, chosen]), atol=1e-9)
    np.testing.assert_allclose(d, [oracle.cohens_d(row, WITHIN) for row in some], atol=1e-9)
    np.testing.assert_allclose((every - within).means, some[:, ~WITHIN].mean(axis=1), atol=1e-12)


#: What does not vary: exactly, by rounding, far from 0.
CONSTANT = {
    "one number": np.full(PAIRS, 0.1),
    "zero": np.zeros(PAIRS),
    "up to rounding": 1 + 2e-16 * np.arange(PAIRS),
    "a large number": np.full(PAIRS, 1e9) + 1e-5 * np.random.default_rng(0).random(PAIRS),
}


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("flat", CONSTANT)
def test_every_road_refuses_what_does_not_vary(road: Callable, flat: str) -> None:
    some = values()
    some[1] = CONSTANT[flat]
    every, within = road(some)
    assert every.varies.tolist() == [True, False, True]
    with pytest.raises(FloatingPointError, match="one of its sides is constant"):
        every.correlations()
    with pytest.raises(FloatingPointError, match="do not vary"):
        cohens_d(every, within)
    assert np.isnan(cohens_d(every, within, strict=False)).tolist() == [False, True, False]


@pytest.mark.parametrize("road", ROADS)
def test_every_road_takes_what_varies_in_one_pair(road: Callable) -> None:
    some = values()
    some[1] = np.where(np.arange(PAIRS) == 3, 0.2, 0.1)
    every, _ = road(some)
    assert every.correlations()[0, 1] == pytest.approx(np.corrcoef(some[:2])[0, 1])


@pytest.mark.parametrize("flat", CONSTANT)
def test_what_takes_similarities_refuses_it_too(flat: str) -> None:
    for refused in (unit_norm, partial(measured_d, within=WITHIN)):
        with pytest.raises(FloatingPointError):
            refused(CONSTANT[flat])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("seed", range(20))
def test_what_does_not_vary_within_categories_or_in_either_kind_is_known(seed: int, dtype: type) -> None:
    """Far from the mean of all, rounding leaves more of a constant's scatter than near it."""
    some = np.random.default_rng(seed).random((3, PAIRS)).astype(dtype)
    some[0, WITHIN] = 0.9
    (kinds,) = moments_of_sets(some, WITHIN)
    with pytest.raises(FloatingPointError, match="one of its sides is constant"):
        scores(*kinds)
    r, d = scores(*kinds, strict=False)
    assert np.isnan(r["rsa_within"][0, 0]).all()
    assert np.isfinite(d).all()
    some[0] = np.where(WITHIN, 0.9, 0.1)
    (kinds,) = moments_of_sets(some, WITHIN)
    assert np.isnan(cohens_d(*kinds, strict=False)[0]).tolist() == [True, False, False]


# From vectors


def of_vectors(vectors: list, similar: Similar, within: np.ndarray, strict: bool = True) -> tuple[Moments, Moments]:
    (kinds,) = moments_of_sets(similarities(vectors, similar, within, strict), within)
    return kinds


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("metric", METRICS)
def test_many_geometries_have_the_similarities_of_each(metric: str, transform: str) -> None:
    rng, similar = np.random.default_rng(0), Similar(8, metric, transform)
    stacks = [rng.normal(size=(2, 11, 5)), rng.normal(size=(3, 11, 4))]  # the last three words are a reference
    np.testing.assert_allclose(similar.many(stacks), np.concatenate([similar(some) for some in stacks]), atol=1e-12)


@pytest.mark.parametrize("single", [False, True])
def test_a_geometry_with_a_zero_vector_has_no_scores_and_leaves_the_others_theirs(single: bool) -> None:
    vectors, similar = np.random.default_rng(0).normal(size=(2, 12, 4)), Similar(12, "cosine", "none", single)
    vectors[1, 2] = 0
    with pytest.raises(FloatingPointError, match="zero"):
        of_vectors([vectors], similar, WITHIN)
    r, d = scores(*of_vectors([vectors], similar, WITHIN, strict=False), strict=False)
    assert np.isfinite(d[0]).tolist() == [True, False]
    assert np.isfinite(r["rsa_within"][0]).tolist() == [[True, False], [False, False]]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spread", [1, 1e-5])
def test_single_precision_is_used_where_it_is_enough(metric: str, spread: float) -> None:
    """Scores move by less than a millionth; where words hardly differ, and of distances, they are the same."""
    rng, within = np.random.default_rng(0), within_category([str(place % 7) for place in range(150)])
    vectors = [np.ones(20) + spread * rng.normal(size=(3, 150, 20)) for _ in range(2)]
    double, single = (of_vectors(vectors, Similar(150, metric, "none", s), within) for s in (False, True))
    (r_double, d_double), (r_single, d_single) = scores(*double), scores(*single)
    single_is_enough = (metric, spread) == ("cosine", 1) or metric == "correlation"
    for name, r in r_double.items():
        np.testing.assert_allclose(r_single[name], r, atol=1e-6)
        assert np.array_equal(r_single[name], r) != single_is_enough
    np.testing.assert_allclose(d_single, d_double, atol=1e-6)
