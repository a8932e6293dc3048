"""Models in .gguf files: the same tensors as from a folder with the same weights, and no wrong numbers in silence."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from conftest import ROOT, InProcess
from safetensors.numpy import load_file
from tiny_models import build, load, saved
from transformers import AutoTokenizer, PreTrainedModel

from stages.pipeline.errors import UserError

MINI = ROOT / "data/models/gpt2-mini"
SIZES = {"vocab_size": 6144, "num_hidden_layers": 2}
#: Exact in single precision, and of blocks of 32 weights, which are quantised together.
EXACT = {
    "llama": {"intermediate_size": 96, "rope_theta": 5e4, "rms_norm_eps": 2**-10},
    "gpt2": {"layer_norm_epsilon": 2**-10},
}
Q8 = gguf.GGMLQuantizationType.Q8_0


def make(name: str) -> PreTrainedModel:
    return build(name, **SIZES, **EXACT[name])


def permute(weight: np.ndarray, heads: int) -> np.ndarray:
    """Reorder the units of a head into llama.cpp's order: the two halves, which are rotated together, in turn."""
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def gguf_tensors(model: PreTrainedModel) -> dict[str, np.ndarray]:
    """Name and arrange a model's weights as llama.cpp's converter does."""
    config, name = model.config, model.config.model_type
    names = gguf.get_tensor_name_map({"llama": gguf.MODEL_ARCH.LLAMA, "gpt2": gguf.MODEL_ARCH.GPT2}[name], 2)
    found = {}
    for key, tensor in model.state_dict().items():
        stem, suffix = key.rsplit(".", 1)
        array = tensor.numpy()
        if "q_proj" in key:
            array = permute(array, config.num_attention_heads)
        if "k_proj" in key:
            array = permute(array, config.num_key_value_heads)
        if name == "gpt2" and ".c_" in key and suffix == "weight":
            array = array.T
        found[f"{names.get_name(stem)}.{suffix}"] = np.ascontiguousarray(array)
    return found


def write(model: PreTrainedModel, path: Path, quantise: bool, add: Callable[[gguf.GGUFWriter], None] | None) -> None:
    config, name = model.config, model.config.model_type
    writer = gguf.GGUFWriter(path, name)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_feed_forward_length(getattr(config, "intermediate_size", 4 * config.hidden_size))
    if name == "llama":
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
        writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
        writer.add_vocab_size(config.vocab_size)
    else:
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    made = json.loads((MINI / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(sorted(made["vocab"], key=made["vocab"].get))
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in made["merges"]])
    for key, array in gguf_tensors(model).items():
        if quantise and array.ndim == 2:
            writer.add_tensor(key, gguf.quants.quantize(array, Q8), raw_dtype=Q8)
        else:
            writer.add_tensor(key, array)
    writer.add_tensor("output.weight", model.get_input_embeddings().weight.detach().numpy())
    if add:
        add(writer)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()


def make_both(folder: Path, name: str, quantise: bool = False, add: Callable | None = None) -> Path:
    """Write a model to a folder and to a file; where weights are quantised the folder holds what is left of them."""
    model = make(name)
    write(model, folder / f"{name}.gguf", quantise, add)
    if quantise:
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if parameter.ndim == 2:
                    turned = name == "gpt2" and ".c_" in key
                    array = (parameter.T if turned else parameter).numpy().copy()
                    array = gguf.quants.dequantize(gguf.quants.quantize(array, Q8), Q8)
                    parameter.copy_(torch.from_numpy(array.T if turned else array))
    saved(model, folder / name)
    return folder / f"{name}.gguf"


@pytest.mark.parametrize("name", ["llama", "gpt2"])
@pytest.mark.parametrize("quantise", [False, True])
def test_a_file_gives_the_tensors_of_the_folder_with_the_same_weights(
    tiny_stage: InProcess, name: str, quantise: bool
) -> None:
    """Queries and keys above all: llama.cpp stores theirs in another order, which transformers must undo."""
    root = tiny_stage.project.root
    file = make_both(root / "data/models", name, quantise)
    found = []
    for chosen in (f"data/models/{name}/", f"data/models/{name}.gguf"):
        tiny_stage.project.set(model__name=chosen, model__weights="pretrained")
        assert tiny_stage.run("capture") == (0, "")
        record = json.loads((root / "data/capture.json").read_text(encoding="utf-8"))
        assert record["model"] == chosen.rstrip("/")
        found.append({**load_file(root / "data/activations.safetensors"), "ids": np.array(record["token_ids"])})
    assert record["weights"] == {file.name: hashlib.sha256(file.read_bytes()).hexdigest()}
    assert record["quantisation"] == ("Q8_0" if quantise else "F32")
    assert record["versions"]["gguf"] == "0.19.0"
    assert record["dtype"] == "float64"
    folder, from_file = found
    assert folder.keys() == from_file.keys()
    for key, values in folder.items():
        np.testing.assert_allclose(from_file[key], values, rtol=1e-6, atol=1e-12, err_msg=key)


def refused(file: Path) -> str:
    with pytest.raises(UserError, match=r"^model\.name: ") as error:
        load(file)
    assert len(str(error.value).splitlines()) <= 2
    return str(error.value)


def test_a_file_that_is_cut_short_something_else_or_not_there(tmp_path: Path) -> None:
    assert "there is no file" in refused(tmp_path / "none.gguf")
    file = make_both(tmp_path, "llama")
    whole = file.read_bytes()
    parts = [whole[:kept] for kept in (0, 3, 10, 200, 5_000, 100_000, -100, -20_000)]
    for content in (*parts, b"plain words, no model at all"):
        file.write_bytes(content)
        assert "llama.gguf cannot be loaded, it is cut short or damaged: " in refused(file), len(content)
    file.write_bytes(whole.replace(b"llama", b"plamo"))  # an architecture that transformers cannot read
    assert "transformers cannot build" in (said := refused(file))
    assert "plamo is not supported" in said


@pytest.mark.parametrize(
    ("add", "named"),
    [
        *(
            (lambda w, n=n: w.add_tensor(n, np.ones(64, np.float32)), n)
            for n in ("rope_freqs.weight", "blk.1.attn_q.bias", "blk.2.attn_norm.weight")
        ),
        (lambda writer: writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR), "rope.scaling.type linear"),
    ],
)
def test_what_transformers_would_leave_out_is_refused(tmp_path: Path, add: Callable, named: str) -> None:
    """Scaled rotary embedding, a bias, a layer: the model would run, and give other numbers."""
    said = refused(make_both(tmp_path, "llama", add=add))
    assert f"holds what transformers does not read from such files: {named}\n" in said


def test_queries_that_would_stay_in_another_order_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old files do not say how many heads keys have: transformers then leaves llama.cpp's order."""
    monkeypatch.setattr(gguf.GGUFWriter, "add_head_count_kv", lambda *_: None)
    assert "does not read from such files: queries and keys without" in refused(make_both(tmp_path, "llama"))


def test_the_untrained_twin_of_a_file_and_the_tokenizer_inside_it(tmp_path: Path) -> None:
    file = make_both(tmp_path, "gpt2")
    loaded, text = load(file, weights="random"), "The next word is galaxy, or zyzzyva."
    assert loaded.provenance["weights"] == "random, seed 0"
    assert not torch.equal(loaded.model.wte.weight.float(), make("gpt2").wte.weight)
    assert loaded.tokenizer(text)["input_ids"] == AutoTokenizer.from_pretrained(MINI)(text)["input_ids"]
