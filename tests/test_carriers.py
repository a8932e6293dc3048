"""What hangs on a single word, unit or direction: against recomputing without it, and where one was planted."""

from itertools import pairwise, product
from types import SimpleNamespace

import numpy as np
import oracle
import pandas as pd
import pytest
from conftest import InProcess
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file
from scipy.spatial.distance import pdist

from stages.artefacts.tables import read_table
from stages.findings.carriers import units_that_carry, words_that_carry
from stages.geometry.anisotropy import anisotropy
from stages.geometry.effects import MUCH, influence, strongest
from stages.geometry.pairs import condense, square, within_category
from stages.geometry.similarity import Similar
from stages.plotting import carriers
from stages.plotting.registry import figures

CATEGORIES = ["a"] * 4 + ["b"] * 3 + ["c"] * 5
WITHIN = within_category(CATEGORIES)
WORDS = len(CATEGORIES)
#: The scores of the table, each a measure and what it is of.
SCORED = [*product(["rsa"], ["qk", "qv", "kv"]), *product(["d"], "qkv")]


@given(st.integers(0, 10**6), st.sampled_from([1.0, 1e-3]))
def test_leaving_a_word_out_equals_recomputing_without_it(seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    similarity = {name: 0.9 + spread * rng.normal(size=len(WITHIN)) for name in "qkv"}
    found, whole = influence(similarity, WITHIN), oracle.scores(similarity, WITHIN)
    assert [*found] == SCORED
    for word in range(WORDS):
        kept = np.delete(np.arange(WORDS), word)
        left = {name: condense(square(values, 1.0)[np.ix_(kept, kept)]) for name, values in similarity.items()}
        without = oracle.scores(left, within_category([CATEGORIES[place] for place in kept]))
        for key, value in without.items():
            assert found[key][word] == pytest.approx(value - whole[key], abs=1e-9), (key, word)


def test_a_word_without_which_a_score_is_undefined_comes_last() -> None:
    """Of a category of two and one of one, the only pair within goes with either of its words."""
    within = within_category(["a", "a", "b"])
    similarity = {name: np.random.default_rng(0).normal(size=3) for name in "qkv"}
    change = influence(similarity, within)["d", "q"]
    np.testing.assert_array_equal(np.isnan(change[:2]), True)
    assert strongest(np.array([np.nan, 0.1, -0.2, 0.2])).tolist() == [2, 3, 1]


def test_the_share_of_a_planted_unit_and_the_scores_without_it() -> None:
    rng = np.random.default_rng(7)
    vectors = {name: rng.normal(size=(WORDS, 20)) + 6 * (np.arange(20) == 5) for name in "qkvx"}
    found = anisotropy(vectors, Similar(WORDS, "cosine", "none"), WITHIN)
    whole = {name: 1 - pdist(values, "cosine") for name, values in vectors.items()}
    rest = {name: 1 - pdist(np.delete(values, 5, axis=1), "cosine") for name, values in vectors.items()}
    for name, values in vectors.items():
        assert found["unit", name, "all"] == 5
        share = np.square(values[:, 5]).sum() / np.square(values).sum()
        assert found["unit_share", name, "all"] == pytest.approx(share)
        rows = values[:, 5] / np.linalg.norm(values, axis=1)
        own = condense(np.outer(rows, rows))
        of_cosines = np.cov(own, whole[name])[0, 1] / whole[name].var(ddof=1)
        assert found["unit_share_cosines", name, "all"] == pytest.approx(of_cosines)
        assert found["mean_cosine", name, "all"] == pytest.approx(whole[name].mean())
        assert found["mean_cosine", name, "without_unit"] == pytest.approx(rest[name].mean())
    for variant, similarity in {"all": whole, "without_unit": rest}.items():
        expected = {(*key, variant): value for key, value in oracle.scores(similarity, WITHIN).items()}
        assert {key: found[key] for key in expected} == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("units", [5, 40])
def test_the_largest_component_is_left_out(units: int) -> None:
    """With fewer units than words, and with more; where reference words stand behind, they lose it, too."""
    rng = np.random.default_rng(1)
    words, reference = rng.normal(size=(WORDS, units)) + 3, rng.normal(size=(4, units)) + 3
    _, sizes, axes = np.linalg.svd(words - words.mean(axis=0))
    vectors = {name: np.concatenate([words, reference]) for name in "qkvx"}
    found = anisotropy(vectors, Similar(WORDS, "correlation", "center"), WITHIN)
    assert found["dimensions", "x", "all"] == pytest.approx(np.square(sizes).sum() ** 2 / np.sum(sizes**4))
    left, base = (some - np.outer(some @ axes[0], axes[0]) for some in (words, reference))
    similarity = dict.fromkeys("qkv", 1 - pdist(left - base.mean(axis=0), "correlation"))
    for key, value in oracle.scores(similarity, WITHIN).items():
        assert found[*key, "without_component"] == pytest.approx(value, abs=1e-8)


def a_run() -> SimpleNamespace:
    """Make a run of two layers, 3 and 11, in which one word and one unit carry a score."""
    quiet = {"value": np.full((2, 3), 0.01), "word": np.array([["lamp", "bed", "rug"]] * 2)}
    loud = {"value": np.array([[-0.09, 0, 0], [0.26, 0, 0]]), "word": np.array([["space", "", ""], ["sofa", "", ""]])}
    changes = {key: loud if key == ("rsa", "qk") else quiet for key in SCORED}
    shares = {("unit_share", name, "all"): {"value": np.array([0.05, 0.72 if name == "x" else 0.1])} for name in "qkvx"}
    means = product(("qk", "qv", "kv"), (("all", 0.9), ("without_unit", 0.5)))
    rsa = {("rsa", pair, variant): {"value": np.full(2, r)} for pair, (variant, r) in means}
    return SimpleNamespace(
        influence=changes,
        anisotropy=shares | rsa | {("unit", "x", "all"): {"value": np.array([4.0, 247.0])}},
        inference={},
        numbers=[3, 11],
        layers=2,
    )


def test_the_word_and_the_unit_that_carry_a_score_are_named() -> None:
    run = a_run()
    assert words_that_carry(run) == ["influence.csv: rsa qk without a single word: sofa +0.26 (layer 11)"]
    run.inference = {("rsa", "qk"): {"low": np.array([0.5, 0.1]), "high": np.array([0.6, 0.9])}}
    (line,) = words_that_carry(run)  # half an interval may be less than a tenth
    assert line.endswith("sofa +0.26 (layer 11), space -0.09 (layer 3)")
    (line,) = units_that_carry(run)
    assert "more than 0.1 of the squared length of x in 1 of 2 layers, at most 0.72 (unit 247, layer 11)" in line
    assert line.endswith("mean RSA moves: Q–K 0.90 to 0.50, Q–V 0.90 to 0.50, K–V 0.90 to 0.50")
    run.anisotropy["unit_share", "x", "all"]["value"][:] = 0.1
    assert units_that_carry(run) == []


def test_the_figures_name_the_word_and_show_both_scores() -> None:
    run = a_run()
    drawn = carriers.influence(run.influence, run.numbers)
    assert [[text.get_text() for text in axes.texts] for axes in drawn.axes] == [["sofa"], [], [], [], [], []]
    told = "RSA changes most without sofa (Q–K, layer 11: +0.26); by more than 0.1, of 2 layers: Q–K in 1, Q–V in 0"
    assert figures()["fig16_influence"].caption(run).startswith(told)
    drawn = carriers.anisotropy(run.anisotropy, run.numbers)
    assert [len(axes.lines) for axes in drawn.axes] == [4, 6]
    assert "most of x in layer 11, 0.72 (unit 247)" in figures()["fig17_anisotropy"].caption(run)


def test_names_of_words_do_not_run_into_each_other() -> None:
    changes = np.where(np.arange(48) % 3 == 0, 0.3, 0.2)
    cells = {"value": changes[:, None], "word": np.full((48, 1), "asteroidal words")}
    drawn = carriers.influence(dict.fromkeys(SCORED, cells), range(48))
    drawn.draw_without_rendering()
    for axes in drawn.axes:
        boxes = sorted((text.get_window_extent() for text in axes.texts), key=lambda box: box.x0)
        assert len(boxes) >= 2
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_the_stage_writes_what_is_told_here_and_says_what_carries(tiny_stage: InProcess) -> None:
    """Cell by cell, from the captured vectors."""
    tiny_stage.log_of("controls", "claims")
    root = tiny_stage.project.root
    words = pd.read_csv(root / "data/word_list.csv")
    captured = load_file(root / "data/activations.safetensors")
    changes, units = (read_table(root / f"metrics/{name}.csv", [0, 1]) for name in ("influence", "anisotropy"))
    within = within_category(list(words["category"]))
    for layer in (0, 1):
        vectors = {name: captured[f"attn_{layer}_{name}"][:, -1].astype(float) for name in "qkvx"}
        moved = influence({name: 1 - pdist(vectors[name], "cosine") for name in "qkv"}, within)
        for key, cells in changes.items():
            value, places = cells["value"][layer], [list(words["word"]).index(word) for word in cells["word"][layer]]
            np.testing.assert_allclose(np.abs(value), np.sort(np.abs(moved[key]))[:-4:-1], atol=2e-6)
            np.testing.assert_allclose(value, moved[key][places], atol=2e-6)
        found = anisotropy(vectors, Similar(len(words), "cosine", "none"), within)
        assert {key: cells["value"][layer] for key, cells in units.items()} == pytest.approx(found, abs=1e-6)
    for (_, of), cells in changes.items():
        if of in ("qk", "qv", "kv") and np.abs(cells["value"]).max() > MUCH:
            assert f"influence.csv: rsa {of} without a single word: " in tiny_stage.log
