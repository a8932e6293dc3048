"""Capture: Q, K and V are really Q, K and V, at the right tokens, and loading says what it did."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from conftest import ROOT
from transformers import AutoTokenizer, GPT2Model, PreTrainedTokenizerBase

from stages.models import capture as capturing
from stages.models.capture import shapes
from stages.models.hooks import hooked
from stages.models.load import load, overview
from stages.models.passes import plan, ways
from stages.models.projections import find_projections
from stages.models.prompts import Prompts, tokenise
from stages.models.prove import prove
from stages.models.rotated import check_weights, weights
from stages.pipeline.errors import UserError

MINI = ROOT / "data/models/gpt2-mini"
WORDS = ["galaxy", "moon", "pear", "apple"]
LONG = "zyzzyva"  # several tokens


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(MINI)


@pytest.fixture(scope="module")
def model() -> GPT2Model:
    return load(str(MINI), "main", "pretrained", 0, "float32", "cpu").model


@pytest.fixture(scope="module")
def prompts(tokenizer: PreTrainedTokenizerBase) -> Prompts:
    return tokenise(tokenizer, WORDS, "The next word is {word}", "error")


def capture(model: GPT2Model, prompts: Prompts, multi_token: str = "error") -> dict[str, np.ndarray]:
    """Capture every position into memory."""
    projections = find_projections(model)
    into = {
        name: np.zeros(s, np.float32) for name, s in shapes(projections, len(prompts.ids), prompts.positions).items()
    }

    def write(name: str, row: int, block: np.ndarray) -> None:
        into[name][row : row + len(block)] = block

    capturing.capture(model, projections, prompts, write, range(prompts.positions), multi_token)
    return into


@pytest.fixture(scope="module")
def activations(model: GPT2Model, prompts: Prompts) -> dict[str, np.ndarray]:
    return capture(model, prompts)


def arguments(**changed) -> tuple:
    values = {"name": str(MINI), "revision": "main", "weights": "pretrained", "seed": 0, "dtype": "float32"}
    return tuple({**values, "device": "cpu", **changed}.values())


def test_prompts_are_five_tokens_with_the_word_last(prompts: Prompts) -> None:
    assert prompts.tokens[0] == ["The", "Ġnext", "Ġword", "Ġis", "Ġgalaxy"]
    assert (prompts.word_position, prompts.positions) == (4, 5)


def test_attention_recomputed_from_the_captured_tensors_is_the_blocks_own(
    model: GPT2Model, prompts: Prompts, activations: dict[str, np.ndarray]
) -> None:
    outputs = []
    handles = [
        block.attn.register_forward_hook(lambda module, inputs, output: outputs.append(output[0])) for block in model.h
    ]
    with torch.inference_mode():
        model(torch.tensor(prompts.ids))
    for handle in handles:
        handle.remove()
    heads = model.config.n_head
    for layer, block in enumerate(model.h):
        q, k, v = (
            torch.from_numpy(activations[f"attn_{layer}_{name}"]).unflatten(-1, (heads, -1)).transpose(1, 2)
            for name in "qkv"
        )
        scores = q @ k.transpose(-1, -2) / np.sqrt(q.shape[-1])
        scores = scores.masked_fill(torch.ones(5, 5).triu(1).bool(), float("-inf"))
        attended = (scores.softmax(-1) @ v).transpose(1, 2).flatten(-2)
        with torch.inference_mode():
            expected = block.attn.c_proj(attended)
        torch.testing.assert_close(expected, outputs[layer], atol=1e-5, rtol=1e-5)


def test_input_times_weight_plus_bias_is_the_projection(model: GPT2Model, activations: dict[str, np.ndarray]) -> None:
    for layer, block in enumerate(model.h):
        weight = block.attn.c_attn.weight.detach().numpy()
        bias = np.concatenate([activations[f"attn_{layer}_{name}_bias"] for name in "qkv"])
        fused = np.concatenate([activations[f"attn_{layer}_{name}"] for name in "qkv"], axis=-1)
        np.testing.assert_allclose(activations[f"attn_{layer}_x"] @ weight + bias, fused, atol=1e-5)


def test_keys_and_shapes_are_the_posts(activations: dict[str, np.ndarray], model: GPT2Model) -> None:
    width = model.config.n_embd
    assert activations["attn_0_q"].shape == (4, 5, width)
    assert {name for name in activations if name.startswith("attn_7")} == {
        "attn_7_q",
        "attn_7_k",
        "attn_7_v",
        "attn_7_x",
        "attn_7_q_bias",
        "attn_7_k_bias",
        "attn_7_v_bias",
    }


def test_hooks_leave_the_model_as_it_was(model: GPT2Model, prompts: Prompts) -> None:
    ids = torch.tensor(prompts.ids)
    with torch.inference_mode():
        before = model(ids).last_hidden_state
        with hooked(find_projections(model), lambda *caught: None):
            during = model(ids).last_hidden_state
    assert torch.equal(before, during)
    assert not any(block.attn.c_attn._forward_hooks for block in model.h)


def test_two_captures_are_identical(model: GPT2Model, prompts: Prompts, activations: dict[str, np.ndarray]) -> None:
    again = capture(model, prompts)
    assert all(np.array_equal(again[name], values) for name, values in activations.items())


@pytest.mark.parametrize("way", ["packed", "padded", "single"])
@pytest.mark.parametrize("tokens", [1, 3, 1000])
def test_no_way_of_dividing_prompts_into_passes_changes_the_numbers(
    way: str,
    tokens: int,
    model: GPT2Model,
    tokenizer: PreTrainedTokenizerBase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prompts = tokenise(tokenizer, [*WORDS, LONG], "The next word is {word} today", "mean")
    expected = capture(model, prompts, "mean")
    monkeypatch.setattr("stages.models.passes.TOKENS", tokens)
    monkeypatch.setattr(capturing, "ways", lambda *arguments: [way])
    again = capture(model, prompts, "mean")
    for name, values in expected.items():
        np.testing.assert_allclose(again[name], values, atol=1e-5, rtol=1e-4, err_msg=name)


def test_words_are_packed_behind_what_their_prompts_share(model: GPT2Model, prompts: Prompts) -> None:
    (make,) = plan(model, prompts, range(5), "packed")
    inputs = make().inputs
    assert inputs["input_ids"].shape == (1, 4 + len(prompts.ids))
    assert inputs["position_ids"].tolist() == [[0, 1, 2, 3] + [4] * len(prompts.ids)]
    seen = (inputs["attention_mask"][0, 0] == 0).sum(1).tolist()
    assert seen == [1, 2, 3, 4] + [5] * len(prompts.ids)  # a word sees what is shared, and itself


def test_packs_end_with_the_last_token_that_is_read(model: GPT2Model, tokenizer: PreTrainedTokenizerBase) -> None:
    prompts = tokenise(tokenizer, WORDS, "The next word is {word} today", "error")
    shapes = [plan(model, prompts, [*kept], "packed")[0]().inputs["input_ids"].shape for kept in ([4], [0, 4], [4, 5])]
    assert shapes == [(1, 4 + len(WORDS)), (1, 4 + len(WORDS)), (1, 4 + 2 * len(WORDS))]


def test_one_whole_prompt_is_enough_to_refuse_a_faster_way(model: GPT2Model, prompts: Prompts) -> None:
    """Further sentences are held against one; where packs leak into each other it must notice."""
    projections, last = find_projections(model), [len(prompts.ids) - 1]
    found = {name: np.zeros(shape, np.float32) for name, shape in shapes(projections, len(prompts.ids), 1).items()}

    def write(name: str, row: int, block: np.ndarray) -> None:
        found[name][row : row + len(block)] = block

    assert capturing.capture(model, projections, prompts, write, [4], "error", last) == ("packed", {})
    for name, values in capture(model, prompts).items():
        np.testing.assert_allclose(found[name], values if name.endswith("bias") else values[:, 4:], atol=1e-5)
    packed = capturing.plan

    def leak(model: GPT2Model, prompts: Prompts, positions: range, way: str) -> list:
        parts = packed(model, prompts, positions, way)
        if way != "packed":
            return parts
        part = parts[0]()
        part.inputs["attention_mask"].copy_(torch.zeros_like(part.inputs["attention_mask"]).tril())
        return [lambda: part]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(capturing, "plan", leak)
        way, refused = capturing.capture(model, projections, prompts, write, [4], "error", last)
    assert way == "padded"
    assert "differs by" in refused["packed"]


def test_the_prompt_farthest_back_in_a_pack_is_among_those_that_are_held(
    model: GPT2Model, prompts: Prompts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of packs of 3 and 1 words the last prompt stands first in its own: an error of the third must still be seen."""
    monkeypatch.setattr("stages.models.passes.TOKENS", 3)
    packs = plan(model, prompts, range(5), "packed")
    assert [len(make().tokens) for make in packs] == [3, 1]
    packed = capturing.plan

    def swap(model: GPT2Model, prompts: Prompts, positions: range, way: str) -> list:
        parts = packed(model, prompts, positions, way)
        if way == "packed":
            part = parts[0]()
            part.inputs["input_ids"][0, -1] += 1
            parts[0] = lambda: part
        return parts

    expected = capture(model, prompts)
    monkeypatch.setattr(capturing, "plan", swap)
    for name, values in capture(model, prompts).items():
        np.testing.assert_allclose(values, expected[name], atol=1e-5, err_msg=name)


@pytest.mark.parametrize(("dtype", "taken"), [("float64", False), ("float32", True)])
def test_a_way_must_be_as_exact_as_the_model_computes(
    prompts: Prompts, dtype: str, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(*arguments(dtype=dtype)).model
    packed = capturing.plan

    def nudge(model: GPT2Model, prompts: Prompts, positions: range, way: str) -> list:
        with torch.no_grad():
            model.wpe.weight.mul_(1 + 1e-7 * (way == "packed"))
        return packed(model, prompts, positions, way)

    monkeypatch.setattr(capturing, "plan", nudge)
    projections = find_projections(model)
    way, refused = capturing.capture(model, projections, prompts, lambda *_: None, [4], "error")
    assert (way == "packed", list(refused)) == (taken, [] if taken else ["packed", "padded"])


def test_packs_fit_into_the_window(model: GPT2Model, prompts: Prompts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model.config, "sliding_window", 6, raising=False)
    passes = [make() for make in plan(model, prompts, range(5), "packed")]
    assert [(part.row, part.inputs["input_ids"].shape) for part in passes] == [(0, (1, 6)), (2, (1, 6))]


def test_a_prompt_that_does_not_fit_into_the_window_is_not_packed(
    model: GPT2Model, prompts: Prompts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model.config, "sliding_window", 4, raising=False)
    assert ways(model, prompts, causal=True) == ["padded", "single"]


def test_a_word_of_several_tokens_is_refused_with_its_tokens(tokenizer: PreTrainedTokenizerBase) -> None:
    pieces = " ".join(tokenizer.tokenize(f" {LONG}"))
    with pytest.raises(UserError) as error:
        tokenise(tokenizer, ["moon", LONG, "qqxx"], "The next word is {word}", "error")
    assert f"words of several tokens: {LONG} = {pieces}; qqxx = " in str(error.value)
    assert "prompt.multi_token" in str(error.value)


def test_last_and_mean_accept_a_word_of_several_tokens(
    model: GPT2Model, tokenizer: PreTrainedTokenizerBase, activations: dict[str, np.ndarray]
) -> None:
    words = ["galaxy", LONG, "pear"]
    found = {}
    for choice in ("last", "mean"):
        prompts = tokenise(tokenizer, words, "The next word is {word}", choice)
        found[choice] = capture(model, prompts, choice)["attn_3_q"]
        # The short words are as they were, the padding of their prompts notwithstanding.
        np.testing.assert_allclose(found[choice][[0, 2]], activations["attn_3_q"][[0, 2]], atol=1e-5)
    alone = {}
    ids = tokenizer(f"The next word is {LONG}", return_tensors="pt")["input_ids"]
    with hooked(find_projections(model), lambda layer, name, t: alone.__setitem__((layer, name), t)), torch.no_grad():
        model(ids)
    own = alone[3, "q"][0, 4:].numpy()
    assert len(own) > 1
    np.testing.assert_allclose(found["last"][1, -1], own[-1], atol=1e-5)
    np.testing.assert_allclose(found["mean"][1, -1], own.mean(axis=0), atol=1e-5)


def test_text_after_the_word_has_positions_of_its_own(model: GPT2Model, tokenizer: PreTrainedTokenizerBase) -> None:
    prompts = tokenise(tokenizer, ["moon", LONG], "The {word} is next", "last")
    assert (prompts.word_position, prompts.positions) == (1, 4)
    values = capture(model, prompts, "last")["attn_0_q"]
    assert values.shape[:2] == (2, 4)
    # Before the word both prompts are the same text; at it they differ.
    np.testing.assert_allclose(values[0, 0], values[1, 0], atol=1e-6)
    assert not np.allclose(values[0, 1], values[1, 1])


@pytest.mark.parametrize(
    ("dtype", "advice"), [("float64", ""), ("float32", ""), ("float16", "; try model.dtype: float32")]
)
@pytest.mark.parametrize("word", [0, 1, 2])
def test_activations_that_are_not_finite_are_an_error_that_says_where(
    prompts: Prompts, dtype: str, advice: str, word: int
) -> None:
    broken = load(*arguments(weights="random", dtype=dtype)).model
    broken.wte.weight.data[prompts.ids[word][-1]] = float("inf")
    said = rf"^activations of layer 0 \(x\) are not finite with '{WORDS[word]}'{advice}$"
    with pytest.raises(FloatingPointError, match=said):
        capture(broken, prompts)
    with pytest.raises(FloatingPointError, match=said):
        prove(broken, find_projections(broken), prompts, word)


def test_half_precision_weights_compute_in_float32(model: GPT2Model) -> None:
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not model.training
    assert isinstance(model, GPT2Model)


def test_bfloat16_is_close_and_is_stored_as_float32(prompts: Prompts, activations: dict[str, np.ndarray]) -> None:
    half = load(*arguments(dtype="bfloat16")).model
    found = capture(half, prompts)["attn_2_v"]
    assert found.dtype == np.float32
    assert 0 < np.abs(found - activations["attn_2_v"]).mean() < 0.05 * np.abs(found).mean()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_weights_are_told_from_another_models_by_what_was_captured(prompts: Prompts, dtype: str) -> None:
    model, another = (load(*arguments(weights=chosen, dtype=dtype)).model for chosen in ("pretrained", "random"))
    captured = capture(model, prompts)
    said = r"^model\.name: the weights \({}\) are not those that were captured\nrun `dvc repro -f capture`: "
    for layer, projections in enumerate(zip(find_projections(model), find_projections(another), strict=True)):
        same, other = map(weights, projections)
        x, *qkv = (captured[f"attn_{layer}_{name}"][:, prompts.word_position] for name in "xqkv")
        unbiased = {n: values - captured[f"attn_{layer}_{n}_bias"] for n, values in zip("qkv", qkv, strict=True)}
        check_weights(same, x, unbiased)  # half precision rounds what was captured, and is no other model
        for name in "qkv":
            with pytest.raises(UserError, match=said.format(name)):
                check_weights({**same, name: other[name]}, x, unbiased)


def test_random_weights_are_seeded_and_need_no_weights_file(tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(MINI / name, tmp_path / name)
    first, again, other = (
        load(*arguments(name=str(tmp_path), weights="random", seed=seed)).model.h[0].attn.c_attn.weight
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_provenance_and_overview(model: GPT2Model) -> None:
    loaded = load(*arguments())
    expected = hashlib.sha256((MINI / "model.safetensors").read_bytes()).hexdigest()
    assert loaded.provenance["weights"] == {"model.safetensors": expected}
    assert loaded.provenance["versions"]["transformers"] == transformers.__version__
    assert (loaded.provenance["dtype"], loaded.provenance["device"]) == ("float32", "cpu")
    shape = overview(model)
    width = model.config.n_embd
    assert shape["projection"] == [width, 3 * width]
    assert shape["layers"] == model.config.n_layer
    assert shape["parameters"] == sum(p.numel() for p in model.parameters())


def test_a_model_spread_over_memory_and_disk_gives_the_same_numbers(
    prompts: Prompts, activations: dict[str, np.ndarray]
) -> None:
    loaded = load(*arguments(), device_map="auto", max_memory={"cpu": "4MB"})
    assert "disk" in loaded.model.hf_device_map.values()
    found = capture(loaded.model, prompts)
    assert found.keys() == activations.keys()
    for name, values in activations.items():
        np.testing.assert_allclose(found[name], values, atol=1e-5, err_msg=name)
