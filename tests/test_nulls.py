"""The ladder of nulls: frames are Haar, rungs are those of plain loops, planted cases come out as known."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp, kstest
from tiny_models import build

from stages.geometry.comparison import pairwise
from stages.geometry.effects import cohens_d
from stages.geometry.moments import moments_in_pieces, scores
from stages.geometry.names import MATRICES, PAIRS
from stages.geometry.pairs import within_category
from stages.geometry.similarity import Similar
from stages.models.attentions import text_part
from stages.models.projections import find_projections
from stages.models.rotated import project_turned, weights
from stages.pipeline.progress import join
from stages.statistics.amounts import AUTO, MANY, amount
from stages.statistics.nulls import (
    crossed,
    draw_rungs,
    ladder,
    paired_scores,
)
from stages.statistics.p_values import familywise_p, monte_carlo_p
from stages.statistics.projections import factor, haar_frames

WORDS, UNITS = 12, 40
CATEGORIES = ["a"] * 4 + ["b"] * 4 + ["c"] * 4
WITHIN = within_category(CATEGORIES)


similar = Similar(WORDS, "cosine", "none")


def rotation(units: int, rng: np.random.Generator) -> np.ndarray:
    """A random rotation by the textbook's way: QR of a normal matrix, signs of R's diagonal put right."""
    q, r = np.linalg.qr(rng.standard_normal((units, units)))
    return q * np.sign(np.diag(r))


def with_spectrum(decay: float, rng: np.random.Generator, units: int = UNITS) -> np.ndarray:
    """A square matrix in random orientation whose singular values fall exponentially."""
    return rotation(units, rng) * np.exp(-decay * np.arange(units)) @ rotation(units, rng)


def words(rng: np.random.Generator, units: int = UNITS) -> np.ndarray:
    """Inputs with a common mean, and categories."""
    return (
        rng.standard_normal(units)
        + 0.5 * np.repeat(rng.standard_normal((3, units)), 4, axis=0)
        + 0.5 * (rng.standard_normal((WORDS, units)))
    )


def drawn(x: np.ndarray, weights: dict[str, np.ndarray], draws: int, seed: int = 0, **options):
    return draw_rungs(
        x, lambda f: {n: f @ w for n, w in weights.items()}, similar, WITHIN, draws,
        np.random.default_rng(seed), True, **options,
    )  # fmt: skip


def scores_of(x: np.ndarray, weights: dict[str, np.ndarray]) -> dict:
    """Scores of the projections as they are, a draw of one."""
    return paired_scores({name: similar(x @ w)[None] for name, w in weights.items()}, WITHIN)


@pytest.mark.parametrize(("rank", "units"), [(3, 8), (8, 8), (34, 1600)])
def test_frames_have_orthonormal_rows(rank: int, units: int) -> None:
    frames = haar_frames(5, rank, units, np.random.default_rng(0))
    np.testing.assert_allclose(
        frames @ frames.swapaxes(1, 2), np.broadcast_to(np.eye(rank), (5, rank, rank)), atol=1e-6
    )


def test_frames_are_haar() -> None:
    """First moments of the uniform law, and whole rows against rotations drawn the textbook's way."""
    rng = np.random.default_rng(0)
    frames = haar_frames(4000, 3, 5, rng)
    assert np.abs(frames.mean(axis=0)).max() < 5 / np.sqrt(5 * 4000)
    np.testing.assert_allclose(
        np.einsum("dru,drv->ruv", frames, frames) / 4000, np.broadcast_to(np.eye(5) / 5, (3, 5, 5)), atol=0.02
    )
    direction = rng.standard_normal(5)
    brute = np.array([rotation(5, rng)[:3] @ direction for _ in range(2000)])
    for row in range(3):
        assert ks_2samp((frames @ direction)[:, row], brute[:, row]).pvalue > 0.001


def test_a_rotated_input_keeps_its_gram_matrix() -> None:
    rng = np.random.default_rng(1)
    x = words(rng)
    rotated = factor(x) @ haar_frames(4, WORDS, UNITS, rng)
    np.testing.assert_allclose(rotated @ rotated.swapaxes(1, 2), np.broadcast_to(x @ x.T, (4, WORDS, WORDS)), rtol=2e-6)


def test_crossed_scores_are_those_of_every_other_draw() -> None:
    similarity = {n: similar(np.random.default_rng(i).standard_normal((4, WORDS, 6))) for i, n in enumerate(MATRICES)}
    found = crossed(scores(*moments_in_pieces([np.concatenate([similarity[name] for name in MATRICES])], WITHIN)))
    for measure, kind in {"rsa": WITHIN | True, "rsa_within": WITHIN, "rsa_across": ~WITHIN}.items():
        for a, b in PAIRS:
            brute = [
                np.corrcoef(similarity[a][i][kind], similarity[b][j][kind])[0, 1]
                for i in range(4)
                for j in range(4)
                if i != j
            ]
            np.testing.assert_allclose(found[measure, a + b], brute)
    np.testing.assert_allclose(found["d", "q"], cohens_d(similarity["q"], WITHIN))


def test_each_rung_has_the_law_of_a_plain_loop_over_whole_matrices() -> None:
    """400 draws against rotations of the whole input, one by one; blocks of draws change nothing but the order."""
    rng = np.random.default_rng(3)
    x, weights = words(rng), {name: with_spectrum(0.15, rng) for name in MATRICES}
    found = drawn(x, weights, 400, chunk=2**20)
    brute = {"spectrum": [], "orientation": []}
    for _ in range(400):
        common = rotation(UNITS, rng)
        brute["orientation"].append(scores_of(x @ common, weights))
        apart = {name: similar(x @ rotation(UNITS, rng) @ w)[None] for name, w in weights.items()}
        brute["spectrum"].append(paired_scores(apart, WITHIN))
    for rung, loop in brute.items():
        for names, values in found[rung].joint.items():
            plain = np.concatenate([scores[names] for scores in loop])
            assert ks_2samp(values, plain).pvalue > 0.001, (rung, names)
            crossed = found[rung].values[names].mean()
            assert abs(crossed - plain.mean()) < 5 * plain.std() / np.sqrt(400) * np.sqrt(2)


def test_an_orthogonal_projection_leaves_nothing_to_its_spectrum() -> None:
    """With W orthogonal, rung 2 is rung 4 exactly: a rotation of all words changes no cosine."""
    rng = np.random.default_rng(4)
    x, weights = words(rng), {name: rotation(UNITS, rng) for name in MATRICES}
    found, plain = drawn(x, weights, 20), scores_of(x, weights)
    for pair in ("qk", "qv", "kv"):
        np.testing.assert_allclose(found["spectrum"].values["rsa", pair], plain["rsa", pair][0], atol=1e-9)


def test_gaussian_projections_make_all_drawn_rungs_alike() -> None:
    """Untrained weights: rungs 1, 2, 3 and 4 have one law, here over redrawn weights."""
    rng = np.random.default_rng(5)
    x = words(rng)
    rows = {rung: [] for rung in ("gaussian", "spectrum", "orientation", "unbiased")}
    for seed in range(300):
        weights = {name: rng.standard_normal((UNITS, UNITS)) for name in MATRICES}
        found = drawn(x, weights, 8, seed)
        for rung in ("gaussian", "spectrum", "orientation"):
            rows[rung].append(found[rung].joint["rsa", "qk"][0])
        rows["unbiased"].append(scores_of(x, weights)["rsa", "qk"][0])
    for rung in ("spectrum", "orientation", "unbiased"):
        assert ks_2samp(rows["gaussian"], rows[rung]).pvalue > 0.001, rung


def mean_step(found: dict, upper: str, lower: str, pair: str) -> float:
    return found[upper].values["rsa", pair].mean() - found[lower].values["rsa", pair].mean()


def test_a_shared_projection_is_found_by_the_common_rotation_alone() -> None:
    rng = np.random.default_rng(6)
    shared = with_spectrum(0.2, rng)
    found = drawn(words(rng), {"q": shared, "k": shared, "v": with_spectrum(0.2, rng)}, 60)
    np.testing.assert_allclose(found["orientation"].values["rsa", "qk"], 1, atol=1e-9)
    assert found["spectrum"].values["rsa", "qk"].max() < 0.999
    assert mean_step(found, "orientation", "spectrum", "qk") > 10 * abs(
        mean_step(found, "orientation", "spectrum", "qv")
    )


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
        step = scores_of(x, weights)["rsa", "qv"][0] - drawn(x, weights, 60)["orientation"].values["rsa", "qv"].mean()
        to_input = pairwise({"q": similar(x @ weights["q"])[None], "k": similar(x)[None], "v": similar(x)[None]})["qk"][
            0
        ]
        assert (to_input > 0.95) if aligned else (to_input < 0.7)
        assert step > 0.02 if aligned else step < -0.02


def test_draws_that_the_settings_leave_open_are_enough_for_a_p_below_5_percent() -> None:
    for words in (34, 100, 101, 1854):
        draws = amount("nulls.draws", "auto", words)
        assert monte_carlo_p(1.0, np.zeros(draws), draws) < 0.05


@pytest.mark.parametrize("key", AUTO)
def test_many_words_are_drawn_less_often_unless_the_settings_say_how_often(key: str) -> None:
    few, many = (amount(key, "auto", words) for words in (MANY, MANY + 1))
    assert few > many if key != "nulls.precision" else (few, many) == ("double", "single")
    assert amount(key, 20, 1854) == 20


def test_monte_carlo_p_is_uniform_and_family_wise_error_is_what_it_promises() -> None:
    """W turned at random against x: a trained value is then a draw of rung 3. 400 simulations of 2 layers × 3 pairs."""
    rng = np.random.default_rng(9)
    inputs = [words(rng) for _ in range(2)]
    weights = [{name: with_spectrum(0.2, rng) for name in MATRICES} for _ in range(2)]
    drawn_once = [drawn(x, w, 99, seed) for seed, (x, w) in enumerate(zip(inputs, weights, strict=True))]
    alone, family = [], []
    for _ in range(400):
        turned = [rotation(UNITS, rng) for _ in range(2)]
        trained = join([scores_of(x @ r, w) for x, r, w in zip(inputs, turned, weights, strict=True)])
        cells = ladder(drawn_once, trained, trained, 99, 0.05)
        alone.append(cells["rsa", "qk", "orientation"]["p"][0])
        family.append(min(cells["rsa", a + b, "orientation"]["p_familywise"].min() for a, b in PAIRS))
    # One set of draws serves all simulations, so that its own error adds to that of 400 of them.
    assert kstest(alone, "uniform").statistic < 1.63 * np.sqrt(1 / 400 + 1 / 99)
    assert 0.05 - 0.045 < np.mean(np.array(family) <= 0.05) < 0.05 + 0.06


def test_p_values_count_from_both_sides() -> None:
    drawn_values = np.arange(1, 100) / 100
    assert monte_carlo_p(2.0, drawn_values, 99) == pytest.approx(2 / 100)
    assert monte_carlo_p(-2.0, drawn_values, 99) == pytest.approx(2 / 100)
    assert monte_carlo_p(0.5, drawn_values, 99) == 1
    assert familywise_p(np.array([9.0, 0.5]), np.stack([drawn_values, drawn_values]))[0] == pytest.approx(1 / 100)


def test_steps_add_up_from_the_first_rung_to_the_last() -> None:
    rng = np.random.default_rng(10)
    x, weights = words(rng), {name: with_spectrum(0.2, rng) for name in MATRICES}
    unbiased = scores_of(x, weights)
    trained = paired_scores({n: similar(x @ w + rng.standard_normal(UNITS))[None] for n, w in weights.items()}, WITHIN)
    cells = ladder([drawn(x, weights, 20)], unbiased, trained, 20, 0.05)
    for measure, names in {"rsa": PAIRS, "rsa_within": PAIRS, "rsa_across": PAIRS, "d": MATRICES}.items():
        for name in names:
            steps = sum(c["value"] for (m, n, _), c in cells.items() if (m, n) == (f"{measure}_step", name))
            first, last = (cells[measure, name, rung]["value"] for rung in ("gaussian", "trained"))
            np.testing.assert_allclose(first + steps, last)


@pytest.mark.parametrize("model_type", ["gpt2", "gpt_neox", "gpt_bigcode", "llama", "bert"])
def test_the_ladder_of_an_architecture_is_that_of_its_own_projections(model_type: str) -> None:
    """Fused, interleaved, multi-query, grouped and separate: rungs against what the model's own modules make of x R.

    A plain loop turns the whole input and sends it through the modules, their biases taken off again.
    """
    torch.manual_seed(0)
    projection = find_projections(text_part(build(model_type)))[1]
    matrices, units = weights(projection), projection.width_in
    rng = np.random.default_rng(11)
    x = words(rng, units)

    def made(rows: np.ndarray) -> dict[str, np.ndarray]:
        found = {}
        with torch.no_grad():
            for name, module in projection.modules.items():
                rest = module(torch.zeros(1, units))
                found |= projection.split(name, module(torch.from_numpy(rows.astype(np.float32))) - rest)
        return {name: values.numpy() for name, values in found.items()}

    for name, values in made(x).items():
        np.testing.assert_allclose(x @ matrices[name].numpy(), values, rtol=1e-4, atol=1e-5)
    found = draw_rungs(x, partial(project_turned, matrices), similar, WITHIN, 200, rng, True)
    plain: dict[str, list] = {"orientation": [], "spectrum": []}
    for _ in range(200):
        turned = [made(x @ rotation(units, rng)) for _ in range(3)]
        apart = {name: similar(part[name])[None] for name, part in zip("qkv", turned, strict=True)}
        plain["spectrum"].append(paired_scores(apart, WITHIN))
        plain["orientation"].append(paired_scores({n: similar(v)[None] for n, v in turned[0].items()}, WITHIN))
    for rung, loop in plain.items():
        for names, values in found[rung].joint.items():
            assert ks_2samp(values, np.concatenate([scores[names] for scores in loop])).pvalue > 0.0005, (rung, names)
