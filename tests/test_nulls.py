"""The ladder of nulls: frames are Haar, rungs are those of plain loops, planted cases come out as known."""

import os
from collections.abc import Callable
from itertools import product

import numpy as np
import oracle
import pytest
import torch
from scipy.stats import ks_2samp, spearmanr
from tiny_models import build

from stages.findings.beyond import Beyond, verdicts
from stages.geometry.comparison import COMPARISONS, pearson
from stages.geometry.names import MANY_WORDS, MATRICES, PAIRS
from stages.geometry.pairs import within_category
from stages.geometry.similarity import Similar, cosine
from stages.geometry.transforms import TRANSFORMS
from stages.models.attentions import text_part
from stages.models.projections import find_projections
from stages.statistics.draws import amount
from stages.statistics.nulls import Choices, draw_rungs, familywise_p, ladder, monte_carlo_p, observed, score
from stages.statistics.projections import factor, haar_frames, project, project_turned, ranges, spectra

SIZE = 10 if os.environ.get("RSA_FULL") else 1
WORDS, UNITS = 12, 40
CATEGORIES = ["a"] * 4 + ["b"] * 4 + ["c"] * 4
WITHIN = within_category(CATEGORIES)


def rotation(units: int, rng: np.random.Generator) -> np.ndarray:
    """A random rotation by the textbook's way: QR of a normal matrix, signs of R's diagonal put right."""
    q, r = np.linalg.qr(rng.standard_normal((units, units)))
    return q * np.sign(np.diag(r))


def with_spectrum(decay: float, rng: np.random.Generator) -> np.ndarray:
    """A square matrix in random orientation whose singular values fall exponentially."""
    return rotation(UNITS, rng) * np.exp(-decay * np.arange(UNITS)) @ rotation(UNITS, rng)


def words(rng: np.random.Generator, units: int = UNITS) -> np.ndarray:
    """Inputs with a common mean, and categories."""
    mean, centres = rng.standard_normal(units), np.repeat(rng.standard_normal((3, units)), 4, axis=0)
    return mean + 0.5 * centres + 0.5 * rng.standard_normal((WORDS, units))


EVERY = Choices({name: Similar(WORDS, "cosine", name) for name in TRANSFORMS}, ["spearman", "cka_debiased"], WITHIN)
RAW = Choices({"none": EVERY.similar["none"]}, [], WITHIN)


def own(found: dict) -> dict:
    """Take what is of raw cosines and Pearson's r, by measure and matrix or pair."""
    return {(*key[:2], *key[4:]): values for key, values in found.items() if key[2:4] == ("none", "pearson")}


def through(weights: dict[str, np.ndarray]) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Return what projects inputs, turned or not."""
    return lambda rows: {name: rows @ w for name, w in weights.items()}


def drawn(x: np.ndarray, weights: dict[str, np.ndarray], draws: int, seed: int = 0) -> dict:
    found, _ = draw_rungs(x, through(weights), RAW, draws, np.random.default_rng(seed))
    return {rung: own(values) for rung, values in found.items()}


def scores_of(x: np.ndarray, weights: dict[str, np.ndarray]) -> dict:
    """Scores of the projections as they are, a draw of one."""
    return own(observed(through(weights)(x), x, RAW))


@pytest.mark.parametrize("units", [4, 11])
def test_drawn_projections_have_the_law_of_brute_force_ones(units: int) -> None:
    """Of words whose Gram matrix is singular, too: more of them than units, two the same."""
    rng, draws = np.random.default_rng(0), 1500 * SIZE
    x = rng.normal(size=(7, units)) + 1
    x[3] = x[2]
    exact, brute = project(factor(x), 5, draws, rng), x @ rng.normal(size=(draws, units, 5))
    assert exact.shape == brute.shape
    for statistic in (
        lambda values: values[:, 4, 2],
        lambda values: values[:, 0, 1] * values[:, 5, 1],
        lambda values: cosine(values)[:, 3],
        lambda values: pearson(cosine(values), cosine(x)),
    ):
        assert ks_2samp(statistic(exact), statistic(brute)).pvalue > 0.01


def test_frames_are_haar() -> None:
    """Orthonormal; first moments of the uniform law, and whole rows against rotations drawn the textbook's way."""
    rng = np.random.default_rng(0)
    frames = haar_frames(4000, 3, 5, rng)
    np.testing.assert_allclose(frames @ frames.swapaxes(1, 2), np.stack([np.eye(3)] * 4000), atol=1e-6)
    assert np.abs(frames.mean(axis=0)).max() < 5 / np.sqrt(5 * 4000)
    second = np.einsum("dru,drv->ruv", frames, frames) / 4000
    np.testing.assert_allclose(second, np.stack([np.eye(5) / 5] * 3), atol=0.02)
    direction = rng.standard_normal(5)
    brute = np.array([rotation(5, rng)[:3] @ direction for _ in range(2000)])
    for row in range(3):
        assert ks_2samp((frames @ direction)[:, row], brute[:, row]).pvalue > 0.001


def test_draws_are_scored_with_those_they_belong_to_under_every_choice() -> None:
    rng = np.random.default_rng(2)
    vectors, x = [rng.standard_normal((4, WORDS, 6)) for _ in MATRICES], words(rng)
    found = score(vectors, x, EVERY, shifts=(0, 1))
    for (shift, draws), (transform, measure_of), i in product(enumerate(found), EVERY.similar.items(), range(4)):
        s = {name: measure_of(vectors[m][(i - shift * m) % 4]) for m, name in enumerate(MATRICES)}
        r = np.corrcoef([*s.values(), measure_of(x)])
        within, across = (np.corrcoef(s["q"][kind], s["v"][kind])[0, 1] for kind in (WITHIN, ~WITHIN))
        expected = oracle.scores(s, WITHIN) | {
            ("rsa_gap", "qv"): within - across,
            ("rsa_gap_z", "qv"): np.arctanh(within) - np.arctanh(across),
            ("rsa_to_input", "v"): r[2, 3],
            ("partial_rsa", "qk"): (r[0, 1] - r[0, 3] * r[1, 3]) / np.sqrt((1 - r[0, 3] ** 2) * (1 - r[1, 3] ** 2)),
        }
        assert {key: draws[*key, transform, "pearson"][i] for key in expected} == pytest.approx(expected)
        others = {"spearman": spearmanr(s["q"], s["v"]).statistic}
        others["cka_debiased"] = float(COMPARISONS["cka_debiased"].score(s["q"], s["v"]))
        assert {name: draws["rsa", "qv", transform, name][i] for name in others} == pytest.approx(others, abs=1e-6)


def test_each_rung_has_the_law_of_a_plain_loop_over_whole_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    """400 draws against rotations of the whole input, one by one; blocks of draws change nothing but the order."""
    monkeypatch.setattr("stages.statistics.nulls.CHUNK", 2**20)
    rng = np.random.default_rng(3)
    x, weights = words(rng), {name: with_spectrum(0.15, rng) for name in MATRICES}
    found = drawn(x, weights, 400)
    brute = {"spectrum": [], "orientation": []}
    for _ in range(400):
        brute["orientation"].append(scores_of(x @ rotation(UNITS, rng), weights))
        apart = {name: x @ rotation(UNITS, rng) @ w for name, w in weights.items()}
        brute["spectrum"].append(own(observed(apart, x, RAW)))
    for rung, loop in brute.items():
        for names, values in found[rung].items():
            assert ks_2samp(values, [scores[names] for scores in loop]).pvalue > 0.001, (rung, names)


def test_an_orthogonal_projection_leaves_nothing_to_its_spectrum() -> None:
    """With W orthogonal, rung 2 is rung 4 exactly: a rotation of all words changes no cosine."""
    rng = np.random.default_rng(4)
    x, weights = words(rng), {name: rotation(UNITS, rng) for name in MATRICES}
    found, plain = drawn(x, weights, 20), scores_of(x, weights)
    for pair in ("qk", "qv", "kv"):
        np.testing.assert_allclose(found["spectrum"]["rsa", pair], plain["rsa", pair], atol=1e-9)


def test_gaussian_projections_make_all_drawn_rungs_alike() -> None:
    """Untrained weights: rungs 1, 2, 3 and 4 have one law, here over redrawn weights."""
    rng, rows = np.random.default_rng(5), []
    x = words(rng)
    for seed in range(300):
        weights = {name: rng.standard_normal((UNITS, UNITS)) for name in MATRICES}
        found = [*drawn(x, weights, 8, seed).values(), scores_of(x, weights)]
        rows.append([np.ravel(scores["rsa", "qk"])[0] for scores in found])
    gaussian, *others = np.transpose(rows)
    assert all(ks_2samp(gaussian, other).pvalue > 0.001 for other in others)


def mean_step(found: dict, upper: str, lower: str, pair: str) -> float:
    return found[upper]["rsa", pair].mean() - found[lower]["rsa", pair].mean()


def test_a_shared_projection_is_found_by_the_common_rotation_alone() -> None:
    rng = np.random.default_rng(6)
    shared = with_spectrum(0.2, rng)
    found = drawn(words(rng), {"q": shared, "k": shared, "v": with_spectrum(0.2, rng)}, 60)
    np.testing.assert_allclose(found["orientation"]["rsa", "qk"], 1, atol=1e-9)
    assert found["spectrum"]["rsa", "qk"].max() < 0.999
    qk, qv = (mean_step(found, "orientation", "spectrum", pair) for pair in ("qk", "qv"))
    assert qk > 10 * abs(qv)


def test_orthogonal_halves_share_less_than_random_directions() -> None:
    rng = np.random.default_rng(7)
    basis = rotation(UNITS, rng)
    weights = {"q": basis[:, : UNITS // 2], "k": basis[:, UNITS // 2 :], "v": rotation(UNITS, rng)[:, : UNITS // 2]}
    found = drawn(words(rng), weights, 200)
    assert mean_step(found, "orientation", "spectrum", "qk") < -0.02
    assert abs(mean_step(found, "orientation", "spectrum", "qv")) < 0.02


def test_alignment_with_the_input_shows_above_the_common_rotation_and_misalignment_below() -> None:
    rng = np.random.default_rng(8)
    x = words(rng)
    _, _, directions = np.linalg.svd(x)  # rows of directions: what the words vary along, strongest first
    strength = np.exp(-0.3 * np.arange(UNITS))
    for aligned, order in ((True, strength), (False, strength[::-1])):
        weights = {name: directions.T * order @ rotation(UNITS, rng) for name in ("q", "k")}
        weights["v"] = with_spectrum(0.3, rng)
        step = scores_of(x, weights)["rsa", "qv"] - drawn(x, weights, 60)["orientation"]["rsa", "qv"].mean()
        to_input = scores_of(x, weights)["rsa_to_input", "q"]
        assert (to_input > 0.95) if aligned else (to_input < 0.7)
        assert step > 0.02 if aligned else step < -0.02


@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.1, 0.001])
def test_draws_that_the_settings_leave_open_give_a_test_of_that_level(alpha: float) -> None:
    for words in (34, 100, 101, 1854):
        draws = amount("nulls.draws", "auto", words, alpha)
        p = np.array([monte_carlo_p(place + 0.5, np.arange(draws)) for place in range(-1, draws)])
        assert np.mean(p <= alpha + 1e-12) == pytest.approx(alpha)  # each place among the draws is as likely
        assert draws >= (100 if words <= MANY_WORDS else 40)
    assert amount("nulls.draws", 25, 34, alpha) == 25


def test_a_new_draw_lies_outside_the_range_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    for draws in (39, 79, 119):
        cells = ranges(rng.standard_normal((4000, draws)), 0.05)
        new = rng.standard_normal(4000)
        assert np.mean((new < cells["low"]) | (new > cells["high"])) == pytest.approx(0.05, abs=0.012)


def test_p_are_uniform_and_robust_verdicts_seldom_where_training_is_a_draw_of_the_rung() -> None:
    """Projections turned at random against x, each by itself, are draws of rung 2; two layers, every choice."""
    rng, alone, family, robust = np.random.default_rng(9), {}, [], []
    inputs = [words(rng) for _ in range(2)]
    weights = [{name: with_spectrum(0.2, rng) for name in MATRICES} for _ in range(2)]
    for _ in range(60 * SIZE):
        of_layers, trained = [], []
        for x, w in zip(inputs, weights, strict=True):
            turned = {name: x @ rotation(UNITS, rng) @ matrix for name, matrix in w.items()}
            trained.append(observed(turned, x, EVERY))
            of_layers.append(draw_rungs(x, through(w), EVERY, 39, rng)[0])
        cells = ladder(of_layers, trained, trained, 0.05)
        for key in (k for k in trained[0] if k[1] in ("qk", "v")):
            alone.setdefault(key, []).append(cells[*key, "spectrum"]["p"][0])
        for measure, *choice in (("rsa", "none", "pearson"), ("rsa", "zscore", "spearman"), ("d", "center", "pearson")):
            names = MATRICES if measure == "d" else PAIRS
            family.append(min(cells[measure, name, *choice, "spectrum"]["p_familywise"].min() for name in names))
        found = verdicts(cells, 0.05)
        robust.append({key[:3] for key, where in found.items() if where.verdict.startswith("robust")})
    assert len(alone) == 3 * (6 + 2 + 2)  # measures of pairs, of matrices, other comparisons
    for key, p in alone.items():
        assert np.mean(np.array(p) <= 0.05 + 1e-9) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / len(p)), key
        assert np.mean(np.minimum(p, 1)) == pytest.approx(0.5, abs=5 * 0.29 / np.sqrt(len(p))), key
    assert np.mean(np.array(family) <= 0.05) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / len(robust))
    for measure in ("rsa", "d", "rsa_gap"):
        false = np.mean([(measure, "every", "spectrum") in trial for trial in robust])
        assert false <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(robust))


def test_planted_alignment_is_found_robust_and_one_choices_finding_is_not() -> None:
    """V reads the directions that categories vary along; Q and K are turned at random. 60 words."""
    rng = np.random.default_rng(3)
    categories = [name for name in "abc" for _ in range(20)]
    within = within_category(categories)
    choices = Choices({name: Similar(60, "cosine", name) for name in TRANSFORMS}, ["spearman", "cka_debiased"], within)
    centres = np.repeat(rng.standard_normal((3, UNITS)), 20, axis=0)
    x = rng.standard_normal(UNITS) + 0.4 * centres + rng.standard_normal((60, UNITS))
    _, _, axes = np.linalg.svd(centres - centres.mean(axis=0))
    strength = np.exp(-0.2 * np.arange(UNITS))
    weights = {name: with_spectrum(0.2, rng) for name in ("q", "k")} | {"v": axes.T * strength @ rotation(UNITS, rng)}
    trained = observed(through(weights)(x), x, choices)
    made, _ = draw_rungs(x, through(weights), choices, 119, rng)
    found = verdicts(ladder([made], [trained], [trained], 0.05), 0.05)
    assert found["d", "v", "spectrum", "every", "every"] == Beyond(1, 0, 0, "robust: above")
    assert found["d", "q", "spectrum", "every", "every"].verdict == "not decided"


def test_familywise_p_count_from_both_sides() -> None:
    for value in (9.0, -9.0):
        assert familywise_p(np.array([value, 0.5]), np.arange(198).reshape(2, 99) / 200)[0] == pytest.approx(1 / 100)


def test_steps_add_up_from_the_first_rung_to_the_last() -> None:
    rng = np.random.default_rng(10)
    x, weights = words(rng), {name: with_spectrum(0.2, rng) for name in MATRICES}
    unbiased = observed(through(weights)(x), x, RAW)
    trained = observed({n: x @ w + rng.standard_normal(UNITS) for n, w in weights.items()}, x, RAW)
    made, _ = draw_rungs(x, through(weights), RAW, 20, rng)
    cells = own(ladder([made], [unbiased], [trained], 0.05))
    for measure, names in {"rsa": PAIRS, "d": MATRICES}.items():
        for name in names:
            steps = sum(c["value"] for (m, n, _), c in cells.items() if (m, n) == (f"{measure}_step", name))
            first, last = (cells[measure, name, rung]["value"] for rung in ("gaussian", "trained"))
            np.testing.assert_allclose(first + steps, last)


@pytest.mark.parametrize("model_type", ["gpt2", "gpt_neox", "gpt_bigcode", "llama", "bert"])
def test_turned_inputs_go_through_an_architectures_own_projections(model_type: str) -> None:
    """Fused, interleaved, multi-query, grouped and separate: as its own modules project them, less their biases."""
    torch.manual_seed(0)
    projection = find_projections(text_part(build(model_type)))[1]
    units, rng = projection.width_in, np.random.default_rng(11)
    turned = np.stack([words(rng, units) @ rotation(units, rng) for _ in range(3)]).astype(np.float32)
    weights = {name: w.numpy() for name, w in projection.weights().items()}
    found = project_turned(weights, turned)
    for name, module in projection.modules.items():
        with torch.no_grad():
            made = module(torch.from_numpy(turned).flatten(0, 1)) - module(torch.zeros(1, units))
        for part, values in projection.split(name, made).items():
            np.testing.assert_allclose(found[part], values.unflatten(0, turned.shape[:2]), rtol=1e-4, atol=1e-5)


def test_spectra_keep_their_digits_in_single_precision() -> None:
    rng, decay = np.random.default_rng(0), np.exp(-np.arange(600) / 50)
    double = {name: rng.standard_normal((600, 600)) * decay for name in "qkv"}
    found = spectra({name: w.astype(np.float32) for name, w in double.items()}, PAIRS)
    for key, value in spectra(double, PAIRS).items():
        assert found[key] == pytest.approx(value, rel=1e-6), key
