"""The geometry: published definitions, independent implementations, and what must not change the numbers."""

import numpy as np
import pingouin
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import pdist, squareform

from stages.geometry import similarity as measuring
from stages.geometry.comparison import COMPARISONS, fisher_z, head_by_head, pairwise, pearson, same_rows
from stages.geometry.effects import cohens_d, common_language
from stages.geometry.pairs import category_masks, condense, square, within_category
from stages.geometry.similarity import METRICS, Similar, correlation, cosine
from stages.geometry.transforms import center, none, zscore
from stages.pipeline.settings import load
from stages.pipeline.word_lists import flatten
from stages.separability import separability

spearman, cka_debiased = COMPARISONS["spearman"].score, COMPARISONS["cka_debiased"].score
seeds = st.integers(0, 2**32 - 1)


def vectors(seed: int, words: int = 9, units: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(words, units))


# Word pairs


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
    masks = category_masks(flatten(load().words)[1])
    assert (masks["upper"].sum(), masks["within"].sum(), masks["across"].sum()) == (561, 178, 383)


@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=12))
def test_masks_partition_the_pairs(categories: list[str]) -> None:
    masks = category_masks(categories)
    assert not (masks["within"] & masks["across"]).any()
    np.testing.assert_array_equal(masks["within"] | masks["across"], masks["upper"])
    np.testing.assert_array_equal(masks["same"], masks["same"].T)
    expected = [a == b for i, a in enumerate(categories) for b in categories[i + 1 :]]
    np.testing.assert_array_equal(within_category(categories), expected)


# Similarity


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("scale", [1e-3, 1, 1e4])
def test_similarity_equals_scipy_and_leaves_its_input_alone(
    metric: str, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = (scale * (np.random.default_rng(1).normal(size=(2, 300, 40)) + 3)).astype(np.float32)
    before, whole = layers.copy(), METRICS[metric](layers)
    for x, found in zip(layers.astype(float), whole, strict=True):
        expected = METRICS[metric].own - pdist(x, metric)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(layers, before)
    monkeypatch.setattr(measuring, "BLOCK", 8 * 40 * 7)  # seven vectors at a time
    np.testing.assert_array_equal(METRICS[metric](layers), whole)


def test_a_geometry_of_vectors_that_hardly_differ_is_still_right() -> None:
    """A trained layer can all but ignore the word: cosines of 0.9999998 to 1, which float32 could not tell apart."""
    exact = 1.6 * np.random.default_rng(0).normal(size=160) + 3e-4 * vectors(1, 34, 160)
    x = exact.astype(np.float32)
    exact = exact / np.linalg.norm(exact, axis=1, keepdims=True)
    distance = pdist(exact.astype(np.longdouble), "sqeuclidean") / 2  # 1 - cosine, without the cancellation
    assert distance.max() < 1e-6
    assert np.corrcoef(cosine(x), -distance)[0, 1] > 0.99999
    assert abs(float(pearson(cosine(x), -distance)) - 1) < 1e-5


def test_a_vector_that_is_constant_or_every_words_own_mean_is_an_error() -> None:
    """Rounding leaves 7e-17 of what should be 0: a direction made of it would be noise."""
    constant = np.array([[0.1, 0.1, 0.1], [1, 2, 4]])
    same = np.tile(np.random.default_rng(0).normal(size=7).astype(np.float32), (34, 1))
    for refused in (
        lambda: cosine(np.array([[1.0, 2.0], [0.0, 0.0]])),
        lambda: correlation(constant),
        lambda: Similar(2, "correlation", "none").many([constant[None]]),
        lambda: Similar(34, "cosine", "center")(same),
        lambda: Similar(34, "cosine", "zscore")(same),
    ):
        with pytest.raises(FloatingPointError, match="a vector is zero"):
            refused()


# Transforms


@given(seeds)
def test_centring_and_standardising_by_hand(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, reference = rng.normal(3, 2, size=(2, 5, 4)), rng.normal(2, 5, size=(2, 9, 4))
    assert none(x, reference) is x
    for layer, unit in np.ndindex(2, 4):
        values = reference[layer, :, unit]
        shifted = x[layer, :, unit] - values.mean()
        np.testing.assert_allclose(center(x, reference)[layer, :, unit], shifted, atol=1e-12)
        np.testing.assert_allclose(zscore(x, reference)[layer, :, unit], shifted / values.std(ddof=1), atol=1e-9)


def test_a_unit_that_does_not_vary_has_no_z_score() -> None:
    x = vectors(0, 6, 3)
    x[:, 1] = np.float32(0.1)
    found = zscore(x, x)
    assert (found[:, 1] == 0).all()
    np.testing.assert_allclose(found[:, [0, 2]].std(axis=0, ddof=1), 1)


# Comparison


@given(seeds)
def test_correlations_equal_numpy_and_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, 4, 20))
    np.testing.assert_allclose(pearson(x, y), [np.corrcoef(a, b)[0, 1] for a, b in zip(x, y, strict=True)], atol=1e-12)
    x, y = rng.integers(0, 9, size=(2, 3, 40))  # ties
    expected = [stats.spearmanr(a, b).statistic for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(spearman(x, y), expected, atol=1e-12)


def hsic_unbiased(k: np.ndarray, m: np.ndarray) -> float:
    """The unbiased estimate of HSIC of Song et al. (2012), by its published formula."""
    k, m, n = k - np.diag(np.diag(k)), m - np.diag(np.diag(m)), len(k)
    one = np.ones(n)
    middle = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
    return (np.trace(k @ m) + middle - 2 / (n - 2) * (one @ k @ m @ one)) / (n * (n - 3))


def test_debiased_cka_is_the_published_formula() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 15, 6))
    y = x @ rng.normal(size=(6, 9)) + rng.normal(size=(3, 15, 9))
    k, m = x @ x.swapaxes(1, 2), y @ y.swapaxes(1, 2)
    for found, a, b in zip(cka_debiased(condense(k), condense(m)), k, m, strict=True):
        expected = hsic_unbiased(a, b) / np.sqrt(hsic_unbiased(a, a) * hsic_unbiased(b, b))
        assert found == pytest.approx(expected, abs=1e-12)
    with pytest.raises(FloatingPointError, match="undefined"):  # of three words
        cka_debiased(np.array([0.1, 0.5, 0.3]), np.array([0.2, 0.1, 0.7]))


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


def test_units_of_three_widths_are_paired_with_none_and_heads_shared_out_evenly() -> None:
    """Latent attention has keys of another size than queries; MiMo has grouped heads of two sizes."""
    units = {name: vectors(width, 5, width) for name, width in {"q": 48, "k": 24, "v": 16}.items()}
    assert pairwise({name: x.reshape(1, -1) for name, x in head_by_head(units, 4, 2).items()}) == {}
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


# Effect sizes


@given(seeds, st.booleans())
def test_effect_sizes_are_pingouins_and_the_posts(seed: int, ties: bool) -> None:
    rng, within = np.random.default_rng(seed), within_category(list("aaabbcc"))
    similarity = rng.integers(0, 5, size=(2, 21)) + 0.0 if ties else rng.normal(size=(2, 21))
    d, language = cohens_d(similarity, within), common_language(similarity, within)
    for place, values in enumerate(similarity):
        inside, outside = values[within], values[~within]
        assert d[place] == pytest.approx(pingouin.compute_effsize(inside, outside, eftype="cohen"), abs=1e-12)
        assert language[place] == pytest.approx(pingouin.compute_effsize(inside, outside, eftype="CLES"), abs=1e-12)
        more = sum(float(w > a) + 0.5 * float(w == a) for w in inside for a in outside)
        assert language[place] == pytest.approx(more / (len(inside) * len(outside)), abs=1e-12)
    table = separability({"q": similarity[0]}, within)
    assert table["q"] == pytest.approx(d[0], abs=1e-12)
    assert table["q_within_mean"] == pytest.approx(similarity[0, within].mean())
    assert table["q_across_sd"] == pytest.approx(similarity[0, ~within].std(ddof=1))
