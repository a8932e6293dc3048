"""The whole pipeline on the embedded model, recomputed, against the repository and an independent oracle."""

import json

import numpy as np
import oracle
import pandas as pd
import pytest
from conftest import DRAWING, ROOT, Project, digest
from ruamel.yaml import YAML
from safetensors import safe_open
from safetensors.numpy import load_file

from stages.findings.claims import CLAIMS
from stages.findings.evidence import TESTS
from stages.plotting.registry import figures

PARAMS = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
#: What a fresh clone computes, as Git does not hold it.
BY_ITSELF = ("check", "capture", "sentences", "similarity", "correlation")


@pytest.fixture(scope="module")
def expected(embedded: Project) -> dict:
    return oracle.tables(
        str(embedded.root / "data/activations.safetensors"),
        PARAMS["words"],
        PARAMS["tokens"]["context"],
        -1,  # the word, the last token of the sentence
        json.loads((ROOT / "data/models/gpt2-mini/config.json").read_text(encoding="utf-8"))["n_head"],
        PARAMS["similarity"]["metric"],
    )


def test_a_fresh_clone_recomputes_what_it_lacks_and_by_force_gives_what_is_committed(embedded: Project) -> None:
    """Byte for byte: tables, summaries and figures, and by the lock, which is the commit's, what Git does not hold."""
    log = json.loads(embedded.root.with_name("log.json").read_text(encoding="utf-8"))
    assert log.pop("by itself") == [*BY_ITSELF, *DRAWING]
    assert set(log.pop("forced")) == set(embedded.pipeline) - {*BY_ITSELF, *DRAWING}
    assert log == {"after": [], "status": ["", ""]}


@pytest.mark.parametrize("table", ["correlation", "rsa", "separability"])
def test_every_cell_equals_the_oracle(embedded: Project, expected: dict, table: str) -> None:
    found = pd.read_csv(embedded.root / f"metrics/{table}.csv")
    assert set(found) == set(expected[table])
    for column, values in expected[table].items():
        np.testing.assert_allclose(found[column], values, atol=1e-5, err_msg=column)


def test_every_head_equals_the_oracle(embedded: Project, expected: dict) -> None:
    found = pd.read_csv(embedded.root / "metrics/heads.csv").set_index(["layer", "head", "measure", "of"])["value"]
    assert set(found.index) == set(expected["heads"])
    for keys, value in expected["heads"].items():
        assert found[keys] == pytest.approx(value, abs=1e-5), keys


def test_similarities_equal_the_oracle_in_scipys_order(embedded: Project, expected: dict) -> None:
    found = load_file(embedded.root / "data/similarity.safetensors")
    assert set(found) == set("qkvx")
    for name, values in found.items():
        np.testing.assert_allclose(values, np.stack(expected["similarity"][name]), atol=1e-6)


def test_similarity_file_says_what_it_holds(embedded: Project) -> None:
    with safe_open(embedded.root / "data/similarity.safetensors", framework="numpy") as file:
        metadata = file.metadata()
    assert list(metadata) == ["record"]
    record = json.loads(metadata["record"])
    assert record["words"] == [word for listed in PARAMS["words"].values() for word in listed]
    assert record["categories"] == [category for category, listed in PARAMS["words"].items() for _ in listed]
    assert (record["metric"], record["transform"]) == ("cosine", "none")
    assert list(record) == sorted(record)


def test_context_file_holds_the_context_token(embedded: Project) -> None:
    activations = load_file(embedded.root / "data/activations.safetensors")
    context = load_file(embedded.root / "data/context.safetensors")
    assert set(context) == set("qkv")
    for name, values in context.items():
        np.testing.assert_array_equal(values[3], activations[f"attn_3_{name}"][:, PARAMS["tokens"]["context"]])


def test_the_posts_keys_and_shapes(embedded: Project) -> None:
    config = json.loads((ROOT / "data/models/gpt2-mini/config.json").read_text(encoding="utf-8"))
    layers, width = config["n_layer"], config["n_embd"]
    activations = load_file(embedded.root / "data/activations.safetensors")
    vectors = {f"attn_{layer}_{name}": (34, 5, width) for layer in range(layers) for name in "qkvx"}
    biases = {f"attn_{layer}_{name}_bias": (width,) for layer in range(layers) for name in "qkv"}
    assert {name: array.shape for name, array in activations.items()} == vectors | biases
    assert all(array.dtype == np.float32 for array in activations.values())


def test_capture_says_where_the_activations_come_from(embedded: Project) -> None:
    capture = json.loads((embedded.root / "data/capture.json").read_text(encoding="utf-8"))
    assert capture["model"] == "data/models/gpt2-mini"
    assert capture["revision"] is None
    assert capture["weights"] == {"model.safetensors": digest(ROOT / "data/models/gpt2-mini/model.safetensors")}
    assert capture["words"][0] == "galaxy"
    assert capture["tokens"][0] == ["The", "Ġnext", "Ġword", "Ġis", "Ġgalaxy"]
    assert len(capture["token_ids"]) == 34
    assert {"torch", "transformers"} <= set(capture["versions"])


def test_every_figure_is_a_readable_png(embedded: Project) -> None:
    found = {path.stem: path.read_bytes() for path in (embedded.root / "plots/figures").iterdir()}
    assert set(figures()) == set(found)
    for name, content in found.items():
        assert content.startswith(b"\x89PNG"), name
        width = int.from_bytes(content[16:20], "big")
        assert width >= 1200, f"{name} is {width} pixels wide"


def test_claims_name_every_finding(embedded: Project) -> None:
    claims, summary = (
        json.loads((embedded.root / f"metrics/{name}.json").read_text(encoding="utf-8"))
        for name in ("claims", "summary")
    )
    assert set(claims) == {*CLAIMS, *TESTS}
    for name, claim in claims.items():
        assert set(claim) == {"measured", "post", "holds"} | ({"beyond_random_maps"} if name in CLAIMS else set())
        assert claim["measured"] is not None
    assert all(isinstance(claims[name]["holds"], bool) for name in CLAIMS)
    held = {name for name, claim in claims.items() if claim["holds"]}
    assert (summary["claims"], summary["tests"]) == (len(held & set(CLAIMS)), len(held & set(TESTS)))


def test_the_summary_names_the_strongest_heads(embedded: Project) -> None:
    summary = json.loads((embedded.root / "metrics/summary.json").read_text(encoding="utf-8"))
    heads = pd.read_csv(embedded.root / "metrics/heads.csv")
    best = {name: heads.loc[heads["value"].where(heads["of"] == name).idxmax()] for name in "qkv"}
    expected = [f"{name} L{row['layer']:.0f}H{row['head']:.0f}" for name, row in best.items()]
    assert summary["strongest_heads"] == expected


def test_text_artefacts_end_lines_alike_everywhere(embedded: Project) -> None:
    for path in (path for path in (embedded.root / "metrics").rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert content.endswith(b"\n"), path
        assert b"\r" not in content, path
