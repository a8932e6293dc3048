"""Every architecture: a tiny random model, captured, against its own plain forward pass and its own attention."""

import numpy as np
import pytest
import torch
from conftest import ROOT
from tiny_models import build, caught
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from stages.models.passes import divide, make_pass, ways
from stages.models.projections import find_projections, overview
from stages.models.prompts import tokenise
from stages.models.prove import prove

WORDS = ["galaxy", "moon", "zyzzyva", "pear", "apple"]
GROUPED = {"num_key_value_heads": 2}
#: A case → the architecture, and what of its configuration is not as usual.
CASES: dict[str, tuple[str, dict]] = {
    **{name: (name, {}) for name in ("gpt2", "gpt_neox", "bloom", "opt", "gptj", "gpt_neo")},
    **{name: (name, {}) for name in ("bert", "roberta", "distilbert", "modernbert")},
    **{name: (name, GROUPED) for name in ("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text")},
    **{name: (name, GROUPED) for name in ("olmo2", "phi", "phi3")},
    "gpt_bigcode, multi-query": ("gpt_bigcode", {}),
    "gpt_bigcode, all heads": ("gpt_bigcode", {"multi_query": False}),
    "falcon, multi-query": ("falcon", {}),
    "falcon, all heads": ("falcon", {"multi_query": False}),
    "falcon, grouped": ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
}
#: Those in which a token sees what follows it.
ENCODERS = {"bert", "roberta", "distilbert", "modernbert"}


@pytest.fixture(scope="module")
def tokenizers() -> dict[bool, PreTrainedTokenizerFast]:
    """The embedded model's tokenizer, by whether the model is causal: encoders put [CLS] and [SEP] around the text."""
    plain, framed = (Tokenizer.from_file(str(ROOT / "data/models/gpt2-mini/tokenizer.json")) for _ in range(2))
    framed.add_special_tokens(["[CLS]", "[SEP]"])
    ids = [(name, framed.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    framed.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ids)
    return {
        True: PreTrainedTokenizerFast(tokenizer_object=plain),
        False: PreTrainedTokenizerFast(tokenizer_object=framed, cls_token="[CLS]", sep_token="[SEP]"),
    }


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tokenizers: dict[bool, PreTrainedTokenizerFast]) -> tuple:
    """Return a case's name, its model, projections, prompts and what is caught."""
    name, overrides = CASES[request.param]
    model = build(name, vocab_size=6146, **overrides)
    projections, tokenizer = find_projections(model), tokenizers[request.param not in ENCODERS]
    prompts = tokenise(tokenizer, WORDS, "The next word is {word} today", "mean")
    return request.param, model, projections, prompts, caught(model, projections, prompts)[0]


@pytest.mark.parametrize("kept", [[1, 4], [0], [4], [2, 5], [1, 4, 5]])
def test_fewer_positions_are_those_of_all(case: tuple, kept: list[int]) -> None:
    """Before the word, the word itself, behind it: each alone and together."""
    _, *model, captured = case
    some, *_ = caught(*model, kept)
    assert set(some) == set(captured)
    for name, values in captured.items():
        expected = values if name.endswith("bias") else values[:, kept]
        scale = max(1, np.abs(values).max())  # of float32: the last digit of the largest
        np.testing.assert_allclose(some[name], expected, rtol=0, atol=1e-6 * scale, err_msg=name)


def test_captured_is_that_of_whole_prompts_one_by_one(case: tuple) -> None:
    """No shared prefix, no batch, no padding, no early end: hooks of the test's own on a plain forward pass."""
    _, model, projections, prompts, captured = case
    assert set(prove(model, projections, prompts, 2)) == {"q", "k", "v"}  # what the attention gets
    for word, ids in enumerate(prompts.ids):
        outputs: dict = {}
        handles = [
            module.register_forward_hook(lambda m, i, o, at=(layer, name), to=outputs: to.update({at: (i[0][0], o[0])}))
            for layer, projection in enumerate(projections)
            for name, module in projection.modules.items()
        ]
        with torch.inference_mode():
            model(torch.tensor([ids]))
        for handle in handles:
            handle.remove()
        for (layer, name), (x, output) in outputs.items():
            for part, values in {**projections[layer].split(name, output), "x": x}.items():
                span = prompts.words[word]
                rows = [*values[prompts.before], values[span.start : span.stop].mean(0), *values[prompts.after]]
                found = captured[f"attn_{layer}_{part}"][word]
                np.testing.assert_allclose(found, torch.stack(rows).numpy(), atol=1e-5, rtol=1e-4)
        for layer, projection in enumerate(projections):
            for part, matrix in projection.weights().items():
                made = captured[f"attn_{layer}_x"] @ matrix.numpy() + captured.get(f"attn_{layer}_{part}_bias", 0)
                np.testing.assert_allclose(made, captured[f"attn_{layer}_{part}"], atol=1e-5, rtol=1e-4)


def test_what_prompts_share_runs_once(case: tuple) -> None:
    """In one sequence with all words; encoders share nothing, and where positions go by place nothing is packed."""
    name, model, _, prompts, _ = case
    way = ways(model, prompts, name not in ENCODERS)[0]
    (rows,) = divide(model, prompts, way)
    size = make_pass(model, prompts, range(5), way, rows).inputs["input_ids"].shape
    lengths = [len(ids) for ids in prompts.ids]
    own = sum(length - 5 for length in lengths)  # the last token, behind the word, is not read
    assert size == ((len(WORDS), max(lengths)) if name in {*ENCODERS, "bloom"} else (1, 4 + own))


def test_falcon_with_alibi_is_not_packed(tokenizers: dict[bool, PreTrainedTokenizerFast]) -> None:
    prompts = tokenise(tokenizers[True], WORDS, "The next word is {word}", "last")
    assert ways(build("falcon", alibi=True), prompts, causal=True) == ["padded", "single"]


@pytest.mark.parametrize(
    ("name", "kv_heads"),
    [("gpt2", 4), ("gpt_bigcode, multi-query", 1), ("falcon, multi-query", 1), ("falcon, grouped", 2), ("llama", 2)],
)
def test_heads_units_and_parameters_are_counted(name: str, kv_heads: int) -> None:
    model_type, overrides = CASES[name]
    model = build(model_type, **overrides)
    shape = overview(model, find_projections(model))
    assert (shape["heads"], shape["key_value_heads"]) == (4, kv_heads)
    assert shape["projection_widths"] == {"q": 64, "k": 16 * kv_heads, "v": 16 * kv_heads}
    assert shape["projection"] == [64, 64 + 32 * kv_heads]
    assert (shape["layers"], shape["parameters"]) == (4, sum(values.numel() for values in model.parameters()))


def test_tokens_around_an_encoders_text_take_no_position(tokenizers: dict[bool, PreTrainedTokenizerFast]) -> None:
    prompts = tokenise(tokenizers[False], WORDS[:2], "The next word is {word}", "error")
    assert prompts.tokens[0] == ["[CLS]", "The", "Ġnext", "Ġword", "Ġis", "Ġgalaxy", "[SEP]"]
    assert (prompts.positions, prompts.word_position) == (5, 4)
    assert make_pass(None, prompts, range(5), "padded", range(1)).tokens.tolist() == [[1, 2, 3, 4, 5]]
