"""The geometry: published definitions, independent implementations, and what must not change the numbers."""

import numpy as np
import pingouin
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import pdist, squareform

from stages.geometry import moments, similarity
from stages.geometry.agreement import similarities
from stages.geometry.comparison import fisher_z, head_by_head, pairwise, pearson, same_rows
from stages.geometry.effects import cohens_d
from stages.geometry.moments import Scored, moments_of_sets, scores
from stages.geometry.pairs import category_masks, condense, square, within_category
from stages.geometry.similarity import METRICS, Similar, correlation, cosine, euclidean
from stages.geometry.transforms import TRANSFORMS
from stages.pipeline.schema import Similarity
from stages.pipeline.settings import load
from stages.pipeline.word_lists import flatten
from stages.separability import separability

seeds = st.integers(0, 2**32 - 1)


def vectors(seed: int, words: int = 9, units: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(words, units))


def rotation(seed: int, units: int = 7) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(units, units)))[0]


@given(seeds, st.integers(2, 12))
def test_condensed_order_is_scipys(seed: int, words: int) -> None:
    x = vectors(seed, words)
    matrix = squareform(pdist(x))
    np.testing.assert_allclose(condense(matrix), pdist(x))
    np.testing.assert_allclose(square(pdist(x), 0.0), matrix)


def test_square_refuses_what_is_not_a_number_of_pairs() -> None:
    with pytest.raises(ValueError, match="4 is not the number of pairs"):
        square(np.zeros(4), 1.0)


def test_default_words_make_561_pairs_178_within_383_across() -> None:
    words, categories = flatten(load().words)
    masks = category_masks(categories)
    assert len(words) == 34
    assert (masks["upper"].sum(), masks["within"].sum(), masks["across"].sum()) == (561, 178, 383)
    assert within_category(categories).sum() == 178


@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=12))
def test_masks_partition_the_pairs(categories: list[str]) -> None:
    masks = category_masks(categories)
    assert not (masks["within"] & masks["across"]).any()
    np.testing.assert_array_equal(masks["within"] | masks["across"], masks["upper"])
    np.testing.assert_array_equal(masks["same"], masks["same"].T)
    expected = [a == b for i, a in enumerate(categories) for b in categories[i + 1 :]]
    np.testing.assert_array_equal(within_category(categories), expected)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("scale", [1e-3, 1, 1e4])
def test_similarity_equals_scipy(metric: str, scale: float) -> None:
    x = scale * (vectors(1, 34, 50) + 3)
    expected = -pdist(x, metric) if metric == "euclidean" else 1 - pdist(x, metric)
    np.testing.assert_allclose(METRICS[metric](x), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_similarity_is_vectorised_over_layers_and_leaves_its_input_alone(metric: str) -> None:
    x = np.random.default_rng(0).normal(size=(3, 2, 6, 5)).astype(np.float32)
    before = x.copy()
    together = METRICS[metric](x)
    assert together.shape == (3, 2, 15)
    np.testing.assert_allclose(together[2, 1], METRICS[metric](x[2, 1]))
    np.testing.assert_array_equal(x, before)


def test_the_settings_offer_the_metrics_of_the_registry() -> None:
    assert set(Similarity.model_json_schema()["properties"]["metric"]["enum"]) == set(METRICS)


@given(seeds)
def test_cosine_does_not_change_under_rotation_and_row_scaling(seed: int) -> None:
    x = vectors(seed)
    scales = np.random.default_rng(seed).uniform(0.1, 10, size=(len(x), 1))
    np.testing.assert_allclose(cosine(scales * x @ rotation(seed)), cosine(x), atol=1e-9)


@given(seeds, st.floats(-5, 5))
def test_correlation_does_not_change_under_shift_and_scaling_of_rows(seed: int, shift: float) -> None:
    x = vectors(seed)
    scales = np.random.default_rng(seed).uniform(0.1, 10, size=(len(x), 1))
    np.testing.assert_allclose(correlation(scales * x + shift), correlation(x), atol=1e-9)


@given(seeds)
def test_euclidean_does_not_change_under_rotation_and_translation(seed: int) -> None:
    x = vectors(seed)
    np.testing.assert_allclose(euclidean(x @ rotation(seed) + x[0]), euclidean(x), atol=1e-7)


def test_a_zero_vector_has_no_cosine() -> None:
    with pytest.raises(FloatingPointError, match="zero"):
        cosine(np.array([[1.0, 2.0], [0.0, 0.0]]))


@given(seeds)
def test_pearson_equals_numpy(seed: int) -> None:
    x, y = np.random.default_rng(seed).normal(size=(2, 4, 20))
    np.testing.assert_allclose(pearson(x, y), [np.corrcoef(a, b)[0, 1] for a, b in zip(x, y, strict=True)], atol=1e-12)


def test_pearson_of_a_constant_is_an_error() -> None:
    x = np.random.default_rng(0).normal(size=(3, 5))
    y = x.copy()
    y[1] = 0.1 + 1e-15 * np.arange(5)
    with pytest.raises(FloatingPointError, match="one of its sides is constant"):
        pearson(x, y)


@settings(max_examples=30)
@given(seeds)
def test_rsa_does_not_change_when_words_are_reordered_together(seed: int) -> None:
    generator = np.random.default_rng(seed)
    matrices = {name: generator.normal(size=(2, 8, 6)) for name in "qkv"}
    order = generator.permutation(8)
    scores, reordered = (
        pairwise({name: cosine(x[:, index]) for name, x in matrices.items()}) for index in (np.arange(8), order)
    )
    for pair in ("qk", "qv", "kv"):
        np.testing.assert_allclose(scores[pair], reordered[pair], atol=1e-9)


def test_rsa_of_rotated_copies_is_one_though_their_units_do_not_correlate() -> None:
    x = vectors(0, 34, 400)
    q, k, v = (x @ rotation(seed, 400) for seed in (1, 2, 3))
    geometry = pairwise({"q": cosine(q)[None], "k": cosine(k)[None], "v": cosine(v)[None]})
    units = pairwise({"q": q.reshape(1, -1), "k": k.reshape(1, -1), "v": v.reshape(1, -1)})
    assert min(score.min() for score in geometry.values()) > 0.999999
    assert max(abs(r).max() for r in units.values()) < 0.03


@pytest.mark.parametrize(("heads", "kv_heads", "size_v"), [(4, 4, 3), (6, 2, 3), (6, 1, 3), (6, 3, 6)])
def test_each_query_head_has_its_key_and_value_head_beside_it(heads: int, kv_heads: int, size_v: int) -> None:
    q, k, v = (vectors(n, 5, n * size) for n, size in ((heads, 3), (kv_heads, 3), (kv_heads, size_v)))
    found = head_by_head({"q": q, "k": k, "v": v}, heads, kv_heads)
    assert found["q"] is q
    for name, narrow, size in (("k", k, 3), ("v", v, size_v)):
        for head in range(heads):
            group = head // (heads // kv_heads)
            own = narrow[:, group * size : (group + 1) * size]
            np.testing.assert_array_equal(found[name][:, head * size : (head + 1) * size], own)
    # Heads of V of twice the size cannot be paired, though together they are as many units as Q's (6, 3, 6).
    assert set(pairwise({name: x.reshape(1, -1) for name, x in found.items()})) == (
        {"qk", "qv", "kv"} if size_v == 3 else {"qk"}
    )


def test_units_of_three_widths_are_paired_with_none() -> None:
    """Latent attention has keys of another size than queries; MiMo has grouped heads of two sizes."""
    units = {name: vectors(width, 5, width) for name, width in {"q": 48, "k": 24, "v": 16}.items()}
    assert pairwise({name: x.reshape(1, -1) for name, x in head_by_head(units, 4, 2).items()}) == {}


def test_query_heads_are_shared_out_evenly() -> None:
    with pytest.raises(ValueError, match="4 query heads cannot share 3 key and value heads evenly"):
        head_by_head({"q": np.zeros(8), "k": np.zeros(6), "v": np.zeros(6)}, 4, 3)


def test_fisher_z_is_the_artanh_and_finite_at_one() -> None:
    np.testing.assert_allclose(fisher_z(np.array([0.5, -0.3])), [0.54930614, -0.30951960])
    assert 18 < fisher_z(np.array(1.0)) < 19
    assert fisher_z(np.array(-1.0)) == -fisher_z(np.array(1.0))


def test_same_rows() -> None:
    x = vectors(0)
    assert same_rows(np.stack([x[0]] * 4) + 1e-7)
    assert not same_rows(x)


def test_a_geometry_of_vectors_that_hardly_differ_is_still_right() -> None:
    """A trained layer can all but ignore the word: cosines of 0.9999998 to 1, which float32 could not tell apart."""
    generator = np.random.default_rng(0)
    common, own = generator.normal(size=160), generator.normal(size=(34, 160))
    x = (1.6 * common + 3e-4 * own).astype(np.float32)
    exact = 1.6 * common + 3e-4 * own
    exact = exact / np.linalg.norm(exact, axis=1, keepdims=True)
    distance = pdist(exact.astype(np.longdouble), "sqeuclidean") / 2  # 1 - cosine, without the cancellation
    assert distance.max() < 1e-6
    assert np.corrcoef(cosine(x), -distance)[0, 1] > 0.99999
    assert abs(float(pearson(cosine(x), -distance)) - 1) < 1e-5


def test_cohens_d_is_the_textbooks() -> None:
    generator = np.random.default_rng(0)
    within, across = generator.normal(1, 2, size=178), generator.normal(0, 1, size=383)
    similarity, kind = np.concatenate([within, across]), np.arange(178 + 383) < 178
    pooled = np.sqrt((177 * within.var(ddof=1) + 382 * across.var(ddof=1)) / (178 + 383 - 2))
    expected = (within.mean() - across.mean()) / pooled
    assert cohens_d(similarity, kind) == pytest.approx(expected, abs=1e-12)
    t = stats.ttest_ind(within, across).statistic
    assert cohens_d(similarity, kind) == pytest.approx(t * np.sqrt(1 / 178 + 1 / 383), abs=1e-12)


def test_separability_is_the_posts_and_that_of_the_moments() -> None:
    similarity = np.random.default_rng(0).normal(size=15)
    within = within_category(list("aaabbb"))
    table = separability({"q": similarity}, within)
    w, a = similarity[within], similarity[~within]
    assert table["q"] == pingouin.compute_effsize(w, a, eftype="cohen") == pytest.approx(cohens_d(similarity, within))
    assert table["q_within_mean"] == pytest.approx(w.mean())
    assert table["q_across_sd"] == pytest.approx(a.std(ddof=1))


def test_cohens_d_of_constants_is_an_error() -> None:
    with pytest.raises(FloatingPointError, match="do not vary"):
        cohens_d(np.full(9, 0.1), np.arange(9) < 4)
    with pytest.raises(FloatingPointError, match="do not vary"):  # cosines of parallel vectors, up to rounding
        cohens_d(1 + 2e-16 * np.arange(9), np.arange(9) < 4)


# Many geometries


def agreement(values: np.ndarray, within: np.ndarray, strict: bool = True, *sets: np.ndarray) -> Scored:
    ((every, inside),) = moments_of_sets(values, within, *sets)
    return scores(every, inside, strict)


def agree(vectors, similar: Similar, within: np.ndarray, strict: bool = True) -> Scored:
    return agreement(similarities(vectors, similar, within, strict), within, strict)


@pytest.fixture(params=[1, 1000, 2**20])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in blocks of one draw or pair, of some, or all at once."""
    for module in (similarity, moments):
        monkeypatch.setattr(module, "BLOCK", request.param)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("metric", METRICS)
def test_many_geometries_have_the_similarities_of_each(metric: str, transform: str) -> None:
    rng, similar = np.random.default_rng(0), Similar(8, metric, transform)
    stacks = [rng.normal(size=(2, 11, 5)), rng.normal(size=(3, 11, 4))]  # the last three words are a reference
    np.testing.assert_allclose(similar.many(stacks), np.concatenate([similar(some) for some in stacks]), atol=1e-12)


def test_a_geometry_with_a_zero_vector_has_no_score_and_leaves_the_others_theirs() -> None:
    vectors, similar = np.random.default_rng(0).normal(size=(2, 5, 3)), Similar(5, "cosine", "none")
    vectors[1, 2] = 0
    with pytest.raises(FloatingPointError, match="zero"):
        similar.many([vectors])
    scores = agree([vectors], similar, within_category(list("aabbb")), strict=False)
    assert np.isfinite(scores.d[0]).tolist() == [True, False]
    assert np.isfinite(scores.r["rsa_within"][0]).tolist() == [[True, False], [False, False]]


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("spread", [1, 1e-6])
def test_agreement_is_that_of_correlations_and_cohens_d(spread: float) -> None:
    """Also where a matrix hardly tells words apart: similarities from 0.999999 to 1."""
    within = within_category(list("aaaabbbccc"))
    values = 1 - spread * np.random.default_rng(1).random((4, 45))
    scores = agreement(values, within)
    for measure, kind in {"rsa": within | True, "rsa_within": within, "rsa_across": ~within}.items():
        np.testing.assert_allclose(scores.r[measure][0], np.corrcoef(values[:, kind]), atol=1e-9)
    np.testing.assert_allclose(scores.d[0], cohens_d(values, within), atol=1e-9)
    values[2] = 0.7
    with pytest.raises(FloatingPointError, match="one of its sides is constant"):
        agreement(values, within)
    loose = agreement(values, within, strict=False)
    assert np.isnan(loose.d[0]).tolist() == [False, False, True, False]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("seed", range(20))
def test_agreement_knows_what_does_not_vary_within_categories_or_in_either_kind(seed: int, dtype: type) -> None:
    """Far from the mean of all, rounding leaves more of a constant's scatter than near it."""
    within = within_category(list("aaabbb"))
    values = np.random.default_rng(seed).random((3, 15)).astype(dtype)
    values[0, within] = 0.9
    with pytest.raises(FloatingPointError, match="one of its sides is constant"):
        agreement(values, within)
    loose = agreement(values, within, strict=False)
    assert np.isnan(loose.r["rsa_within"][0, 0]).all()
    assert np.isfinite(loose.d).all()
    values[0] = np.where(within, 0.9, 0.1)
    assert np.isnan(agreement(values, within, strict=False).d[0]).tolist() == [True, False, False]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spread", [1, 1e-5])
def test_single_precision_is_used_where_it_is_enough(metric: str, spread: float) -> None:
    """Scores move by less than a millionth; where words hardly differ, and of distances, they are the same."""
    rng, within = np.random.default_rng(0), within_category([str(place % 7) for place in range(150)])
    vectors = [np.ones(20) + spread * rng.normal(size=(3, 150, 20)) for _ in range(2)]
    double, single = (agree(vectors, Similar(150, metric, "none", single), within) for single in (False, True))
    single_is_enough = (metric, spread) == ("cosine", 1) or metric == "correlation"
    for name in ("rsa", "rsa_within", "rsa_across"):
        np.testing.assert_allclose(single.r[name], double.r[name], atol=1e-6)
        assert np.array_equal(single.r[name], double.r[name]) != single_is_enough
    np.testing.assert_allclose(single.d, double.d, atol=1e-6)


def test_single_precision_leaves_out_what_double_precision_leaves_out() -> None:
    vectors, within = np.random.default_rng(0).normal(size=(2, 9, 4)), within_category(list("aaabbbccc"))
    vectors[1, 2] = 0
    similar = Similar(9, "cosine", "none", single=True)
    np.testing.assert_equal(agree([vectors], similar, within, strict=False).d[0, 1], np.nan)
    with pytest.raises(FloatingPointError, match="zero"):
        agree([vectors], similar, within)


@pytest.mark.usefixtures("block")
def test_agreement_within_sets_is_that_of_each_set_alone() -> None:
    within, values = within_category(list("aaaabbbccc")), np.random.default_rng(1).random((3, 4, 45))
    sets = np.arange(12).reshape(3, 4).T  # the first geometry of each set, then the second of each
    found = agreement(values.reshape(12, 45), within, True, sets)
    for place in range(4):
        alone = agreement(values[:, place], within)
        np.testing.assert_allclose(found.d[place], alone.d[0], rtol=1e-12)
        for measure, r in alone.r.items():
            np.testing.assert_allclose(found.r[measure][place], r[0], rtol=1e-12)


def test_a_vector_that_is_constant_or_every_words_own_mean_is_an_error() -> None:
    """Rounding leaves 7e-17 of what should be 0: a direction made of it would be noise."""
    with pytest.raises(FloatingPointError, match="zero"):
        correlation(np.array([[0.1, 0.1, 0.1], [1, 2, 4]]))
    with pytest.raises(FloatingPointError, match="zero"):
        Similar(2, "correlation", "none").many([np.array([[[0.1, 0.1, 0.1], [1, 2, 4]]])])
    same = np.tile(np.random.default_rng(0).normal(size=7).astype(np.float32), (34, 1))
    for transform in ("center", "zscore"):
        with pytest.raises(FloatingPointError, match="zero"):
            Similar(34, "cosine", transform)(same)
