"""A model that attends in some of its layers only: every table, figure and page numbers them as the model does."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, InProcess
from safetensors.numpy import load_file
from tiny_models import tiny_config
from transformers import JambaConfig

from stages.artefacts.tables import TABLES

LAYERS = [1, 3, 5]
STAGES = (
    *("check", "capture", "similarity", "correlation", "rsa", "separability", "inference", "nulls", "controls"),
    *("heads", "claims", "figures", "matrices", "report"),
)


@pytest.fixture
def hybrid(tiny_stage: InProcess) -> InProcess:
    """Run every stage on a Jamba whose layers attend and do not, in turn."""
    project = tiny_stage.project
    folder = project.root / "data/models/hybrid"
    config = tiny_config(JambaConfig, {"num_hidden_layers": 6, "attn_layer_period": 2, "attn_layer_offset": 1})
    config.vocab_size = 6144
    config.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(ROOT / "data/models/gpt2-mini" / name, folder / name)
    project.set(model__name="data/models/hybrid", focus_layer=3, nulls__draws=20)
    for stage in STAGES:
        code, said = tiny_stage.run(stage)
        assert code == 0, said
    return tiny_stage


def test_a_hybrids_layers_are_numbered_as_the_model_numbers_them(hybrid: InProcess) -> None:
    root = hybrid.project.root
    stored = load_file(root / "data/activations.safetensors")
    assert {int(name.split("_")[1]) for name in stored} == set(LAYERS)
    for name in TABLES:
        layers = pd.read_csv(root / "metrics" / name)["layer"]
        assert list(layers) == np.repeat(LAYERS, len(layers) // 3).tolist(), name
    similarity = load_file(root / "data/similarity.safetensors")
    rsa = pd.read_csv(root / "metrics/rsa.csv", index_col="layer")
    for place, layer in enumerate(LAYERS):
        assert rsa["qk"][layer] == pytest.approx(
            np.corrcoef(similarity["q"][place], similarity["k"][place])[0, 1], abs=1e-6
        )
    assert sorted(path.name for path in (root / "plots/matrices/q").iterdir()) == ["01.png", "03.png", "05.png"]
    summary = json.loads((root / "metrics/summary.json").read_text(encoding="utf-8"))
    heads = pd.read_csv(root / "metrics/heads.csv")
    best = heads.loc[heads["q"].idxmax()]
    assert f"q L{best['layer']:.0f}H{best['head']:.0f}" in summary["strongest_heads"]
    claims = json.loads((root / "metrics/claims.json").read_text(encoding="utf-8"))
    assert claims["rsa_focus"]["measured"] == pytest.approx(rsa.loc[3, ["qk", "qv", "kv"]].min(), abs=1e-6)

    page = (root / "plots/report.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="report-data">(.*?)</script>', page, re.DOTALL)[1])
    assert data["layers"] == LAYERS
    assert [said.split(":")[0] for said in data["scores"]] == [f"Layer {layer}" for layer in LAYERS]
    shown = data["profiles"]["profile-rsa"]["data"]["values"]
    assert [row["layer"] for row in shown if row["name"] == "Q–K"] == LAYERS
    assert 'min="0" max="2" step="1" value="1"' in page
    assert "layers 1, 3, 5" in page
    assert [int(layer) for layer in re.findall(r'<tr><th scope="row">(\d+)</th>', page)] == LAYERS * 2
    assert set(map(int, re.findall(r"\(layer (\d+)\)", page))) <= set(LAYERS)

    hybrid.project.set(focus_layer=2)
    code, said = hybrid.run("figures")
    assert (code, said.strip()) == (1, "focus_layer: 2 is not a layer of this model, which has 1, 3, 5")
