"""Every architecture: a tiny random model, captured, against its own plain forward pass and its own attention."""

import json
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT, InProcess
from safetensors.numpy import load_file
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from stages.models.capture import capture, shapes
from stages.models.load import overview
from stages.models.passes import plan, ways
from stages.models.projections import find_projections
from stages.models.prompts import Prompts, tokenise

WORDS = ["galaxy", "moon", "zyzzyva", "pear", "apple"]
SIZES = {
    "vocab_size": 6146,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "pad_token_id": 0,
}
GROUPED = {**SIZES, "num_key_value_heads": 2}

#: A case → the architecture, its configuration, and which of q, k, v reach the attention function just as projected:
#: everywhere, and at the first token, where rotary embedding turns by nothing.
CASES: dict[str, tuple[str, dict, str, str]] = {
    "gpt2": ("gpt2", SIZES, "qkv", "qkv"),
    "gpt_bigcode, multi-query": ("gpt_bigcode", SIZES, "qkv", "qkv"),
    "gpt_bigcode, all heads": ("gpt_bigcode", {**SIZES, "multi_query": False}, "qkv", "qkv"),
    "gpt_neox": ("gpt_neox", SIZES, "v", "qkv"),
    "bloom": ("bloom", {**SIZES, "n_head": 4, "n_layer": 2}, "qkv", "qkv"),
    "falcon, multi-query": ("falcon", SIZES, "v", "qkv"),
    "falcon, all heads": ("falcon", {**SIZES, "multi_query": False}, "v", "qkv"),
    "falcon, grouped": ("falcon", {**SIZES, "new_decoder_architecture": True, "num_kv_heads": 2}, "v", "qkv"),
    "opt": ("opt", {**SIZES, "ffn_dim": 48, "word_embed_proj_dim": 32}, "kv", "kv"),
    "gptj": ("gptj", {**SIZES, "rotary_dim": 4}, "v", "qkv"),
    "gpt_neo": ("gpt_neo", {**SIZES, "num_layers": 2, "attention_types": [[["global", "local"], 1]]}, "qkv", "qkv"),
    "llama": ("llama", GROUPED, "v", "qkv"),
    "mistral": ("mistral", GROUPED, "v", "qkv"),
    "qwen2": ("qwen2", GROUPED, "v", "qkv"),
    "qwen3": ("qwen3", {**GROUPED, "head_dim": 8}, "v", "v"),
    "gemma2": ("gemma2", {**GROUPED, "head_dim": 8, "attn_logit_softcapping": None}, "v", "qkv"),
    "gemma3_text": ("gemma3_text", {**GROUPED, "head_dim": 8}, "v", "v"),
    "olmo2": ("olmo2", GROUPED, "v", "v"),
    "phi": ("phi", GROUPED, "v", "qkv"),
    "phi3": ("phi3", GROUPED, "v", "qkv"),
    "bert": ("bert", SIZES, "qkv", "qkv"),
    "roberta": ("roberta", SIZES, "qkv", "qkv"),
    "distilbert": ("distilbert", {**SIZES, "dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 4}, "qkv", "qkv"),
    "modernbert": ("modernbert", SIZES, "v", "qkv"),
}
#: Architectures that divide heads in a method of their own rather than hand them to transformers' attention function.
OWN_METHOD = {"bloom": "_reshape", "falcon": "_split_heads", "gptj": "_attn", "gpt_neo": "_attn"}


#: Those in which a token sees what follows it.
ENCODERS = {"bert", "roberta", "distilbert", "modernbert"}


def is_causal(case: str) -> bool:
    return CASES[case][0] not in ENCODERS


def build(case: str) -> nn.Module:
    name, sizes, _, _ = CASES[case]
    torch.manual_seed(0)
    config = AutoConfig.for_model(name, **sizes)
    model = AutoModel.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # biases start at zero: an error in them would not show
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


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


def run(
    model: nn.Module, prompts: Prompts, multi_token: str = "last", kept: Sequence[int] | None = None
) -> dict[str, np.ndarray]:
    projections = find_projections(model)
    positions = range(prompts.positions) if kept is None else kept
    sizes = shapes(projections, len(prompts.ids), len(positions))
    into = {name: np.full(shape, np.nan, np.float32) for name, shape in sizes.items()}

    def write(name: str, row: int, block: np.ndarray) -> None:
        into[name][row : row + len(block)] = block

    capture(model, projections, prompts, write, positions, multi_token)
    return into


def handed_to_attention(model: nn.Module, case: str, ids: list[int]) -> list[dict[str, torch.Tensor]]:
    """Run one whole prompt and intercept q, k and v of every layer as the attention gets them: (heads, tokens, dim)."""
    caught: list[dict[str, torch.Tensor]] = []
    method = OWN_METHOD.get(CASES[case][0])
    if method is None:

        def probe(module, query, key, value, mask, **kwargs):
            caught.append(dict(zip("qkv", (query[0], key[0], value[0]), strict=True)))
            return sdpa_attention_forward(module, query, key, value, mask, **kwargs)

        ALL_ATTENTION_FUNCTIONS.register("probe", probe)
        ALL_MASK_ATTENTION_FUNCTIONS.register("probe", sdpa_mask)
        model.set_attn_implementation("probe")
    else:
        for module in model.modules():
            if hasattr(module, method) and type(module).__name__.endswith(("Attention", "SelfAttention")):
                watch(module, method, caught)
    with torch.inference_mode():
        model(torch.tensor([ids]))
    return caught


def watch(module: nn.Module, method: str, caught: list) -> None:
    original: Callable = getattr(module, method)

    def watching(*arguments, **kwargs):
        result = original(*arguments, **kwargs)
        parts = [part[0] for part in (arguments[:3] if method == "_attn" else result)]
        if method == "_split_heads":  # (tokens, heads, dim)
            parts = [part.transpose(0, 1) for part in parts]
        caught.append(dict(zip("qkv", parts, strict=True)))
        return result

    setattr(module, method, watching)


@pytest.mark.parametrize("case", CASES)
def test_captured_is_what_the_attention_gets(case: str, tokenizers: dict[bool, PreTrainedTokenizerFast]) -> None:
    model = build(case)
    causal = is_causal(case)
    prompts = tokenise(tokenizers[causal], WORDS, "The next word is {word} today", "last")
    captured = run(model, prompts)
    head_dim = find_projections(model)[0].widths["q"] // find_projections(model)[0].heads
    handed = handed_to_attention(model, case, prompts.ids[0])
    assert len(handed) == model.config.get_text_config().num_hidden_layers
    sources = prompts.sources()[0]
    everywhere, at_first = CASES[case][2:]
    for layer, tensors in enumerate(handed):
        for name, values in tensors.items():
            # Heads that are shared may have been repeated for their queries by now.
            repeats = values.shape[0] * head_dim // captured[f"attn_{layer}_{name}"].shape[-1]
            found = values[::repeats].transpose(0, 1).flatten(1)[sources].numpy()
            expected = captured[f"attn_{layer}_{name}"][0]
            if name in everywhere:
                np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=f"{name} of layer {layer}")
            if name in at_first and causal:
                np.testing.assert_allclose(found[0], expected[0], atol=1e-5, err_msg=f"{name} of layer {layer}")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kept", [[1, 4], [0], [4], [2, 5], [1, 4, 5]])
def test_fewer_positions_are_those_of_all(
    case: str, kept: list[int], tokenizers: dict[bool, PreTrainedTokenizerFast]
) -> None:
    """Before the word, the word itself, behind it: each alone and together."""
    model = build(case)
    prompts = tokenise(tokenizers[is_causal(case)], WORDS, "The next word is {word} today", "mean")
    every, some = run(model, prompts, "mean"), run(model, prompts, "mean", kept)
    assert set(some) == set(every)
    for name, values in every.items():
        expected = values if name.endswith("bias") else values[:, kept]
        scale = max(1, np.abs(every[name]).max())  # of float32: the last digit of the largest
        np.testing.assert_allclose(some[name], expected, rtol=0, atol=1e-6 * scale, err_msg=name)


@pytest.mark.parametrize("case", CASES)
def test_captured_is_that_of_whole_prompts_one_by_one(
    case: str, tokenizers: dict[bool, PreTrainedTokenizerFast]
) -> None:
    """No shared prefix, no batch, no padding, no early end: hooks of the test's own on a plain forward pass."""
    model = build(case)
    prompts = tokenise(tokenizers[is_causal(case)], WORDS, "The next word is {word} today", "mean")
    captured = run(model, prompts, "mean")
    assert all(np.isfinite(values).all() for values in captured.values())
    projections = find_projections(model)
    for word, ids in enumerate(prompts.ids):
        outputs: dict = {}
        handles = [
            module.register_forward_hook(
                lambda m, i, o, key=(layer, name), to=outputs: to.__setitem__(key, (i[0][0], o[0]))
            )
            for layer, projection in enumerate(projections)
            for name, module in projection.modules.items()
        ]
        with torch.inference_mode():
            model(torch.tensor([ids]))
        for handle in handles:
            handle.remove()
        for (layer, name), (x, output) in outputs.items():
            parts = {**projections[layer].split(name, output), "x": x}
            for part, values in parts.items():
                span = prompts.words[word]
                rows = [*values[prompts.before], values[span.start : span.stop].mean(0), *values[prompts.after]]
                found = captured[f"attn_{layer}_{part}"][word]
                np.testing.assert_allclose(found, torch.stack(rows).numpy(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_weights_times_input_plus_bias_is_the_projection(
    case: str, tokenizers: dict[bool, PreTrainedTokenizerFast]
) -> None:
    model = build(case)
    prompts = tokenise(tokenizers[is_causal(case)], WORDS[:2], "The next word is {word}", "last")
    captured = run(model, prompts)
    for layer, projection in enumerate(find_projections(model)):
        for name, module in projection.modules.items():
            weight = module.weight.detach() if hasattr(module, "nf") else module.weight.detach().T
            for part, columns in projection.split(name, weight).items():
                bias = captured.get(f"attn_{layer}_{part}_bias", np.zeros(projection.widths[part]))
                product = captured[f"attn_{layer}_x"] @ columns.numpy() + bias
                np.testing.assert_allclose(product, captured[f"attn_{layer}_{part}"], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_what_prompts_share_runs_once(case: str, tokenizers: dict[bool, PreTrainedTokenizerFast]) -> None:
    """In one sequence with all words; encoders share nothing, and where positions go by place nothing is packed."""
    model = build(case)
    causal = is_causal(case)
    prompts = tokenise(tokenizers[causal], WORDS, "The next word is {word}", "last")
    sizes = [
        make().inputs["input_ids"].shape for make in plan(model, prompts, range(5), ways(model, prompts, causal)[0])
    ]
    own = [len(ids) - 4 for ids in prompts.ids]
    longest = max(own)
    if not causal or case == "bloom":
        assert sizes == [(len(WORDS), 4 + longest)]
    else:
        assert sizes == [(1, 4 + sum(own))]


def test_falcon_with_alibi_is_not_packed(tokenizers: dict[bool, PreTrainedTokenizerFast]) -> None:
    config = AutoConfig.for_model("falcon", **SIZES, alibi=True)
    prompts = tokenise(tokenizers[True], WORDS, "The next word is {word}", "last")
    assert ways(AutoModel.from_config(config), prompts, causal=True) == ["padded", "single"]


@pytest.mark.parametrize(
    ("case", "kv_heads"),
    [("gpt2", 4), ("gpt_bigcode, multi-query", 1), ("falcon, multi-query", 1), ("falcon, grouped", 2), ("llama", 2)],
)
def test_key_and_value_heads_are_counted(case: str, kv_heads: int) -> None:
    shape = overview(build(case))
    assert (shape["heads"], shape["key_value_heads"]) == (4, kv_heads)
    assert shape["projection_widths"] == {"q": 32, "k": 8 * kv_heads, "v": 8 * kv_heads}


def test_tokens_around_an_encoders_text_take_no_position(tokenizers: dict[bool, PreTrainedTokenizerFast]) -> None:
    prompts = tokenise(tokenizers[False], WORDS[:2], "The next word is {word}", "error")
    assert prompts.tokens[0] == ["[CLS]", "The", "Ġnext", "Ġword", "Ġis", "Ġgalaxy", "[SEP]"]
    assert (prompts.positions, prompts.word_position) == (5, 4)
    assert prompts.sources().tolist() == [[1, 2, 3, 4, 5]] * 2


def test_an_encoders_context_token_differs_from_word_to_word(tokenizers: dict[bool, PreTrainedTokenizerFast]) -> None:
    captured = run(build("bert"), tokenise(tokenizers[False], WORDS[:2], "The next word is {word}", "error"))
    assert not np.allclose(captured["attn_1_q"][0, 1], captured["attn_1_q"][1, 1])


def test_the_whole_pipeline_on_grouped_query_attention(tiny_stage: InProcess, draw_only: Callable[..., None]) -> None:
    """K and V are narrower than Q: each query head is paired with the key and value head that it attends with."""
    project = tiny_stage.project
    draw_only()
    folder = project.root / "data/models/tiny"
    (folder / "config.json").unlink()
    AutoConfig.for_model("llama", **GROUPED).save_pretrained(folder)
    project.set(similarity__metric="correlation")
    tiny_stage.run_all()
    captured, context = (load_file(project.root / f"data/{name}.safetensors") for name in ("activations", "context"))
    table = pd.read_csv(project.root / "metrics/correlation.csv", index_col="layer")
    token = {"": 1, "_target": -1}
    for (layer, cells), (pair, suffix) in product(table.iterrows(), product(("qk", "qv", "kv"), token)):
        # Head by head, in a plain loop: 4 query heads of 8 units, two of them to a key and value head.
        sides = [captured[f"attn_{layer}_{name}"][:, token[suffix]] for name in pair]
        some = [
            [side[:, 8 * (h // 2 if side.shape[1] == 16 else h) :][:, :8].ravel() for h in range(4)] for side in sides
        ]
        expected = np.corrcoef(*(np.concatenate(heads) for heads in some))[0, 1]
        assert cells[pair + suffix] == pytest.approx(expected, abs=1e-6)
    assert {context[name].shape[-1] for name in "qkv"} == {32}
    claims, summary = (
        json.loads((project.root / f"metrics/{n}.json").read_text("utf-8")) for n in ("claims", "summary")
    )
    units = ("qk_correlation_focus", "qk_correlation_most_layers", "v_correlations_near_zero")
    assert all(claims[name]["holds"] is not None for name in units)
    assert summary["qk_r"] == pytest.approx(table["qk"].mean(), abs=1e-3)
    assert not [note for note in summary["notes"] if "correlation.csv" in note]
    assert np.isfinite(summary["rsa"])
