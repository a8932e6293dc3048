"""Loading: what is missing, damaged, or would silently become another model is told; what does no harm is not."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from safetensors.torch import load_file, save_file
from tiny_models import tiny_config
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Model,
    LlamaConfig,
    LlamaForCausalLM,
    TrOCRConfig,
    TrOCRForCausalLM,
)

from stages.models.load import load
from stages.pipeline.errors import UserError

MINI = ROOT / "data/models/gpt2-mini"


def arguments(name: str = str(MINI), device: str = "cpu") -> tuple:
    return name, "main", "pretrained", 0, "float32", device


def damaged(folder: Path, name: str, content: bytes | None) -> str:
    """Copy the embedded model and damage one of its files."""
    shutil.copytree(MINI, folder, dirs_exist_ok=True)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    return str(folder)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("config.json", None, "holds no model: it has no config.json"),
        ("config.json", b"{", "cannot be loaded"),
        ("config.json", b'{"model_type": "mamba"}', "MambaModel has no attention in its layers (MambaBlock)"),
        ("config.json", b'{"model_type": "nonsense"}', "cannot be loaded"),
        ("model.safetensors", None, "no weights in safetensors format"),
        ("model.safetensors", b"cut", "cannot be loaded, a file of it is missing or damaged"),
        ("model.safetensors", (MINI / "model.safetensors").read_bytes()[:-1000], "missing or damaged"),
        ("tokenizer.json", b"{}", "cannot be loaded"),
    ],
)
def test_a_damaged_model_is_named(tmp_path: Path, name: str, content: bytes | None, expected: str) -> None:
    with pytest.raises(UserError, match=r"model\.name") as error:
        load(*arguments(damaged(tmp_path, name, content)))
    assert expected in str(error.value)
    assert len(str(error.value).splitlines()) <= 2


def test_weights_that_lack_a_layer_are_not_filled_with_random_numbers(tmp_path: Path) -> None:
    config = json.loads((MINI / "config.json").read_text(encoding="utf-8"))
    folder = damaged(tmp_path, "config.json", json.dumps({**config, "n_layer": config["n_layer"] + 1}).encode())
    with pytest.raises(UserError, match=f"no weights for h.{config['n_layer']}"):
        load(*arguments(folder))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_positions": 7}, "weights of another shape than config.json says: wpe.weight"),
        ({"n_layer": "two"}, "n_layer"),
    ],
)
def test_a_configuration_of_another_model_is_told(tmp_path: Path, change: dict, said: str) -> None:
    config = json.loads((MINI / "config.json").read_text(encoding="utf-8"))
    with pytest.raises(UserError, match=said):
        load(*arguments(damaged(tmp_path, "config.json", json.dumps({**config, **change}).encode())))


def test_no_folder_of_that_name() -> None:
    with pytest.raises(UserError, match="there is no folder data/models/none"):
        load(*arguments("data/models/none"))


def test_a_device_that_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"model\.device: there is no cuda on this machine"):
        load(*arguments(device="cuda"))


def test_a_model_with_a_head_loads_as_its_base(tmp_path: Path) -> None:
    config = GPT2Config(vocab_size=6144, n_positions=16, n_embd=8, n_layer=1, n_head=2)
    torch.manual_seed(3)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(MINI / name, tmp_path / name)
    assert type(load(*arguments(str(tmp_path))).model) is GPT2Model


@pytest.mark.parametrize("kind", [ImportError, AttributeError, AssertionError, NotImplementedError])
def test_a_model_that_transformers_cannot_build_is_not_called_damaged(
    monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def build(*_: object) -> None:
        raise kind("no such layer")

    monkeypatch.setattr("stages.models.load._build", build)
    with pytest.raises(UserError, match=r"transformers cannot build .*: no such layer"):
        load(*arguments())


def changed(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> str:
    """Change the tensors of a model's file."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return str(folder)


@pytest.mark.parametrize(
    "key", ["transformer.h.1.attn.c_attn.weight_scale_inv", "h.7.mlp.c_fc.scales", "transformer.wte.weight_scale"]
)
def test_weights_that_have_no_place_in_the_model_are_refused(tmp_path: Path, key: str) -> None:
    folder = shutil.copytree(MINI, tmp_path / "model")
    changed(folder, lambda tensors: tensors.update({key: torch.ones(3)}))
    with pytest.raises(UserError) as error:
        load(*arguments(str(folder)))
    first, second = str(error.value).splitlines()
    assert first.endswith(f"hold weights that have no place in the model: {key.removeprefix('transformer.')}")
    assert "does not say how the weights are quantised" in second


def test_a_configuration_with_fewer_layers_than_the_weights_is_refused(tmp_path: Path) -> None:
    config = json.loads((MINI / "config.json").read_text(encoding="utf-8"))
    folder = damaged(tmp_path, "config.json", json.dumps({**config, "n_layer": 6}).encode())
    with pytest.raises(UserError, match=r"no place in the model: h\.6\..*; and 19 more\nits config.json names fewer"):
        load(*arguments(folder))


@pytest.mark.parametrize("part", ["encoder", "decoder"])
@pytest.mark.parametrize(
    ("config", "maker", "key", "parts"),
    [
        (BartConfig, BartForConditionalGeneration, "model.decoder.layers.1.self_attn.k_proj.", ["decoder"]),
        (BartConfig, BartForConditionalGeneration, "model.encoder.layers.1.self_attn.k_proj.", ["encoder", "decoder"]),
        (TrOCRConfig, TrOCRForCausalLM, "model.decoder.layers.1.self_attn.k_proj.", ["encoder", "decoder"]),
    ],
)
def test_only_the_part_that_is_used_must_be_whole(
    tmp_path: Path, config: type, maker: type, key: str, parts: list[str], part: str
) -> None:
    """A decoder takes its encoder along; a type that is known only with a head has its part inside."""
    maker(tiny_config(config, {"vocab_size": 6144})).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(MINI / name, tmp_path / name)
    whole = load_file(tmp_path / "model.safetensors")
    for change, said in (("weight", "no weights for "), ("weight_scale", "no place in the model: ")):
        tensors = {**whole, f"{key}{change}": torch.ones(1)}
        if change == "weight":
            del tensors[f"{key}weight"]
        save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
        if part in parts:
            with pytest.raises(UserError, match=f"{said}[a-z.]*layers.1.self_attn.k_proj.{change}"):
                load(*arguments(str(tmp_path)), part=part)
        else:
            load(*arguments(str(tmp_path)), part=part)


def quantise(tensors: dict[str, torch.Tensor]) -> None:
    """Store the attention's weights in eight bits, with a scale beside each."""
    for key in [key for key in tensors if "self_attn" in key]:
        scale = tensors[key].abs().max() / 448
        tensors[key] = (tensors[key] / scale).to(torch.float8_e4m3fn)
        tensors[key.replace("weight", "weight_scale_inv")] = scale.reshape(1, 1)


@pytest.mark.parametrize("method", [None, "fp8", "modelopt", "gptq"])
def test_quantised_weights_are_themselves_or_refused(tmp_path: Path, method: str | None) -> None:
    config = LlamaConfig(vocab_size=6144, hidden_size=128, intermediate_size=64, num_hidden_layers=1)
    config.num_attention_heads = config.num_key_value_heads = 4
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    model.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(MINI / name, tmp_path / name)
    changed(tmp_path, quantise)
    said = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    if method:
        block = {"weight_block_size": [128, 128]} if method == "fp8" else {"bits": 8, "group_size": 128}
        said["quantization_config"] = {"quant_method": method, **block}
    (tmp_path / "config.json").write_text(json.dumps(said), encoding="utf-8")
    if method == "fp8":  # what transformers reads
        found = load(*arguments(str(tmp_path))).model.layers[0].self_attn.k_proj.weight
        expected = model.model.layers[0].self_attn.k_proj.weight
        assert torch.allclose(found, expected, atol=float(expected.abs().max()) / 16)
        return
    with pytest.raises(UserError) as error:
        load(*arguments(str(tmp_path)))
    assert ("is quantised (gptq), and cannot be" if method == "gptq" else "no place in the model") in str(error.value)
    assert len(str(error.value).splitlines()) <= 2


def test_heads_and_what_is_no_weight_do_no_harm(tmp_path: Path) -> None:
    """Old names of normalisations, numbers of positions, a pooler, the head of a language model."""
    BertForMaskedLM(tiny_config(BertConfig, {"vocab_size": 6144})).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(MINI / name, tmp_path / name)

    def age(tensors: dict[str, torch.Tensor]) -> None:
        for key in [key for key in tensors if "LayerNorm" in key]:
            tensors[key.replace("weight", "gamma").replace("LayerNorm.bias", "LayerNorm.beta")] = tensors.pop(key)
        tensors["bert.embeddings.position_ids"] = torch.arange(16)[None]
        tensors["cls.seq_relationship.weight"] = torch.ones(2, 64)

    assert type(load(*arguments(changed(tmp_path, age))).model) is BertModel
    gpt2 = shutil.copytree(MINI, tmp_path / "gpt2")
    masks = {
        "h.0.attn.bias": torch.ones(1, 1, 8, 8),
        "h.0.attn.masked_bias": torch.ones(1),
        "v_head.weight": torch.ones(9),
    }
    changed(gpt2, lambda tensors: tensors.update({f"transformer.{key}": value for key, value in masks.items()}))
    assert type(load(*arguments(str(gpt2))).model) is GPT2Model


@pytest.mark.parametrize("names", [["tokenizer.json"], ["tokenizer.json", "tokenizer_config.json"]])
def test_a_missing_tokenizer_is_told(tmp_path: Path, names: list[str]) -> None:
    folder = shutil.copytree(MINI, tmp_path / "model")
    for name in names:
        (folder / name).unlink()
    with pytest.raises(UserError, match="has no tokenizer: a file such as"):
        load(*arguments(str(folder)))


def test_a_slash_behind_a_name_is_no_part_of_it() -> None:
    assert load(*arguments(f"{MINI}/")).provenance["model"] == str(MINI)
    with pytest.raises(UserError, match=r"there is no folder data/models/none$"):
        load(*arguments("data/models/none/"))
