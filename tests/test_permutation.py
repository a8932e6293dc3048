"""Permutation tests: plain loops, the level they keep, and where parametric tests do not.

RSA_FULL=1 repeats the simulations at ten times their size (half a minute in all).
"""

import os

import numpy as np
import pingouin
import pytest
from scipy import stats
from scipy.spatial.distance import squareform

from stages.geometry.pairs import condense, within_category
from stages.statistics.permutation import permute_labels, permute_words, permuted_d, permuted_rsa

SIZE = 10 if os.environ.get("RSA_FULL") else 1
CATEGORIES = list("aaaaabbbbcccccc")


def word_effects(rng: np.random.Generator, layers: int, words: int) -> np.ndarray:
    """Similarities of which part belongs to words: two pairs that share a word resemble each other."""
    effect = rng.normal(size=(layers, words))
    noise = rng.normal(size=(layers, words * (words - 1) // 2))
    return condense(effect[:, :, None] + effect[:, None, :]) + noise


def unrelated(seed: int, layers: int, words: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: word_effects(rng, layers, words) for name in "qkv"}


def test_permuted_rsa_equals_a_plain_loop() -> None:
    similarity = unrelated(0, 2, 9)
    orders = np.stack([np.random.default_rng(seed).permutation(9) for seed in range(5)])
    found = np.concatenate(list(permuted_rsa(similarity, orders, chunk=1000)))
    assert found.shape == (5, 2, 3)
    for p, order in enumerate(orders):
        for layer in range(2):
            for test, (first, second) in enumerate(("qk", "qv", "kv")):
                a, b = squareform(similarity[first][layer]), squareform(similarity[second][layer])
                x, y = [], []
                for i in range(9):
                    for j in range(i + 1, 9):
                        x.append(a[i, j])
                        y.append(b[order[i], order[j]])
                assert found[p, layer, test] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-10)


def test_permuted_d_equals_pingouins_after_relabelling() -> None:
    similarity = unrelated(0, 2, len(CATEGORIES))
    orders = np.stack([np.random.default_rng(seed).permutation(len(CATEGORIES)) for seed in range(5)])
    found = np.concatenate(list(permuted_d(similarity, CATEGORIES, orders, chunk=1000)))
    for p, order in enumerate(orders):
        within = within_category([CATEGORIES[i] for i in order])
        for layer in range(2):
            for matrix, name in enumerate("qkv"):
                values = similarity[name][layer]
                expected = pingouin.compute_effsize(values[within], values[~within], eftype="cohen")
                assert found[p, layer, matrix] == pytest.approx(expected, abs=1e-10)


def test_p_values_count_the_permutations_that_reach_the_score() -> None:
    similarity = unrelated(1, 4, 7)
    tested = permute_words(similarity, 60, np.random.default_rng(5), chunk=3000, block=2000)
    orders = np.random.default_rng(5).permuted(np.tile(np.arange(7, dtype=np.int32), (60, 1)), axis=1)
    permuted = np.concatenate(list(permuted_rsa(similarity, orders)))
    for test, (a, b) in enumerate(("qk", "qv", "kv")):
        for layer in range(4):
            r = np.corrcoef(similarity[a][layer], similarity[b][layer])[0, 1]
            cell = tested["rsa", a + b]
            assert cell["value"][layer] == pytest.approx(r, abs=1e-12)
            assert cell["p"][layer] == (1 + sum(permuted[:, layer, test] >= r)) / 61
            assert cell["p_familywise"][layer] == (1 + sum(permuted.max(axis=(1, 2)) >= r)) / 61


def test_permutations_that_change_nothing_count_as_ties() -> None:
    """Similarities that tell three categories of two words apart and nothing else: many orders leave them alone."""
    model = within_category(list("aabbcc")).astype(float)[None]
    tested = permute_words({"q": model, "k": model, "v": model}, 999, np.random.default_rng(0))
    automorphisms = 2**3 * 6 / 720  # swaps within each category, and orders of the categories
    assert tested["rsa", "qk"]["value"][0] == pytest.approx(1)
    assert tested["rsa", "qk"]["p"][0] == pytest.approx(automorphisms, abs=0.03)
    assert tested["rsa", "qk"]["p"][0] > 0.03


@pytest.mark.parametrize("test", ["words", "labels"])
def test_memory_limits_change_nothing_and_seeds_do(test: str) -> None:
    similarity = unrelated(2, 5, len(CATEGORIES))

    def run(seed: int, **limits: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        if test == "words":
            found = permute_words(similarity, 200, rng, **limits)
        else:
            found = permute_labels(similarity, CATEGORIES, 200, rng, **limits)
        return np.array([[cell["p"], cell["p_familywise"]] for cell in found.values()])

    np.testing.assert_array_equal(run(0), run(0, chunk=1, block=1))
    assert (run(0) != run(1)).any()


def test_word_permutation_keeps_its_level_where_the_parametric_test_does_not() -> None:
    sets = 400 * SIZE
    similarity = unrelated(3, sets, 34)
    p = permute_words(similarity, 999, np.random.default_rng(0))["rsa", "qk"]["p"]
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert abs(np.mean(p <= 0.05) - 0.05) < 3 * np.sqrt(0.05 * 0.95 / sets)
    pairs = zip(similarity["q"], similarity["k"], strict=True)
    parametric = np.array([stats.pearsonr(a, b, alternative="greater").pvalue for a, b in pairs])
    assert np.mean(parametric <= 0.05) > 0.2


def test_label_permutation_keeps_its_level_where_the_t_test_does_not() -> None:
    sets = 400 * SIZE
    similarity = {"q": unrelated(4, sets, 16)["q"]}
    categories = list("aaaaaaaaaabbbccc")  # of unequal size: pairs within are mostly those of ten words
    p = permute_labels(similarity, categories, 999, np.random.default_rng(0))["d", "q"]["p"]
    assert stats.kstest(p, "uniform").pvalue > 0.01
    within = within_category(categories)
    t_test = [stats.ttest_ind(s[within], s[~within], alternative="greater").pvalue for s in similarity["q"]]
    assert np.mean(np.array(t_test) <= 0.05) > 0.12


def test_familywise_p_errs_once_in_twenty_families() -> None:
    families = 300 * SIZE
    smallest, smallest_alone = [], []
    for family in range(families):
        tested = permute_words(unrelated(family, 4, 9), 199, np.random.default_rng([family, 1]))
        smallest.append(min(cell["p_familywise"].min() for cell in tested.values()))
        smallest_alone.append(min(cell["p"].min() for cell in tested.values()))
    assert abs(np.mean(np.array(smallest) <= 0.05) - 0.05) < 3 * np.sqrt(0.05 * 0.95 / families)
    assert np.mean(np.array(smallest_alone) <= 0.05) > 0.2


def test_shared_structure_is_found() -> None:
    rng = np.random.default_rng(0)
    shared = word_effects(rng, 3, 15)
    similarity = {name: shared + 0.5 * word_effects(rng, 3, 15) for name in "qkv"}
    for cell in permute_words(similarity, 999, rng).values():
        np.testing.assert_allclose(cell["p"], 0.001, atol=1e-12)
    separated = {name: values + 4 * within_category(CATEGORIES) for name, values in similarity.items()}
    for cell in permute_labels(separated, CATEGORIES, 999, rng).values():
        np.testing.assert_allclose(cell["p_familywise"], 0.001, atol=1e-12)


def test_constant_similarities_are_an_error() -> None:
    similarity = unrelated(0, 2, 9)
    similarity["v"][1] = 0.5
    with pytest.raises(FloatingPointError, match="constant"):
        permute_words(similarity, 9, np.random.default_rng(0))
    with pytest.raises(FloatingPointError, match="neither kind of pair varies"):
        permute_labels({"q": within_category(CATEGORIES)[None]}, CATEGORIES, 9, np.random.default_rng(0))
