"""Models unlike GPT-2 through the stages: layers that do not attend, the decoder of an encoder-decoder."""

import html
import json
import re
from collections.abc import Callable
from itertools import product

import numpy as np
import pandas as pd
import pytest
from conftest import InProcess
from safetensors.numpy import load_file
from tiny_models import saved, tiny_config
from transformers import BartConfig, DeepseekV3Config, JambaConfig, LlamaConfig, MiMoV2FlashConfig, PreTrainedConfig

from stages.artefacts.files import read_json
from stages.artefacts.schema import TABLES
from stages.plotting.registry import figures

LAYERS = [1, 3, 5]
DRAWING = ("figures", "matrices", "report")  # last, though dvc.yaml has figures among the post's stages


def run_on(config: PreTrainedConfig, stage: InProcess, *stages: str, **settings) -> None:
    """Run stages, by default all, on a random model with the tiny run's tokenizer."""
    config.vocab_size = 6144
    saved(config, stage.project.root / "data/models/other")
    stage.project.set(model__name="data/models/other", **settings)
    stage.log_of(*stages or sorted(stage.project.pipeline, key=DRAWING.__contains__))


def test_a_hybrids_layers_keep_their_numbers(tiny_stage: InProcess, draw_only: Callable[..., None]) -> None:
    """Of a Jamba whose layers attend and do not, in turn."""
    draw_only(*(name for name, entry in figures().items() if entry.one_layer or entry.table))
    config = tiny_config(JambaConfig, {"num_hidden_layers": 6, "attn_layer_period": 2, "attn_layer_offset": 1})
    run_on(config, tiny_stage, focus_layer=3, nulls__draws=40)
    root = tiny_stage.project.root
    stored = load_file(root / "data/activations.safetensors")
    assert {int(name.split("_")[1]) for name in stored if name != "embedding"} == set(LAYERS)
    for name in TABLES:
        layers = pd.read_csv(root / "metrics" / name)["layer"]
        assert list(layers) == np.repeat(LAYERS, len(layers) // 3).tolist(), name
    similarity = load_file(root / "data/similarity.safetensors")
    rsa = pd.read_csv(root / "metrics/rsa.csv", index_col="layer")
    for place, layer in enumerate(LAYERS):
        r = np.corrcoef(similarity["q"][place], similarity["k"][place])[0, 1]
        assert rsa["qk"][layer] == pytest.approx(r, abs=1e-6)
    assert sorted(path.name for path in (root / "plots/matrices/q").iterdir()) == ["01.png", "03.png", "05.png"]
    summary = read_json(root / "metrics/summary.json")
    heads = pd.read_csv(root / "metrics/heads.csv")
    best = heads.loc[heads["value"].where(heads["of"] == "q").idxmax()]
    assert f"q L{best['layer']:.0f}H{best['head']:.0f}" in summary["strongest_heads"]
    claims = read_json(root / "metrics/claims.json")
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

    tiny_stage.project.set(focus_layer=2)
    code, said = tiny_stage.run("figures")
    assert (code, said.strip()) == (1, "figures: focus_layer: 2 is not a layer of this model, which has 1, 3, 5")


def test_nulls_without_linear_maps_are_not_called_off(tiny_stage: InProcess, draw_only: Callable[..., None]) -> None:
    draw_only("fig10_ladder", "fig13_heads")
    run_on(tiny_config(DeepseekV3Config, {"num_hidden_layers": 2}), tiny_stage)
    root, why = tiny_stage.project.root, "the model's Q, K and V are no linear maps of their input"
    for name in ("nulls", "spectra", "head_nulls"):
        (row,) = (root / f"metrics/{name}.csv").read_text(encoding="utf-8").splitlines()[1:]
        assert row.strip(",") == "not applicable"
    notes = read_json(root / "metrics/summary.json")["notes"]
    assert f"rsa_against_spectrum is not judged: {why}" in notes
    page = html.unescape((root / "plots/report.html").read_text(encoding="utf-8"))
    assert f"Not computed: {why}." in page
    assert "nulls.enabled is false" not in page


def test_grouped_queries_in_a_model_of_one_layer(tiny_stage: InProcess, draw_only: Callable[..., None]) -> None:
    """K and V are narrower than Q: each query head is paired with the key and value head that it attends with.

    What goes through layers in blocks takes a single one, from a file as well.
    """
    draw_only("fig6_rsa_profile", "fig19_candidates")
    sizes = {"hidden_size": 32, "head_dim": 8, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = tiny_config(LlamaConfig, {**sizes, "num_hidden_layers": 1})
    run_on(config, tiny_stage, focus_layer=0, nulls__draws=40, similarity__metric="correlation")
    root = tiny_stage.project.root
    for name in ("inference.csv", "rdms.csv", "nulls.csv"):
        assert set(pd.read_csv(root / "metrics" / name)["layer"]) == {0}, name
    captured, context = (load_file(root / f"data/{name}.safetensors") for name in ("activations", "context"))
    (cells,) = pd.read_csv(root / "metrics/correlation.csv").to_dict("records")
    token = {"": 1, "_target": -1}
    for pair, suffix in product(("qk", "qv", "kv"), token):
        # Head by head, in a plain loop: 4 query heads of 8 units, two of them to a key and value head.
        sides = [captured[f"attn_0_{name}"][:, token[suffix]] for name in pair]
        places = [[h // 2 if side.shape[1] == 16 else h for h in range(4)] for side in sides]
        some = [np.concatenate([x[:, 8 * h :][:, :8].ravel() for h in p]) for x, p in zip(sides, places, strict=True)]
        assert cells[pair + suffix] == pytest.approx(np.corrcoef(*some)[0, 1], abs=1e-6)
    assert {context[name].shape[-1] for name in "qkv"} == {32}
    claims, summary = (read_json(root / f"metrics/{name}.json") for name in ("claims", "summary"))
    units = ("qk_correlation_focus", "qk_correlation_most_layers", "v_correlations_near_zero")
    assert all(claims[name]["holds"] is not None for name in units)
    assert summary["qk_r"] == pytest.approx(cells["qk"], abs=1e-3)
    assert not [note for note in summary["notes"] if "correlation.csv" in note]
    assert np.isfinite(summary["rsa"])


def test_q_k_and_v_of_three_widths_have_no_pair_to_correlate(tiny_stage: InProcess) -> None:
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12, "v_head_dim": 8}
    layers = {"layer_types": ["full_attention"] * 2, "mlp_layer_types": ["dense"] * 2, "num_hidden_layers": 2}
    config = tiny_config(MiMoV2FlashConfig, {**heads, **layers})
    run_on(config, tiny_stage, *(name for name in tiny_stage.project.pipeline if name not in DRAWING))
    root = tiny_stage.project.root
    captured = load_file(root / "data/activations.safetensors")
    assert len({captured[f"attn_0_{name}"].shape[-1] for name in "qkv"}) == 3
    table = pd.read_csv(root / "metrics/correlation.csv", index_col="layer")
    assert len(table) == 2
    assert table.isna().all(axis=None)
    claims, summary = (read_json(root / f"metrics/{name}.json") for name in ("claims", "summary"))
    unpaired = ("qk_correlation_focus", "qk_correlation_most_layers", "v_correlations_near_zero")
    assert all(claims[name]["holds"] is None for name in (*unpaired, "target_closer_to_zero"))
    assert "target_closer_to_zero is not judged: qk, qv, kv: units differ in number" in summary["notes"]
    assert "correlation.csv: qk, qv, kv are empty: the matrices differ in their number of units" in summary["notes"]
    assert "qk_r" not in summary


def test_the_decoder_of_an_encoder_decoder_is_captured(tiny_stage: InProcess) -> None:
    stages = ("check", "capture", "similarity", "correlation", "rsa", "nulls")
    config = tiny_config(BartConfig, {"decoder_start_token_id": 7})
    run_on(config, tiny_stage, *stages, model__part="decoder", nulls__draws=40)
    root = tiny_stage.project.root
    captured = read_json(root / "data/capture.json")
    assert captured["overview"]["architecture"] == captured["attention"]["part"] == "BartDecoder"
    assert captured["attention"]["modules"]["q"] == "model.decoder.layers.0.self_attn.q_proj"
    assert {ids[0] for ids in captured["token_ids"]} == {7}
    assert captured["word_position"] == 4
