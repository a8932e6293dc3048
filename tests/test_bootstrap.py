"""The bootstrap of words: plain loops, coverage, and intervals that miss because they take pairs for independent.

RSA_FULL=1 repeats the simulation at ten times its size (half a minute in all).
"""

import os
from itertools import combinations, product

import numpy as np
import oracle
import pytest

from stages.geometry.names import MATRICES, MATRIX_DIFFERENCES, PAIR_DIFFERENCES, PAIRS
from stages.geometry.pairs import within_category
from stages.geometry.similarity import cosine
from stages.statistics.bootstrap import against_input, bootstrap, resample_words
from stages.statistics.draws import STREAMS, stream

SIZE = 10 if os.environ.get("RSA_FULL") else 1
CATEGORIES = list("aaaabbbbbcc")


def similarities(seed: int, layers: int = 2) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(layers, len(CATEGORIES), 6)) + 1
    return {"x": cosine(x), **{name: cosine(x @ rng.normal(size=(6, 4))) for name in "qkv"}}


def test_one_resample_equals_plain_loops_over_copies() -> None:
    """Both ends of the interval of a single resample are its own statistic; the value is that of each word once."""
    similarity = similarities(0)
    counts, _ = resample_words(CATEGORIES, 1, np.random.default_rng(3))
    assert counts.max() > 1
    given = similarity, CATEGORIES, counts, 0.05
    found = bootstrap(*given) | bootstrap(*given, against_input)
    columns = {"low": counts[0], "high": counts[0], "value": np.ones_like(counts[0])}
    places = [*combinations(range(len(CATEGORIES)), 2)]
    for layer, (column, drawn) in product(range(2), columns.items()):
        pairs = oracle.pairs_drawn(drawn)
        within = np.array([CATEGORIES[i] == CATEGORIES[j] for i, j in pairs])
        s = {name: values[layer][[*map(places.index, pairs)]] for name, values in similarity.items()}
        expected = oracle.scores(s, within) | {("d_of_input", "x"): oracle.cohens_d(s["x"], within)}
        for kind, some in (("within", within), ("across", ~within)):
            expected |= {(f"rsa_{kind}", a + b): np.corrcoef(s[a][some], s[b][some])[0, 1] for a, b in PAIRS}
        left = {name: s[name] - np.polyval(np.polyfit(s["x"], s[name], 1), s["x"]) for name in MATRICES}
        for a, b in PAIRS:
            expected["rsa_gap", a + b] = expected["rsa_within", a + b] - expected["rsa_across", a + b]
            expected["partial_rsa", a + b] = np.corrcoef(left[a], left[b])[0, 1]
        for measure, differ in ("d", MATRIX_DIFFERENCES), ("rsa", PAIR_DIFFERENCES):
            for a, b in differ:
                expected[f"{measure}_difference", f"{a}-{b}"] = expected[measure, a] - expected[measure, b]
        expected |= {("rsa_to_input", name): np.corrcoef(s[name], s["x"])[0, 1] for name in MATRICES}
        assert {key: cell[column][layer] for key, cell in found.items()} == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("limits", [{}, {"CHUNK": 1, "BLOCK": 1}])
def test_intervals_are_percentiles_of_the_resamples(limits: dict, monkeypatch) -> None:
    similarity = similarities(2, layers=5)
    counts, _ = resample_words(CATEGORIES, 200, np.random.default_rng(0))
    each = [bootstrap(similarity, CATEGORIES, row[None], 0.1)["rsa", "qv"]["low"] for row in counts]
    for name, limit in limits.items():
        monkeypatch.setattr(f"stages.statistics.bootstrap.{name}", limit)
    cell = bootstrap(similarity, CATEGORIES, counts, 0.1)["rsa", "qv"]
    np.testing.assert_allclose(cell["low"], np.quantile(each, 0.05, axis=0), atol=1e-12)
    np.testing.assert_allclose(cell["high"], np.quantile(each, 0.95, axis=0), atol=1e-12)


def test_words_are_drawn_alike_often_and_every_category_keeps_its_size() -> None:
    counts, redrawn = resample_words(["a"] * 12 + ["b"] * 10, 20_000, np.random.default_rng(0))
    assert redrawn == 0
    assert (counts[:, :12].sum(axis=1) == 12).all()
    assert (counts[:, 12:].sum(axis=1) == 10).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.03)
    np.testing.assert_allclose(counts.var(axis=0), [11 / 12] * 12 + [9 / 10] * 10, atol=0.05)


def test_resamples_without_three_pairs_of_a_kind_are_drawn_again() -> None:
    """Three categories of two words: a resample needs both words of each, one draw in eight has them."""
    counts, redrawn = resample_words(list("aabbcc"), 4000, np.random.default_rng(0))
    assert (counts == 1).all()
    assert redrawn / (redrawn + 4000) == pytest.approx(7 / 8, abs=0.01)
    with pytest.raises(ValueError, match="fewer than three"):
        resample_words(list("aabb"), 1, np.random.default_rng(0))


def test_what_leaves_a_score_undefined_is_an_error_that_names_it() -> None:
    counts, _ = resample_words(CATEGORIES, 3, np.random.default_rng(0))
    flat = similarities(4)
    flat["k"] = np.stack([flat["k"][0], np.full_like(flat["k"][1], 0.25)])
    with pytest.raises(FloatingPointError, match=r"K does not vary"):
        bootstrap(flat, CATEGORIES, counts, 0.05)
    with pytest.raises(FloatingPointError, match="partial RSA is undefined"):
        bootstrap(dict.fromkeys("qkvx", similarities(4)["x"]), CATEGORIES, counts, 0.05, against_input)


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
    truth = oracle.scores({name: values[0] for name, values in population.items()}, within_category(categories))
    sample, categories = draw(sets, 1)
    counts, _ = resample_words(categories, 1000, rng)
    found = bootstrap(sample, categories, counts, 0.05)
    for key, value in truth.items():
        cell = found[key]
        assert 0.90 <= np.mean((cell["low"] <= value) & (value <= cell["high"])) <= 0.985
        if key[0] == "rsa":
            z, half = np.arctanh(cell["value"]), 1.96 / np.sqrt(561 - 3)
            assert np.mean(np.abs(np.arctanh(value) - z) <= half) < 0.8


def test_streams_are_the_same_every_time_and_unlike_each_other() -> None:
    first, again = (
        [tuple(stream(seed, name).random(4)) for seed in (7, 8) for name in STREAMS if name] for _ in range(2)
    )
    assert first == again
    assert len(set(first)) == 2 * 5
