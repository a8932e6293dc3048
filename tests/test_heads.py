"""Single heads: each against plain loops over its own units, also where query heads share a key and value head."""

import json

import numpy as np
import pingouin
import pytest
from conftest import InProcess
from safetensors.numpy import load_file, save_file

from stages import store
from stages.geometry.contrast import cohens_d
from stages.geometry.heads import head_scores, in_groups, strongest
from stages.geometry.pairs import within_category
from stages.geometry.similarity import METRICS, cosine

CATEGORIES = list("aaabbbbcc")
WITHIN = within_category(CATEGORIES)


def vectors(seed: int, layers: int, heads: int, kv_heads: int, units: int = 4) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    counts = {"q": heads, "k": kv_heads, "v": kv_heads}
    return {name: generator.normal(size=(layers, len(CATEGORIES), n * units)) for name, n in counts.items()}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("chunk", [1, 2**26])
@pytest.mark.parametrize(("heads", "kv_heads"), [(6, 6), (6, 2), (6, 1), (1, 1)])
def test_every_head_equals_a_loop(heads: int, kv_heads: int, chunk: int, metric: str) -> None:
    units, given = 4, vectors(0, 3, heads, kv_heads)
    found = head_scores(given, heads, METRICS[metric], WITHIN, chunk)
    assert set(found) == {"q", "k", "v", "qk", "qv", "kv"}
    for layer in range(3):
        for head in range(heads):
            own = {"q": head, "k": head // (heads // kv_heads), "v": head // (heads // kv_heads)}
            similarity = {
                name: METRICS[metric](given[name][layer, :, h * units : (h + 1) * units]) for name, h in own.items()
            }
            for name, values in similarity.items():
                d = pingouin.compute_effsize(values[WITHIN], values[~WITHIN], eftype="cohen")
                assert found[name][layer, head] == pytest.approx(d, abs=1e-12)
            for a, b in ("qk", "qv", "kv"):
                r = np.corrcoef(similarity[a], similarity[b])[0, 1]
                assert found[a + b][layer, head] == pytest.approx(r, abs=1e-12)


def test_scores_of_one_head_do_not_depend_on_the_others() -> None:
    given = vectors(1, 2, 4, 4)
    before = head_scores(given, 4, cosine, WITHIN)
    for values in given.values():
        values[1, :, 8:12] += 5
    after = head_scores(given, 4, cosine, WITHIN)
    for name in before:
        changed = before[name] != after[name]
        assert changed.sum() == 1, name
        assert changed[1, 2], name


def test_heads_of_a_group_stand_together() -> None:
    units = np.arange(12)[None]
    np.testing.assert_array_equal(in_groups(units, 3, 2)[:, :, 0], [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]])


@pytest.mark.parametrize(("width", "kv_width"), [(10, 10), (12, 8)])
def test_widths_that_are_no_whole_heads_are_refused(width: int, kv_width: int) -> None:
    given = {name: np.ones((1, 9, width if name == "q" else kv_width)) for name in "qkv"}
    with pytest.raises(ValueError, match="cannot be cut into"):
        head_scores(given, 3, cosine, WITHIN)


@pytest.mark.parametrize(
    ("value", "message"), [(0.0, "a vector is zero"), (1.0, r"(a correlation|Cohen's d) is undefined")]
)
def test_a_head_without_variation_is_an_error_that_names_the_layer(value: float, message: str) -> None:
    given = vectors(2, 3, 4, 2)
    given["k"][2, :, :4] = value
    with pytest.raises(FloatingPointError, match=f"a head of layer 2: {message}"):
        head_scores(given, 4, cosine, WITHIN)


def test_cohens_d_of_many_rows_is_pingouins() -> None:
    similarity = np.random.default_rng(0).normal(size=(2, 3, len(WITHIN))).astype(np.float32)
    found = cohens_d(similarity, WITHIN)
    assert found.shape == (2, 3)
    for place in np.ndindex(2, 3):
        values = similarity[place].astype(float)
        expected = pingouin.compute_effsize(values[WITHIN], values[~WITHIN], eftype="cohen")
        assert found[place] == pytest.approx(expected, abs=1e-12)
    with pytest.raises(FloatingPointError, match="do not vary"):
        cohens_d(WITHIN.astype(float), WITHIN)


def test_the_strongest_head() -> None:
    d = np.zeros((12, 30))
    d[7, 13] = d[9, 2] = 2.5
    assert strongest(d) == "L7H13"


def narrow(stage: InProcess) -> None:
    """Make the tiny run's K and V those of one head that both query heads share."""
    path = stage.project.root / "data/activations.safetensors"
    tensors = load_file(path)
    tensors |= {name: tensors[name][..., :8].copy() for name in tensors if name.endswith(("_k", "_v"))}
    path.unlink()  # not through a link into DVC's cache
    save_file(tensors, path)


def test_the_stage_matches_shared_heads_to_their_query_heads(tiny_stage: InProcess) -> None:
    narrow(tiny_stage)
    assert tiny_stage.run("heads")[0] == 0
    table = store.read_table(tiny_stage.project.root / "metrics/heads.csv")
    tensors = load_file(tiny_stage.project.root / "data/activations.safetensors")
    for layer in range(2):
        assert table["k"][layer, 0] == table["k"][layer, 1]
        assert table["kv"][layer, 0] == table["kv"][layer, 1]
        k = cosine(tensors[f"attn_{layer}_k"][:, -1])
        for head in range(2):
            q = cosine(tensors[f"attn_{layer}_q"][:, -1, 8 * head : 8 * head + 8])
            assert table["qk"][layer, head] == pytest.approx(np.corrcoef(q, k)[0, 1], abs=1e-6)


@pytest.mark.parametrize("reference", [[], ["sofa", "door", "table", "window"]])
def test_the_stage_transforms_as_the_layers_similarities_do(tiny_stage: InProcess, reference: list[str]) -> None:
    project = tiny_stage.project
    project.set(similarity__transform="zscore", similarity__reference_words=reference)
    for stage in ("capture", "similarity", "heads"):
        code, said = tiny_stage.run(stage)
        assert code == 0, said
    table = store.read_table(project.root / "metrics/heads.csv")
    tensors = load_file(project.root / "data/activations.safetensors")
    others = load_file(project.root / "data/reference.safetensors")
    for layer, head in np.ndindex(2, 2):
        similarity = {}
        for name in "qk":
            own, base = (
                held[f"attn_{layer}_{name}"][:, -1, 8 * head : 8 * head + 8].astype(float)
                for held in (tensors, others if reference else tensors)
            )
            similarity[name] = cosine((own - base.mean(axis=0)) / base.std(axis=0, ddof=1))
        r = np.corrcoef(similarity["q"], similarity["k"])[0, 1]
        assert table["qk"][layer, head] == pytest.approx(r, abs=1e-5)


def test_switched_off_it_leaves_a_header_a_figure_and_no_head_in_the_summary(tiny_stage: InProcess) -> None:
    figure = tiny_stage.project.root / "plots/figures/fig12_heads.png"
    before = figure.read_bytes()
    tiny_stage.project.set(heads__enabled=False)
    for stage in ("heads", "claims", "figures"):
        assert tiny_stage.run(stage)[0] == 0, stage
    text = (tiny_stage.project.root / "metrics/heads.csv").read_text(encoding="utf-8")
    assert text == "layer,head,q,k,v,qk,qv,kv\n"
    summary = json.loads((tiny_stage.project.root / "metrics/summary.json").read_text(encoding="utf-8"))
    assert summary["strongest_heads"] == []
    assert figure.read_bytes() != before
