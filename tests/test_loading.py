"""Loading: what is missing, damaged, or would silently become another model is told; what does no harm is not."""

import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_models import MINI, load, saved, tiny_config

from stages.pipeline.errors import UserError


def changed(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    """Change the tensors of a model's file."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def configured(folder: Path, **change) -> Path:
    """Change a model's configuration."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, **change}), encoding="utf-8")
    return folder


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Copy the embedded model, to change at will."""
    return shutil.copytree(MINI, tmp_path / "model")


NO_PLACE = r"no place in the model: h\.6\..*; and 19 more\nits config.json names fewer layers .* are quantised"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("config.json", None, "holds no model: it has no config.json"),
        ("config.json", b"{", "cannot be loaded"),
        ("config.json", b'{"model_type": "mamba"}', r"MambaModel has no attention in its layers \(MambaBlock\)"),
        ("config.json", b'{"model_type": "nonsense"}', "transformers cannot build"),
        ("config.json", {"n_layer": 9}, "no weights for h.8"),  # nothing is filled with random numbers
        ("config.json", {"n_layer": 6}, NO_PLACE),
        ("config.json", {"n_positions": 7}, "weights of another shape than config.json says: wpe.weight"),
        ("config.json", {"n_layer": "two"}, "n_layer"),
        ("config.json", {"n_embd": 64_000}, r"needs [0-9.]+ GiB .* has [0-9.]+ GiB free: take a smaller model"),
        ("config.json", {"quantization_config": {"quant_method": "new"}}, r"is quantised \(new\), .*does not know how"),
        ("model.safetensors", None, "no weights in safetensors format"),
        ("model.safetensors", b"cut", "cannot be loaded, a file of it is missing or damaged"),
        ("model.safetensors", (MINI / "model.safetensors").read_bytes()[:-1000], "missing or damaged"),
        ("tokenizer.json", b"{}", "cannot be loaded"),
        ("tokenizer.json", None, "has no tokenizer: a file such as"),
        ("tokenizer*.json", None, "has no tokenizer: a file such as"),
    ],
)
def test_a_damaged_model_is_named(copy: Path, name: str, content: bytes | dict | None, expected: str) -> None:
    for file in copy.glob(name):
        match content:
            case None:
                file.unlink()
            case bytes():
                file.write_bytes(content)
            case dict():
                configured(copy, **content)
    with pytest.raises(UserError, match=rf"(?s)model\.name.*{expected}") as error:
        load(copy)
    assert len(str(error.value).splitlines()) <= 2


@pytest.mark.parametrize(("weights", "size"), [("pretrained", 4), ("random", 8)])
def test_a_model_must_fit_into_free_memory(monkeypatch: pytest.MonkeyPatch, weights: str, size: int) -> None:
    """Random weights are drawn in double precision, whatever the model computes in."""
    needed = size * sum(parameter.numel() for parameter in load().model.parameters())
    monkeypatch.setattr("psutil.swap_memory", lambda: SimpleNamespace(free=1))
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=needed - 1))
    load(weights=weights)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=needed - 2))
    with pytest.raises(UserError, match="of memory, this machine has"):
        load(weights=weights)


def test_no_folder_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slash behind a name is no part of it."""
    assert load(f"{MINI}/").provenance["model"] == str(MINI)
    with pytest.raises(UserError, match=r"there is no folder data/models/none$"):
        load("data/models/none/")
    (beside := tmp_path / ".dvc/tmp/exps/standalone/tmp1").mkdir(parents=True)
    monkeypatch.chdir(beside)
    with pytest.raises(UserError, match=r"there is no folder data/models/none\nwith --temp .* what Git tracks"):
        load("data/models/none/")


def test_a_device_that_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"model\.device: there is no cuda on this machine"):
        load(device="cuda")
    with pytest.raises(UserError, match=r"model\.max_memory: there is no device 7 on this machine, which has .*cpu"):
        load(device_map="auto", max_memory={7: "1GB"})


@pytest.mark.parametrize("kind", [ImportError, AttributeError, AssertionError, NotImplementedError])
def test_what_cannot_be_built_is_not_called_damaged(monkeypatch: pytest.MonkeyPatch, kind: type[Exception]) -> None:
    def build(*_: object) -> None:
        raise kind("no such layer")

    monkeypatch.setattr("stages.models.load._build", build)
    with pytest.raises(UserError, match=r"transformers cannot build .*: no such layer"):
        load()


@pytest.mark.parametrize("part", ["encoder", "decoder"])
@pytest.mark.parametrize(
    ("maker", "stack", "parts"),
    [
        (transformers.BartForConditionalGeneration, "decoder", ["decoder"]),
        (transformers.BartForConditionalGeneration, "encoder", ["encoder", "decoder"]),
        (transformers.TrOCRForCausalLM, "decoder", ["encoder", "decoder"]),
    ],
)
def test_the_part_that_is_used_must_be_whole(tmp_path: Path, maker: type, stack: str, parts: list, part: str) -> None:
    """A decoder takes its encoder along; a type that is known only with a head has its part inside."""
    saved(maker(tiny_config(maker.config_class, {"vocab_size": 6144})), tmp_path)
    key = f"model.{stack}.layers.1.self_attn.k_proj."
    whole = load_file(tmp_path / "model.safetensors")
    for change, said in (("weight", "no weights for "), ("weight_scale", "no place in the model: ")):
        tensors = {**whole, f"{key}{change}": torch.ones(1)}
        if change == "weight":
            del tensors[f"{key}weight"]
        save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
        told = pytest.raises(UserError, match=f"{said}[a-z.]*layers.1.self_attn.k_proj.{change}")
        with told if part in parts else nullcontext():
            load(tmp_path, part=part)


def quantise(tensors: dict[str, torch.Tensor]) -> None:
    """Store the attention's weights in eight bits, with a scale beside each."""
    for key in [key for key in tensors if "self_attn" in key]:
        scale = tensors[key].abs().max() / 448
        tensors[key] = (tensors[key] / scale).to(torch.float8_e4m3fn)
        tensors[key.replace("weight", "weight_scale_inv")] = scale.reshape(1, 1)


@pytest.mark.parametrize("method", ["fp8", "modelopt", "gptq"])
def test_quantised_weights_are_themselves_or_refused(tmp_path: Path, method: str) -> None:
    config = transformers.LlamaConfig(vocab_size=6144, hidden_size=128, intermediate_size=64, num_hidden_layers=1)
    config.num_attention_heads = config.num_key_value_heads = 4
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(config)
    changed(saved(model, tmp_path), quantise)
    block = {"weight_block_size": [128, 128]} if method == "fp8" else {"bits": 8, "group_size": 128}
    configured(tmp_path, quantization_config={"quant_method": method, **block})
    if method == "fp8":  # what transformers reads
        found = load(tmp_path).model.layers[0].self_attn.k_proj.weight
        expected = model.model.layers[0].self_attn.k_proj.weight
        assert torch.allclose(found, expected, atol=float(expected.abs().max()) / 16)
        return
    with pytest.raises(UserError, match=rf"is quantised \({method}\), and cannot be") as error:
        load(tmp_path)
    assert len(str(error.value).splitlines()) <= 2


def test_heads_and_what_is_no_weight_do_no_harm(tmp_path: Path, copy: Path) -> None:
    """Old names of normalisations, numbers of positions, a pooler, the head of a language model."""
    saved(transformers.BertForMaskedLM(tiny_config(transformers.BertConfig, {"vocab_size": 6144})), tmp_path)

    def age(tensors: dict[str, torch.Tensor]) -> None:
        for key in [key for key in tensors if "LayerNorm" in key]:
            tensors[key.replace("weight", "gamma").replace("LayerNorm.bias", "LayerNorm.beta")] = tensors.pop(key)
        tensors["bert.embeddings.position_ids"] = torch.arange(16)[None]
        tensors["cls.seq_relationship.weight"] = torch.ones(2, 64)

    assert type(load(changed(tmp_path, age)).model) is transformers.BertModel
    others = ("h.0.attn.bias", "h.0.attn.masked_bias", "v_head.weight")
    changed(copy, lambda tensors: tensors.update({f"transformer.{name}": torch.ones(1, 1, 8, 8) for name in others}))
    assert type(load(copy).model) is transformers.GPT2Model
