"""Single heads: each against plain loops over its own units, also where query heads share a key and value head."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import oracle
import pytest
from conftest import InProcess
from safetensors.numpy import load_file
from tensor_files import write_tensors

from stages.artefacts.files import Tensors, read_json
from stages.artefacts.tables import empty_cells, read_table
from stages.geometry.names import MATRICES, PAIRS
from stages.geometry.pairs import within_category
from stages.geometry.similarity import METRICS, Similar
from stages.statistics.heads import head_draws, head_scores

CATEGORIES = list("aaabbbbcc")
WITHIN = within_category(CATEGORIES)
SIMILAR = Similar(len(CATEGORIES), "cosine", "none")


def vectors(seed: int, heads: int, kv_heads: int, units: int = 4, v_units: int = 4) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    widths = {"q": heads * units, "k": kv_heads * units, "v": kv_heads * v_units}
    return {name: generator.normal(size=(len(CATEGORIES), width)) for name, width in widths.items()}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("heads", "kv_heads", "v_units"), [(6, 6, 4), (6, 2, 4), (6, 1, 4), (1, 1, 4), (6, 2, 3), (6, 6, 7)]
)
def test_every_head_equals_a_loop(heads: int, kv_heads: int, v_units: int, metric: str) -> None:
    given, units = vectors(0, heads, kv_heads, v_units=v_units), {"q": 4, "k": 4, "v": v_units}
    found = head_scores(given, heads, Similar(len(CATEGORIES), metric, "none"), WITHIN)
    for head in range(heads):
        own = {"q": head, "k": head // (heads // kv_heads), "v": head // (heads // kv_heads)}
        slices = {name: slice(h * units[name], (h + 1) * units[name]) for name, h in own.items()}
        similarity = {name: METRICS[metric](given[name][:, part]) for name, part in slices.items()}
        expected = oracle.scores(similarity, WITHIN)
        assert {key: values[head] for key, values in found.items()} == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("width", "kv_width"), [(10, 10), (12, 8)])
def test_widths_that_are_no_whole_heads_are_refused(width: int, kv_width: int) -> None:
    given = {name: np.ones((9, width if name == "q" else kv_width)) for name in "qkv"}
    with pytest.raises(ValueError, match="cannot be cut into"):
        head_scores(given, 3, SIMILAR, WITHIN)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_head_without_variation_has_no_score_and_leaves_the_others_theirs(value: float) -> None:
    given = vectors(2, 4, 2)
    before = head_scores(given, 4, SIMILAR, WITHIN)
    given["k"][:, :4] = value  # the first two query heads share it
    after = head_scores(given, 4, SIMILAR, WITHIN)
    for key, scores in after.items():
        dead = np.array([True, True, False, False]) & ("k" in key[1])
        np.testing.assert_array_equal(np.isnan(scores), dead, key)
        np.testing.assert_allclose(scores[~dead], before[key][~dead], atol=1e-12)


def test_of_many_heads_without_a_score_five_are_named() -> None:
    said, *_ = empty_cells("heads.csv", {("d", "q"): {"value": np.full((1, 7), np.nan)}}, [0])
    assert "no d of q in L0H0, L0H1, L0H2, L0H3, L0H4 and 2 more: " in said
    (said,) = empty_cells("influence.csv", {("rsa", "qk"): {"value": np.array([[0.1, np.nan]])}}, [4])
    assert "no rsa of qk in L4 rank 1: " in said


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_draws_are_scored_like_the_head_itself_and_every_two_with_each_other(kv_heads: int) -> None:
    """Of the null of a head, its own weights in random directions: see the law of rung ``spectrum``."""
    each = [vectors(seed, 4, kv_heads) for seed in range(3)]
    for one in each:
        one["k"][:, -4:] = 0  # the last is dead: it has no score
    found = head_draws({name: np.stack([one[name] for one in each]) for name in MATRICES}, 4, SIMILAR, WITHIN)
    for place, one in enumerate(each):
        alone = head_scores(one, 4, SIMILAR, WITHIN)
        for name in MATRICES:
            np.testing.assert_allclose(found["d", name][:, place], alone["d", name])
    for place, (one, other) in enumerate(permutations(each, 2)):
        for a, b in PAIRS:
            both = head_scores(one | {b: other[b]}, 4, SIMILAR, WITHIN)
            np.testing.assert_allclose(found["rsa", a + b][:, place], both["rsa", a + b])


def test_a_dead_head_is_an_empty_cell_with_its_reason(tiny_stage: InProcess, draw_only: Callable[..., None]) -> None:
    draw_only("fig13_heads")
    path = tiny_stage.project.root / "data/activations.safetensors"
    tensors, record = load_file(path), Tensors(path).record
    tensors["attn_1_v"] *= np.repeat(np.float32([1, 0]), 8)
    path.unlink()  # not through a link into DVC's cache
    write_tensors(path, tensors, record)
    tiny_stage.log_of("heads")
    note = "heads.csv: no d of v in L1H1: what it is made of does not vary, or is not reliable"
    assert all(said in tiny_stage.log for said in (note, note.replace("d of v", "rsa of qv")))
    table = read_table(tiny_stage.project.root / "metrics/heads.csv")
    assert [name for (_, name), cells in table.items() if np.isnan(cells["value"]).any()] == ["v", "qv", "kv"]
    tiny_stage.log_of("claims", "figures")
    summary = read_json(tiny_stage.project.root / "metrics/summary.json")
    assert note in summary["notes"]
    assert "v L1H1" not in summary["strongest_heads"]
