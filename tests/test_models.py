"""Capture: Q, K and V are really Q, K and V, at the right tokens, and no way of running prompts changes them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import MINI, caught, load
from transformers import AutoTokenizer, GPT2Model, PreTrainedTokenizerBase

from stages.artefacts.files import Tensors
from stages.artefacts.layers import weights_of
from stages.models import capture as capturing
from stages.models.passes import Pass, divide, make_pass, ways
from stages.models.projections import find_projections, hooked
from stages.models.prompts import Prompts, tokenise
from stages.models.prove import prove
from stages.statistics.projections import mismatched

WORDS = ["galaxy", "moon", "pear", "apple"]
LONG = "zyzzyva"  # several tokens
TEMPLATE = "The next word is {word}"
Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(MINI)


@pytest.fixture(scope="module")
def model() -> GPT2Model:
    return load().model


@pytest.fixture(scope="module")
def prompts(tokenizer: PreTrainedTokenizerBase) -> Prompts:
    return tokenise(tokenizer, WORDS, TEMPLATE, "error")


def capture(model: GPT2Model, prompts: Prompts) -> Arrays:
    return caught(model, find_projections(model), prompts)[0]


@pytest.fixture(scope="module")
def activations(model: GPT2Model, prompts: Prompts) -> Arrays:
    return capture(model, prompts)


def assert_close(found: Arrays, expected: Arrays) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-5, rtol=1e-4, err_msg=name)


def test_recomputed_attention_is_the_blocks_own(model: GPT2Model, prompts: Prompts, activations: Arrays) -> None:
    of_layer = {name.removeprefix("attn_7_") for name in activations if name.startswith("attn_7")}
    assert of_layer == {"q", "k", "v", "x", "q_bias", "k_bias", "v_bias"}
    outputs, heads = [], model.config.n_head
    handles = [block.attn.register_forward_hook(lambda m, i, output: outputs.append(output[0])) for block in model.h]
    with torch.inference_mode():
        model(torch.tensor(prompts.ids))
    for handle in handles:
        handle.remove()
    for layer, block in enumerate(model.h):
        q, k, v = (
            torch.from_numpy(activations[f"attn_{layer}_{name}"]).float().unflatten(-1, (heads, -1)).transpose(1, 2)
            for name in "qkv"
        )
        scores = q @ k.transpose(-1, -2) / np.sqrt(q.shape[-1])
        scores = scores.masked_fill(torch.ones(5, 5).triu(1).bool(), float("-inf"))
        attended = (scores.softmax(-1) @ v).transpose(1, 2).flatten(-2)
        with torch.inference_mode():
            expected = block.attn.c_proj(attended)
        torch.testing.assert_close(expected, outputs[layer], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("way", ["packed", "padded", "single"])
@pytest.mark.parametrize("tokens", [1, 3, 1000])
def test_no_way_of_dividing_prompts_into_passes_changes_the_numbers(
    way: str, tokens: int, model: GPT2Model, tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = tokenise(tokenizer, [*WORDS, LONG], "The next word is {word} today", "mean")
    expected = capture(model, prompts)
    monkeypatch.setattr("stages.models.passes.TOKENS", tokens)
    monkeypatch.setattr(capturing, "ways", lambda *arguments: [way])
    assert_close(capture(model, prompts), expected)


def test_packs_end_with_what_is_read_and_fit_into_a_sliding_window(
    model: GPT2Model, tokenizer: PreTrainedTokenizerBase, prompts: Prompts, monkeypatch: pytest.MonkeyPatch
) -> None:
    longer = tokenise(tokenizer, WORDS, "The next word is {word} today", "error")
    for kept, own in (([4], 4), ([0, 4], 4), ([4, 5], 8)):  # up to the last token that is read
        assert make_pass(model, longer, kept, "packed", range(4)).inputs["input_ids"].shape == (1, 4 + own)
    monkeypatch.setattr(model.config, "sliding_window", 6, raising=False)
    assert divide(model, prompts, "packed") == [range(2), range(2, 4)]
    monkeypatch.setattr(model.config, "sliding_window", 4)
    assert ways(model, prompts, causal=True) == ["padded", "single"]


def spoil(monkeypatch: pytest.MonkeyPatch, change: Callable[[Pass], None]) -> None:
    """Change every packed pass."""

    def spoiled(model: GPT2Model, prompts: Prompts, positions: range, way: str, rows: range) -> Pass:
        part = make_pass(model, prompts, positions, way, rows)
        if way == "packed":
            change(part)
        return part

    monkeypatch.setattr(capturing, "make_pass", spoiled)


def test_one_whole_prompt_is_enough_to_refuse_a_faster_way(
    model: GPT2Model, prompts: Prompts, activations: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Further sentences are checked on one; where packs leak into each other it must notice."""
    arguments = model, find_projections(model), prompts, [4], [len(prompts.ids) - 1]
    found, way, refused = caught(*arguments)
    assert (way, refused) == ("packed", {})
    assert_close(found, {n: values if n.endswith("bias") else values[:, 4:] for n, values in activations.items()})
    spoil(monkeypatch, lambda part: part.inputs["attention_mask"].copy_(torch.ones(8, 8).triu(1) * -1e9))
    _, way, refused = caught(*arguments)
    assert way == "padded"
    assert "differs by" in refused["packed"]


def test_the_prompt_farthest_back_in_a_pack_is_among_those_that_are_held(
    model: GPT2Model, prompts: Prompts, activations: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of packs of 3 and 1 words the last prompt stands first in its own: an error of the third must still be seen."""
    monkeypatch.setattr("stages.models.passes.TOKENS", 3)
    assert divide(model, prompts, "packed") == [range(3), range(3, 4)]

    def swap(part: Pass) -> None:
        part.inputs["input_ids"][0, -1] += part.row == 0

    spoil(monkeypatch, swap)
    assert_close(capture(model, prompts), activations)


@pytest.mark.parametrize(("dtype", "taken"), [("float64", "padded"), ("float32", "packed")])
def test_a_way_must_be_as_exact_as_the_model_computes(
    prompts: Prompts, dtype: str, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(dtype=dtype).model
    spoil(monkeypatch, lambda part: part.inputs["attention_mask"][..., 0].add_(1e-6))
    assert caught(model, find_projections(model), prompts, [4])[1] == taken


def test_last_accepts_a_word_of_several_tokens(model: GPT2Model, tokenizer: PreTrainedTokenizerBase) -> None:
    ids = tokenizer(f"The next word is {LONG}", return_tensors="pt")["input_ids"]
    alone = {}
    with hooked(find_projections(model), lambda layer, name, t: alone.__setitem__((layer, name), t)), torch.no_grad():
        model(ids)
    assert ids.shape[1] > 5
    found = capture(model, tokenise(tokenizer, ["galaxy", LONG, "pear"], TEMPLATE, "last"))["attn_3_q"]
    np.testing.assert_allclose(found[1, -1], alone[3, "q"][0, -1], atol=1e-5)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("word", [0, 1, 2])
def test_an_error_says_where_activations_are_not_finite(prompts: Prompts, dtype: str, word: int) -> None:
    broken = load(weights="random", dtype=dtype).model
    broken.wte.weight.data[prompts.ids[word][-1]] = float("inf")
    advice = "; try model.dtype: float32" if dtype == "float16" else ""
    said = rf"^activations of layer 0 \(x\) are not finite with '{WORDS[word]}'{advice}$"
    with pytest.raises(FloatingPointError, match=said):
        capture(broken, prompts)
    with pytest.raises(FloatingPointError, match=said):
        prove(broken, find_projections(broken), prompts, word)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_kept_weights_are_those_that_were_used(prompts: Prompts, dtype: str, tmp_path: Path) -> None:
    """What was captured is x W and the bias; with other weights it is not."""
    kept = []
    for weights in ("pretrained", "random"):
        projections = find_projections(load(weights=weights, dtype=dtype).model)
        capturing.write_weights(tmp_path / weights, projections)
        kept.append(weights_of(Tensors(tmp_path / weights), [some.layer for some in projections]))
    captured = capture(load(dtype=dtype).model, prompts)
    for layer, (same, other) in enumerate(zip(*kept, strict=True)):
        assert {weights.dtype for weights in same.values()} == {np.dtype("f8" if dtype == "float64" else "f4")}
        x, *qkv = (captured[f"attn_{layer}_{name}"][:, prompts.word_position] for name in "xqkv")
        unbiased = {n: values - captured[f"attn_{layer}_{n}_bias"] for n, values in zip("qkv", qkv, strict=True)}
        assert mismatched(same, x, unbiased) == []  # half precision rounds what was captured
        for name in "qkv":
            assert mismatched({**same, name: other[name]}, x, unbiased) == [name]


def test_a_model_spread_over_memory_and_disk_gives_the_same_numbers(prompts: Prompts, activations: Arrays) -> None:
    model = load(device_map="auto", max_memory={"cpu": "4MB"}).model
    assert "disk" in model.hf_device_map.values()
    assert_close(capture(model, prompts), activations)
    weights = [[some.weights() for some in find_projections(m)] for m in (model, load().model)]
    for here, there in zip(*weights, strict=True):
        assert all(torch.equal(here[name], there[name]) for name in "qkv")
