"""Permutation tests: plain loops, the level they keep, and where parametric tests do not.

RSA_FULL=1 repeats the simulations at ten times their size (half a minute in all).
"""

import os

import numpy as np
import oracle
import pytest
from scipy import stats
from scipy.spatial.distance import squareform

from stages.geometry.names import PAIRS
from stages.geometry.pairs import condense, within_category
from stages.statistics.permutation import draw_orders, permute_labels, permute_words

SIZE = 10 if os.environ.get("RSA_FULL") else 1
CATEGORIES = list("aaaaabbbbcccccc")


def unrelated(seed: int, layers: int, words: int) -> dict[str, np.ndarray]:
    """Similarities of which part belongs to words: two pairs that share a word resemble each other."""
    rng, found = np.random.default_rng(seed), {}
    for name in "qkv":
        effect, noise = rng.normal(size=(layers, words)), rng.normal(size=(layers, words * (words - 1) // 2))
        found[name] = condense(effect[:, :, None] + effect[:, None, :]) + noise
    return found


@pytest.mark.parametrize("limits", [{}, {"CHUNK": 400, "BLOCK": 2000}], ids=["at once", "uneven blocks"])
@pytest.mark.parametrize("crossed", [False, True])
def test_p_values_count_the_permutations_that_reach_the_score(crossed: bool, limits: dict, monkeypatch) -> None:
    """Both tests, by plain loops over all orders of one side and of the other."""
    for name, limit in limits.items():
        monkeypatch.setattr(f"stages.statistics.permutation.{name}", limit)
    layers, words = 3, len(CATEGORIES)
    similarity, orders = unrelated(1, layers, words), draw_orders(words, 60, np.random.default_rng(5), crossed)
    cells = [(first, second) for first in orders[0] for second in orders[1]]
    assert len(cells) == (63 if crossed else 61)  # seven orders by nine
    rsa, d = np.empty((2, len(cells), layers, 3))
    for cell, (first, second) in enumerate(cells):
        within = within_category([CATEGORIES[place] for place in second])
        for layer in range(layers):
            firsts, seconds = (
                {name: condense(squareform(s[layer])[np.ix_(order, order)]) for name, s in similarity.items()}
                for order in (first, second)
            )
            rsa[cell, layer] = [np.corrcoef(firsts[a], seconds[b])[0, 1] for a, b in PAIRS]
            d[cell, layer] = [oracle.cohens_d(values, within) for values in firsts.values()]
    tests = (permute_words(similarity, orders), rsa), (permute_labels(similarity, CATEGORIES, orders), d)
    for tested, expected in tests:
        for place, cell in enumerate(tested.values()):
            value = expected[0, :, place]
            np.testing.assert_array_equal(cell["p"], np.mean(expected[:, :, place] >= value - 1e-12, axis=0))
            largest = expected.max(axis=(1, 2))
            np.testing.assert_array_equal(cell["p_familywise"], [np.mean(largest >= v - 1e-12) for v in value])


def test_a_grid_is_of_as_many_permutations_uniform_and_any_two_of_them_independent() -> None:
    for crossed in (False, True):
        rows, columns = draw_orders(6, 50, np.random.default_rng(3), crossed)
        assert len(rows) * len(columns) >= 51
        np.testing.assert_array_equal([rows[0], columns[0]], [np.arange(6)] * 2)
    cells = []
    for seed in range(600):
        rows, columns = draw_orders(4, 8, np.random.default_rng(seed), crossed=True)
        cells.append([column[np.argsort(row)] for row in rows for column in columns][1:])
    cells = np.array(cells)  # (600, 8 permutations, 4)
    codes = np.unique(cells.reshape(-1, 4), axis=0, return_inverse=True)[1].reshape(600, 8)
    for cell in range(8):
        assert stats.chisquare(np.bincount(codes[:, cell], minlength=24)).pvalue > 1e-4
        for other in range(cell):
            joint = np.histogram2d(codes[:, cell] // 4, codes[:, other] // 4, bins=6)[0]
            assert stats.chisquare(joint.ravel()).pvalue > 1e-4


def test_a_grid_counts_as_sharply_as_permutations_drawn_one_by_one() -> None:
    """Over seeds, the variance of p is that of as many independent permutations: p (1 - p) / P."""
    similarity = unrelated(7, 1, 12)
    similarity["k"] += 0.1 * similarity["q"]
    orders = (draw_orders(12, 399, np.random.default_rng(seed), True) for seed in range(300 * SIZE))
    p = np.array([permute_words(similarity, some)["rsa", "qk"]["p"][0] for some in orders])
    assert 0.05 < p.mean() < 0.6
    ratio = p.var(ddof=1) / (p.mean() * (1 - p.mean()) / 399)
    assert stats.chi2.ppf(0.001, len(p)) < ratio * len(p) < stats.chi2.ppf(0.999, len(p))


@pytest.mark.parametrize("spread", [1, 0.02, 0.002])
def test_relabellings_that_change_nothing_count_as_ties_however_large_d_is(spread: float) -> None:
    """Crossed, both sides are reordered, and sums of the same pairs differ by rounding, which d magnifies."""
    categories = list("aaaabbbb")
    noise = np.random.default_rng(0).normal(size=(1, 28))
    similarity = {"q": within_category(categories) + spread * noise}
    tested = permute_labels(similarity, categories, draw_orders(8, 1999, np.random.default_rng(1), True))
    automorphisms = 2 * 24 * 24 / 40320  # orders within each category, and their exchange
    assert tested["d", "q"]["p"][0] == tested["d", "q"]["p_familywise"][0] == pytest.approx(automorphisms, abs=0.01)


@pytest.mark.parametrize("crossed", [False, True])
def test_word_permutation_keeps_its_level_where_the_parametric_test_does_not(crossed: bool) -> None:
    sets = 400 * SIZE
    similarity = unrelated(3, sets, 34)
    orders = draw_orders(34, 999, np.random.default_rng(0), crossed)
    p = permute_words(similarity, orders)["rsa", "qk"]["p"]
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert abs(np.mean(p <= 0.05) - 0.05) < 3 * np.sqrt(0.05 * 0.95 / sets)
    pairs = zip(similarity["q"], similarity["k"], strict=True)
    parametric = np.array([stats.pearsonr(a, b, alternative="greater").pvalue for a, b in pairs])
    assert np.mean(parametric <= 0.05) > 0.2


def test_label_permutation_keeps_its_level_where_the_t_test_does_not() -> None:
    sets = 400 * SIZE
    similarity = {"q": unrelated(4, sets, 16)["q"]}
    categories = list("aaaaaaaaaabbbccc")  # of unequal size: pairs within are mostly those of ten words
    p = permute_labels(similarity, categories, draw_orders(16, 999, np.random.default_rng(0), False))["d", "q"]["p"]
    assert stats.kstest(p, "uniform").pvalue > 0.01
    within = within_category(categories)
    t_test = [stats.ttest_ind(s[within], s[~within], alternative="greater").pvalue for s in similarity["q"]]
    assert np.mean(np.array(t_test) <= 0.05) > 0.12


def test_familywise_p_errs_once_in_twenty_families() -> None:
    families = 300 * SIZE
    smallest, smallest_alone = [], []
    for family in range(families):
        # Of a small grid, in half of them: the level holds cell by cell.
        orders = draw_orders(9, 199, np.random.default_rng([family, 1]), family % 2 == 1)
        tested = permute_words(unrelated(family, 4, 9), orders)
        smallest.append(min(cell["p_familywise"].min() for cell in tested.values()))
        smallest_alone.append(min(cell["p"].min() for cell in tested.values()))
    assert abs(np.mean(np.array(smallest) <= 0.05) - 0.05) < 3 * np.sqrt(0.05 * 0.95 / families)
    assert np.mean(np.array(smallest_alone) <= 0.05) > 0.2
