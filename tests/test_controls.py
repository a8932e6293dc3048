"""The controls: exact laws against brute force, textbook formulas, and data whose answer is known.

RSA_FULL=1 repeats the simulations at ten times their size (half a minute in all).
"""

import os

import numpy as np
import pingouin
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import squareform

from stages.geometry.comparison import COMPARISONS, pearson
from stages.geometry.effects import cohens_d, common_language
from stages.geometry.pairs import condense, within_category
from stages.geometry.similarity import cosine
from stages.geometry.transforms import TRANSFORMS, center, none, zscore
from stages.pipeline.schema import Rsa, Similarity
from stages.statistics.partial import partial_correlation
from stages.statistics.projections import factor, project

spearman, cka_debiased = COMPARISONS["spearman"].score, COMPARISONS["cka_debiased"].score
SIZE = 10 if os.environ.get("RSA_FULL") else 1
seeds = st.integers(0, 2**32 - 1)


# Effect sizes


@given(seeds, st.booleans())
def test_common_language_effect_size_counts_pairs_of_pairs(seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    similarity = rng.integers(0, 5, size=21) if ties else rng.normal(size=21)
    within = within_category(list("aaabbcc"))
    inside, outside = similarity[within], similarity[~within]
    more = sum(float(w > a) + 0.5 * float(w == a) for w in inside for a in outside)
    assert common_language(similarity, within) == pytest.approx(more / (len(inside) * len(outside)), abs=1e-12)
    assert common_language(similarity, within) == pytest.approx(
        pingouin.compute_effsize(inside, outside, eftype="CLES"), abs=1e-12
    )


def test_cohens_d_of_many_rows_is_pingouins() -> None:
    similarity = np.random.default_rng(0).normal(size=(2, 3, 21))
    within = within_category(list("aaabbcc"))
    found = cohens_d(similarity, within)
    for place in np.ndindex(2, 3):
        values = similarity[place]
        expected = pingouin.compute_effsize(values[within], values[~within], eftype="cohen")
        assert found[place] == pytest.approx(expected, abs=1e-12)
    with pytest.raises(FloatingPointError, match="do not vary"):
        cohens_d(within.astype(float), within)


# Comparisons


CHANGES = {
    "word order": lambda a, b, rng: reordered(a, b, rng.permutation(12)),
    "shift": lambda a, b, rng: (a + 3, b - 1),
    "positive scale": lambda a, b, rng: (2 * a, 0.1 * b),
    "increasing function": lambda a, b, rng: (np.exp(3 * a), b**3),
    "word effects": lambda a, b, rng: (a + word_sums(rng), b + word_sums(rng)),
}


def reordered(a: np.ndarray, b: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return tuple(condense(squareform(values)[np.ix_(order, order)]) for values in (a, b))


def word_sums(rng: np.random.Generator) -> np.ndarray:
    effect = rng.normal(size=12)
    return condense(effect[:, None] + effect[None, :])


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("comparison", COMPARISONS)
def test_comparisons_are_invariant_to_what_they_state_and_to_nothing_else(comparison: str, change: str) -> None:
    stated = COMPARISONS[comparison]
    assert stated.invariant_to <= set(CHANGES)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(12, 8))
        a, b = cosine(x), cosine(x + 0.5 * rng.normal(size=(12, 8)))
        before, after = stated.score(a, b), stated.score(*CHANGES[change](a, b, rng))
        if change in stated.invariant_to:
            assert after == pytest.approx(before, abs=1e-9)
        else:
            assert abs(after - before) > 1e-6


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_comparisons_grow_with_likeness(comparison: str) -> None:
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(30, 20)), rng.normal(size=(30, 20))
    scores = [COMPARISONS[comparison].score(cosine(x), cosine(x + level * noise)) for level in (0, 0.3, 1, 10)]
    assert scores[0] == pytest.approx(1)
    assert np.all(np.diff(scores) < 0)


def test_the_settings_offer_the_registries() -> None:
    assert set(Rsa.model_json_schema()["properties"]["comparison"]["enum"]) == set(COMPARISONS)
    assert set(Similarity.model_json_schema()["properties"]["transform"]["enum"]) == set(TRANSFORMS)


def test_spearman_equals_scipy() -> None:
    a, b = np.random.default_rng(0).integers(0, 9, size=(2, 3, 40))
    expected = [stats.spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(spearman(a, b), expected, atol=1e-12)


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
    found = cka_debiased(condense(k), condense(m))
    for layer in range(3):
        hsic = hsic_unbiased(k[layer], m[layer])
        expected = hsic / np.sqrt(hsic_unbiased(k[layer], k[layer]) * hsic_unbiased(m[layer], m[layer]))
        assert found[layer] == pytest.approx(expected, abs=1e-12)


def test_debiased_cka_of_unrelated_data_is_near_0_where_the_biased_is_near_1() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 50, 34, 1600))
    k, m = x @ x.swapaxes(1, 2), y @ y.swapaxes(1, 2)
    debiased = cka_debiased(condense(k), condense(m))
    assert abs(debiased.mean()) < 0.02
    assert abs(debiased).max() < 0.2
    centre = np.eye(34) - 1 / 34
    kc, mc = centre @ k[0] @ centre, centre @ m[0] @ centre
    assert np.sum(kc * mc) / np.sqrt(np.sum(kc**2) * np.sum(mc**2)) > 0.95
    assert cka_debiased(condense(k[0]), condense(k[0])) == pytest.approx(1)


def test_debiased_cka_of_three_words_is_an_error() -> None:
    with pytest.raises(FloatingPointError, match="undefined"):
        cka_debiased(np.array([0.1, 0.5, 0.3]), np.array([0.2, 0.1, 0.7]))


# Transforms


@given(seeds)
def test_centring_and_standardising_by_hand(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, reference = rng.normal(3, 2, size=(2, 5, 4)), rng.normal(2, 5, size=(2, 9, 4))
    assert none(x, reference) is x
    for layer in range(2):
        for unit in range(4):
            values = reference[layer, :, unit]
            shifted = x[layer, :, unit] - values.mean()
            np.testing.assert_allclose(center(x, reference)[layer, :, unit], shifted, atol=1e-12)
            np.testing.assert_allclose(zscore(x, reference)[layer, :, unit], shifted / values.std(ddof=1), atol=1e-9)


@given(seeds)
def test_what_a_transform_takes_away_does_not_come_through(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, shift, scale = rng.normal(size=(6, 5)), 10 * rng.normal(size=5), rng.uniform(0.1, 10, size=5)
    np.testing.assert_allclose(center(x + shift, x + shift), center(x, x), atol=1e-9)
    np.testing.assert_allclose(zscore(scale * x + shift, scale * x + shift), zscore(x, x), atol=1e-8)
    assert not np.allclose(center(scale * x, scale * x), center(x, x))


@given(seeds, st.integers(3, 20))
def test_centring_on_the_words_themselves_makes_the_mean_dot_product_negative(seed: int, words: int) -> None:
    x = np.random.default_rng(seed).normal(size=(words, 7)) + 5
    y = center(x, x)
    dots = condense(y @ y.T)
    assert dots.mean() == pytest.approx(-np.square(y).sum(axis=1).mean() / (words - 1), abs=1e-9)
    assert cosine(x).mean() > 0


def test_a_unit_that_does_not_vary_has_no_z_score() -> None:
    x = np.random.default_rng(0).normal(size=(6, 3))
    x[:, 1] = np.float32(0.1)
    found = zscore(x, x)
    assert (found[:, 1] == 0).all()
    np.testing.assert_allclose(found[:, [0, 2]].std(axis=0, ddof=1), 1)


# Random projections


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


def test_projected_unit_vectors_that_share_nothing_follow_theory() -> None:
    """x xᵀ = 1: cosines c of independent normal vectors, (c + 1)/2 ~ Beta((m - 1)/2, (m - 1)/2), and no RSA."""
    rng, width = np.random.default_rng(0), 8
    cosines = cosine(project(factor(np.eye(10)), width, 600 * SIZE, rng))
    assert stats.kstest((cosines[:, 7] + 1) / 2, "beta", args=((width - 1) / 2, (width - 1) / 2)).pvalue > 0.01
    assert cosines.var() == pytest.approx(1 / width, rel=0.05)


def test_shared_input_alone_gives_high_rsa() -> None:
    """Wide random projections keep the input's geometry, with nothing learnt."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(34, 100)) + np.repeat(rng.normal(size=(2, 100)), 17, axis=0)

    def rsa(width: int) -> np.ndarray:
        return pearson(*(cosine(project(factor(x), width, 10, rng)) for _ in "qk"))

    assert rsa(1600).mean() > 0.97
    assert rsa(64).mean() < rsa(1600).min()


# Partial RSA


@settings(max_examples=30)
@given(seeds)
def test_partial_correlation_is_that_of_regression_residuals(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=40)
    a, b = x + rng.normal(size=40), 0.5 * x + rng.normal(size=40)
    design = np.stack([np.ones(40), x], axis=1)
    left = [y - design @ np.linalg.lstsq(design, y, rcond=None)[0] for y in (a, b)]
    found = partial_correlation(pearson(a, b), pearson(a, x), pearson(b, x))
    assert found == pytest.approx(np.corrcoef(*left)[0, 1], abs=1e-9)


def test_partial_correlation_with_the_input_itself_is_an_error() -> None:
    with pytest.raises(FloatingPointError, match="undefined"):
        partial_correlation(np.array(0.4), np.array(1.0), np.array(0.4))
