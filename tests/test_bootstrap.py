"""The bootstrap of words: plain loops, coverage, and intervals that miss because they take pairs for independent.

RSA_FULL=1 repeats the simulation at ten times its size (half a minute in all).
"""

import os

import numpy as np
import pingouin
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.geometry.comparison import pairwise
from stages.geometry.effects import cohens_d
from stages.geometry.moments import Moments
from stages.geometry.pairs import within_category
from stages.geometry.similarity import cosine
from stages.statistics.bootstrap import bootstrap, resample_words, rsa_and_separability
from stages.statistics.partial import against_input
from stages.statistics.seeds import STREAMS, stream

SIZE = 10 if os.environ.get("RSA_FULL") else 1
CATEGORIES = list("aaaabbbbbcc")


def similarities(seed: int, layers: int = 2, words: int = len(CATEGORIES)) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(layers, words, 6)) + 1
    return {"x": cosine(x), **{name: cosine(x @ rng.normal(size=(6, 4))) for name in "qkv"}}


def repeated(similarity: np.ndarray, counts: np.ndarray, categories: list[str]) -> dict[str, list[float]]:
    """List the similarity of every pair of drawn words of different kind, copies repeated, by plain loops."""
    drawn = [word for word, count in enumerate(counts) for _ in range(count)]
    values = {"within": [], "across": []}
    index = {pair: p for p, pair in enumerate(zip(*np.triu_indices(len(counts), 1), strict=True))}
    for first in range(len(drawn)):
        for second in range(first + 1, len(drawn)):
            i, j = drawn[first], drawn[second]
            if i != j:
                values["within" if categories[i] == categories[j] else "across"].append(similarity[index[i, j]])
    return values


def residuals(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    design = np.stack([np.ones_like(x), x], axis=1)
    return y - design @ np.linalg.lstsq(design, y, rcond=None)[0]


def both(every: Moments, within: Moments) -> dict:
    return rsa_and_separability(every, within) | against_input(every, within)


def test_one_resample_equals_plain_loops_over_copies() -> None:
    similarity = similarities(0)
    counts, _ = resample_words(CATEGORIES, 1, np.random.default_rng(3))
    assert counts.max() > 1
    # One resample: both ends of its interval are its own statistic.
    found = bootstrap(similarity, CATEGORIES, counts, 0.05, both)
    for layer in range(2):
        lists = {name: repeated(values[layer], counts[0], CATEGORIES) for name, values in similarity.items()}
        every = {name: np.array(kinds["within"] + kinds["across"]) for name, kinds in lists.items()}
        for a, b in ("qk", "qv", "kv"):
            r = {kind: np.corrcoef(lists[a][kind], lists[b][kind])[0, 1] for kind in ("within", "across")}
            expected = {
                "rsa": np.corrcoef(every[a], every[b])[0, 1],
                "rsa_within": r["within"],
                "rsa_across": r["across"],
                "rsa_gap": r["within"] - r["across"],
                "partial_rsa": np.corrcoef(residuals(every[a], every["x"]), residuals(every[b], every["x"]))[0, 1],
            }
            for measure, value in expected.items():
                cell = found[measure, a + b]
                assert cell["low"][layer] == pytest.approx(value, abs=1e-10), measure
                assert cell["low"][layer] == cell["high"][layer]
        for name in "qkvx":
            inside, outside = lists[name]["within"], lists[name]["across"]
            d = pingouin.compute_effsize(inside, outside, paired=False, eftype="cohen")
            measure = "d_of_input" if name == "x" else "d"
            assert found[measure, name]["low"][layer] == pytest.approx(d, abs=1e-10)
        for name in "qkv":
            r = np.corrcoef(every[name], every["x"])[0, 1]
            assert found["rsa_to_input", name]["low"][layer] == pytest.approx(r, abs=1e-10)
            for kind in ("within", "across"):
                sd = np.std(lists[name][kind], ddof=1)
                assert found[f"sd_{kind}", name]["low"][layer] == pytest.approx(sd, abs=1e-10)


def test_values_are_those_of_the_words_as_they_are() -> None:
    similarity = similarities(1)
    within = within_category(CATEGORIES)
    counts, _ = resample_words(CATEGORIES, 50, np.random.default_rng(0))
    found = bootstrap(similarity, CATEGORIES, counts, 0.05)
    for kind, pairs in {"": slice(None), "_within": within, "_across": ~within}.items():
        expected = pairwise({name: values[:, pairs] for name, values in similarity.items()})
        for pair, r in expected.items():
            np.testing.assert_allclose(found[f"rsa{kind}", pair]["value"], r, atol=1e-12)
    for name in "qkv":
        np.testing.assert_allclose(found["d", name]["value"], cohens_d(similarity[name], within), atol=1e-12)


def test_intervals_are_percentiles_of_the_resamples() -> None:
    similarity = similarities(2)
    counts, _ = resample_words(CATEGORIES, 200, np.random.default_rng(0))
    each = [bootstrap(similarity, CATEGORIES, counts[i : i + 1], 0.1)["rsa", "qv"]["low"] for i in range(200)]
    cell = bootstrap(similarity, CATEGORIES, counts, 0.1)["rsa", "qv"]
    np.testing.assert_allclose(cell["low"], np.quantile(each, 0.05, axis=0), atol=1e-12)
    np.testing.assert_allclose(cell["high"], np.quantile(each, 0.95, axis=0), atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-3, 3), st.floats(0.1, 1000))
def test_a_shift_and_a_scale_of_similarities_change_no_correlation(seed: int, shift: float, scale: float) -> None:
    similarity = similarities(seed % 100)
    counts, _ = resample_words(CATEGORIES, 20, np.random.default_rng(seed))
    moved = {name: scale * (values + shift) for name, values in similarity.items()}
    before, after = (bootstrap(s, CATEGORIES, counts, 0.05)["rsa_gap", "qk"] for s in (similarity, moved))
    np.testing.assert_allclose(after["low"], before["low"], atol=1e-8)


@given(st.integers(0, 2**32 - 1))
def test_every_category_keeps_its_size(seed: int) -> None:
    counts, _ = resample_words(CATEGORIES, 30, np.random.default_rng(seed))
    assert (counts[:, :4].sum(axis=1) == 4).all()
    assert (counts[:, 4:9].sum(axis=1) == 5).all()
    assert (counts[:, 9:].sum(axis=1) == 2).all()


def test_words_are_drawn_alike_often() -> None:
    counts, redrawn = resample_words(["a"] * 12 + ["b"] * 10, 20_000, np.random.default_rng(0))
    assert redrawn == 0
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.03)
    np.testing.assert_allclose(counts.var(axis=0), [11 / 12] * 12 + [9 / 10] * 10, atol=0.05)


def test_resamples_without_three_pairs_of_a_kind_are_drawn_again() -> None:
    """Three categories of two words: a resample needs both words of each, one draw in eight has them."""
    counts, redrawn = resample_words(list("aabbcc"), 4000, np.random.default_rng(0))
    assert (counts == 1).all()
    assert redrawn / (redrawn + 4000) == pytest.approx(7 / 8, abs=0.01)
    with pytest.raises(ValueError, match="fewer than three"):
        resample_words(list("aabb"), 1, np.random.default_rng(0))


def test_memory_limits_change_nothing() -> None:
    similarity = similarities(3, layers=5)
    counts, _ = resample_words(CATEGORIES, 40, np.random.default_rng(0))
    free, tight = (
        bootstrap(similarity, CATEGORIES, counts, 0.05, **limits) for limits in ({}, {"chunk": 1, "block": 1})
    )
    for names, cell in free.items():
        for column, values in cell.items():
            np.testing.assert_allclose(tight[names][column], values, atol=1e-12)


def test_a_matrix_that_does_not_vary_is_an_error_that_names_it() -> None:
    similarity = similarities(4)
    similarity["k"] = similarity["k"].copy()
    similarity["k"][1] = 0.25
    counts, _ = resample_words(CATEGORIES, 3, np.random.default_rng(0))
    with pytest.raises(FloatingPointError, match=r"similarities of K do not vary"):
        bootstrap(similarity, CATEGORIES, counts, 0.05)


def test_intervals_cover_the_truth_where_fisher_z_does_not() -> None:
    """Words drawn at random from three categories; the truth is the same statistic of very many words."""
    sets, sizes = 300 * SIZE, (10, 13, 11)
    rng = np.random.default_rng(0)
    means, maps = rng.normal(size=(3, 12)), {name: rng.normal(size=(12, 20)) for name in "qkv"}

    def draw(layers: int, factor: int) -> tuple[dict[str, np.ndarray], list[str]]:
        categories = [name for name, size in zip("abc", sizes, strict=True) for _ in range(size * factor)]
        centres = np.repeat(means, [size * factor for size in sizes], axis=0)
        latent = 0.7 * centres + rng.normal(size=(layers, len(categories), 12))
        noise = {name: rng.normal(size=(layers, len(categories), 20)) for name in "qkv"}
        return {name: cosine(latent @ maps[name] + 2 * noise[name]) for name in "qkv"}, categories

    population, categories = draw(1, 60)
    within = within_category(categories)
    truth = pairwise(population)
    true_d = {name: cohens_d(values, within) for name, values in population.items()}
    sample, categories = draw(sets, 1)
    counts, _ = resample_words(categories, 1000, rng)
    found = bootstrap(sample, categories, counts, 0.05)

    def coverage(low: np.ndarray, high: np.ndarray, value: np.ndarray) -> float:
        return float(np.mean((low <= value) & (value <= high)))

    for pair in ("qk", "qv", "kv"):
        cell = found["rsa", pair]
        assert 0.90 <= coverage(cell["low"], cell["high"], truth[pair][0]) <= 0.985
        z, half = np.arctanh(cell["value"]), 1.96 / np.sqrt(561 - 3)
        assert coverage(np.tanh(z - half), np.tanh(z + half), truth[pair][0]) < 0.8
    for name in "qkv":
        cell = found["d", name]
        assert 0.90 <= coverage(cell["low"], cell["high"], true_d[name][0]) <= 0.985


def test_streams_are_the_same_every_time_and_unlike_each_other() -> None:
    drawn = {name: stream(7, name).random(4) for name in STREAMS}
    for name, numbers in drawn.items():
        np.testing.assert_array_equal(stream(7, name).random(4), numbers)
        assert (stream(8, name).random(4) != numbers).all()
    assert len({tuple(numbers) for numbers in drawn.values()}) == len(STREAMS)
    with pytest.raises(KeyError):
        stream(7, "dice")
