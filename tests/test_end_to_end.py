"""The whole pipeline on the embedded model, recomputed, against the repository and an independent oracle."""

import numpy as np
import oracle
import pandas as pd
import pytest
from conftest import ROOT, Project
from safetensors.numpy import load_file
from scipy.spatial.distance import pdist

from stages.artefacts.files import read_json

PARAMS = Project(ROOT).params
#: What a fresh clone computes, as Git does not hold it.
BY_ITSELF = ["check", "capture", "similarity", "correlation", "matrices", "report"]


@pytest.fixture(scope="module")
def expected(embedded: Project) -> dict:
    return oracle.tables(
        str(embedded.root / "data/activations.safetensors"),
        PARAMS["words"],
        PARAMS["tokens"]["context"],
        -1,  # the word, the last token of the sentence
        read_json(ROOT / "data/models/gpt2-mini/config.json")["n_head"],
        PARAMS["similarity"]["metric"],
    )


def test_a_fresh_clone_recomputes_what_it_lacks_and_by_force_gives_what_is_committed(embedded: Project) -> None:
    """Byte for byte: tables, summaries and figures, and by the lock, which is the commit's, what Git does not hold."""
    log = read_json(embedded.root.with_name("log.json"))
    assert log.pop("by itself") == BY_ITSELF
    assert {*log.pop("forced"), *BY_ITSELF} == set(embedded.pipeline)
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
    assert set(found) == {*"qkvx", "embedding"}
    tokens = read_json(embedded.root / "data/capture.json")["token_ids"]
    weights = load_file(embedded.root / "data/models/gpt2-mini/model.safetensors")["transformer.wte.weight"]
    own = {"embedding": [1 - pdist(weights[[ids[-1] for ids in tokens]].astype(float), "cosine")]}
    for name, values in found.items():
        np.testing.assert_allclose(values, np.stack((expected["similarity"] | own)[name]), atol=1e-6)


def test_context_file_holds_the_context_token(embedded: Project) -> None:
    activations = load_file(embedded.root / "data/activations.safetensors")
    context = load_file(embedded.root / "data/context.safetensors")
    assert set(context) == set("qkv")
    for name, values in context.items():
        np.testing.assert_array_equal(values[3], activations[f"attn_3_{name}"][:, PARAMS["tokens"]["context"]])
