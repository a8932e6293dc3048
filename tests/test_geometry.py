"""The geometry: published definitions, independent implementations, and what must not change the numbers."""

import numpy as np
import pingouin
import pytest
from scipy.spatial import distance

from stages.geometry import similarity as measuring
from stages.geometry.comparison import COMPARISONS, fisher_z, head_by_head, pairwise, same_rows
from stages.geometry.effects import common_language
from stages.geometry.pairs import condense, within_category
from stages.geometry.similarity import METRICS, Similar, correlation, cosine
from stages.geometry.transforms import zscore

cka_debiased = COMPARISONS["cka_debiased"].score


def vectors(seed: int, words: int = 9, units: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(words, units))


# Similarity


@pytest.mark.parametrize("metric", [name for name in METRICS if hasattr(distance, name)])
@pytest.mark.parametrize("scale", [1e-3, 1, 1e4])
def test_similarity_equals_scipy_and_leaves_its_input_alone(
    metric: str, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = (scale * (np.random.default_rng(1).normal(size=(2, 300, 40)) + 3)).astype(np.float32)
    before, whole = layers.copy(), METRICS[metric](layers)
    for x, found in zip(layers.astype(float), whole, strict=True):
        expected = METRICS[metric].own - distance.pdist(x, metric)
        # Of a trained layer that all but ignores the word cosines differ in the seventh decimal only.
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(layers, before)
    monkeypatch.setattr(measuring, "BLOCK", 8 * 40 * 7)  # seven vectors at a time
    np.testing.assert_array_equal(METRICS[metric](layers), whole)


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


def test_a_unit_that_does_not_vary_has_no_z_score() -> None:
    x = vectors(0, 6, 3)
    x[:, 1] = np.float32(0.1)
    found = zscore(x, x)
    assert (found[:, 1] == 0).all()
    np.testing.assert_allclose(found[:, [0, 2]].std(axis=0, ddof=1), 1)


# Comparison


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


def test_heads_of_v_of_twice_the_size_cannot_be_paired_though_together_they_are_as_many_units_as_qs() -> None:
    found = head_by_head({"q": vectors(0, 5, 18), "k": vectors(1, 5, 9), "v": vectors(2, 5, 18)}, heads=6, kv_heads=3)
    assert list(pairwise({name: x.reshape(1, -1) for name, x in found.items()})) == ["qk"]


def test_query_heads_that_cannot_be_shared_out_are_an_error() -> None:
    with pytest.raises(ValueError, match="4 query heads cannot share 3 key and value heads evenly"):
        head_by_head({"q": np.zeros(8), "k": np.zeros(6), "v": np.zeros(6)}, 4, 3)


def test_fisher_z_is_finite_at_one() -> None:
    assert 18 < fisher_z(np.array(1.0)) < 19
    assert fisher_z(np.array(-1.0)) == -fisher_z(np.array(1.0))


def test_rows_are_the_same_up_to_rounding() -> None:
    x = vectors(0)
    assert same_rows(x[0] + 1e-7 * x)
    assert not same_rows(x)


@pytest.mark.parametrize("values", [5, 10**6])
def test_the_common_language_effect_size_is_pingouins(values: int) -> None:
    """With ties, which share their mean rank, and without."""
    similarity, within = np.random.default_rng(0).integers(0, values, size=(2, 21)), within_category(list("aaabbcc"))
    expected = [pingouin.compute_effsize(row[within], row[~within], eftype="CLES") for row in similarity]
    assert common_language(similarity, within) == pytest.approx(expected)
