"""Model types found from their structure and proved: a sample of each layout, and what a wrong reading would meet."""

import dataclasses
import re

import numpy as np
import pytest
import torch
from model_types import PROMPTS, examine, read_table
from tiny_models import TYPES, build, caught
from torch import nn
from transformers import AutoConfig, AutoModel

from stages.models import capture as capturing
from stages.models.attentions import LAYOUTS, text_part
from stages.models.projections import Projection, find_projections
from stages.models.prove import prove, same
from stages.pipeline.errors import UserError

TABLE = {row["type"]: row for row in read_table()}


#: What the table must say of a type, column by column.
EXPECTED = {
    "layers": {  # those that attend by themselves: no convolutions, no keys of another layer, heads of one size
        **{"lfm2_moe": "1 3", "qwen3_next": "3", "minimax": "0 2", "mllama": "0 1 2", "gemma3n_text": "0 1"},
        **{"gemma4_text": "0 1 2", "albert": "0 1 2 3"},
    },
    "part": {"bart": "BartEncoder", "gemma3": "Gemma3TextModel", "git": "GitModel"},
    "reason": {
        **{"llama": "", "deepseek_v3": "not linear in x", "mobilebert": "not linear in x", "qwen3_next": ""},
        "mra": "layer 0 (encoder.layer.0.attention.self): its attention could not be watched: it multiplies no batches "
        "of matrices",
    },
}


def sample() -> list[str]:
    """One type for each kind of row, and those of which something is expected."""
    kinds = {tuple(row[key] for key in ("verdict", "modules", "order", "q", "prompts")): row for row in TABLE.values()}
    return sorted({*(row["type"] for row in kinds.values()), *(name for some in EXPECTED.values() for name in some)})


def test_the_table_lists_every_type_and_most_are_captured() -> None:
    assert sorted(TABLE) == TYPES
    assert sum(row["verdict"] == "proved" for row in TABLE.values()) >= 190
    assert all(row["reason"] for row in TABLE.values() if row["verdict"] == "refused")
    for column, some in EXPECTED.items():
        assert {name: TABLE[name][column] for name in some} == some
    # Types of two layouts are refused for another reason: prompts in front of the text, tokens that are pooled.
    unused = {("q_head k_head v_head", "separate"), ("project_q project_k project_v", "separate")}
    layouts = {(" ".join(layout.modules.values()), layout.order) for layout in LAYOUTS}
    assert layouts - unused <= {(row["modules"], row["order"]) for row in TABLE.values()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("model_type", sample())
def test_a_sample_of_every_layout_is_as_in_the_table(model_type: str, dtype: torch.dtype) -> None:
    assert examine(model_type, dtype=dtype) == TABLE[model_type]


def found(model_type: str) -> tuple[nn.Module, list[Projection]]:
    model = text_part(build(model_type))
    return model, find_projections(model)


REFUSED = "that the attention receives are not those captured"


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "gpt_neox", "qwen3", "bloom", "codegen", "gptj", "deberta"])
@pytest.mark.parametrize("parts", [{"q": "k", "k": "q"}, {"k": "v", "v": "k"}, {"q": "v", "v": "q"}])
def test_one_part_taken_for_another_is_refused(model_type: str, parts: dict[str, str]) -> None:
    model, projections = found(model_type)
    for projection in projections:
        for some in projection.columns.values():
            renamed = {parts.get(part, part): units for part, units in some.items()}
            some.clear()
            some.update(renamed)
    with pytest.raises(UserError, match=REFUSED):
        prove(model, projections, PROMPTS, 2)


@pytest.mark.parametrize(
    ("model_type", "order"),
    [("gpt_neox", "blocks"), ("bloom", "blocks"), *((name, "by key head") for name in ("gpt2", "phi3", "mpt"))],
)
def test_a_wrong_order_inside_a_fused_projection_is_refused(
    model_type: str, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = tuple(dataclasses.replace(layout, order=order) for layout in LAYOUTS if "qkv" in layout.modules)
    monkeypatch.setattr("stages.models.attentions.LAYOUTS", wrong)
    with pytest.raises(UserError, match=REFUSED):
        prove(*found(model_type), PROMPTS, 2)


def test_a_wrong_number_of_heads_is_refused() -> None:
    model, projections = found("llama")
    wrong = [dataclasses.replace(projection, heads=8, kv_heads=8) for projection in projections]
    with pytest.raises(UserError, match="layer 0"):
        prove(model, wrong, PROMPTS, 2)


def test_rotary_embedding_of_some_units_only_with_a_factor_is_proved() -> None:
    """As in Phi-4-mini: the rotated units are scaled, the others are not."""
    scaling = {"rope_type": "longrope", "short_factor": [1.0] * 6, "long_factor": [2.0] * 6, "factor": 32.0}
    rope = {**scaling, "rope_theta": 1e4, "partial_rotary_factor": 0.75, "original_max_position_embeddings": 64}
    sizes = {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "intermediate_size": 48}
    config = AutoConfig.for_model(
        "phi3", **sizes, vocab_size=300, pad_token_id=0, max_position_embeddings=2048, rope_parameters=rope
    )
    model = AutoModel.from_config(config).eval()
    proof = prove(model, find_projections(model), PROMPTS, 2)
    assert proof["q"] == proof["k"] == "up to a rotation and one factor"


def test_a_rotation_is_one_though_a_unit_outweighs_the_others() -> None:
    """As in SmolLM2, whose keys have units a hundred times as large: next to them small rotations hardly show."""
    torch.manual_seed(0)
    own = torch.randn(2, 6, 16)
    own[..., 7] *= 300
    angles = torch.arange(6)[:, None] * 0.3 ** torch.arange(8)
    first, second = own.chunk(2, dim=-1)
    turned = [first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin()]
    assert same(own, torch.cat(turned, -1), 1e-4) == "up to a rotation"


@pytest.mark.parametrize("model_type", ["bloom", "bamba", "mpt", "qwen3_next"])
def test_a_way_that_changes_the_numbers_is_not_taken(model_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """ALiBi and states that run along the sequence: words packed behind each other would see one another."""
    model, projections = found(model_type)
    expected, *_ = caught(model, projections, PROMPTS)
    monkeypatch.setattr(capturing, "ways", lambda *arguments: ["packed", "padded", "single"])
    monkeypatch.setattr("stages.models.passes._takes_positions", lambda model: True)
    values, way, refused = caught(model, projections, PROMPTS)
    assert (way, list(refused)) == ("padded", ["packed"])
    for name, value in expected.items():
        np.testing.assert_allclose(values[name], value, atol=1e-4, err_msg=name)


BARTS = ["bart", "bigbird_pegasus", "blenderbot", "blenderbot-small", "marian", "mbart", "mvp", "pegasus", "plbart"]


@pytest.mark.parametrize("model_type", [*BARTS, "t5", "umt5", "t5gemma"])
def test_a_decoder_is_proved_as_well(model_type: str) -> None:
    row = examine(model_type, "decoder")
    assert (row["verdict"], row["layers"], row["prompts"]) == ("proved", "0 1 2 3", "padded"), row


@pytest.mark.parametrize(("model_type", "start"), [("bart", 1), ("t5", None)])
def test_a_decoder_reads_what_its_encoder_reads(model_type: str, start: int | None) -> None:
    """Against the whole model's own call: the encoder without the token that begins the decoder's text."""
    whole = build(model_type)
    model = text_part(whole, "decoder")
    assert model.start == start
    projections = find_projections(model)
    values, *_ = caught(model, projections, PROMPTS)
    seen: dict[tuple[int, str], torch.Tensor] = {}
    attentions = [m for path, m in whole.decoder.named_modules() if re.search(r"(self_attn|SelfAttention)$", path)]
    for layer, attention in enumerate(attentions):
        for part in "qkv":
            linear = getattr(attention, part if hasattr(attention, part) else f"{part}_proj")
            linear.register_forward_hook(lambda m, i, o, key=(layer, part): seen.__setitem__(key, o))
    for row, ids in enumerate(PROMPTS.ids):
        text, everything = torch.tensor([ids[start is not None :]]), torch.tensor([ids])
        with torch.no_grad():
            whole(input_ids=text, decoder_input_ids=everything)
        assert len(seen) == 12
        for (layer, part), expected in seen.items():
            found = values[f"attn_{layer}_{part}"][row][PROMPTS.word_position + 1]  # behind the word
            np.testing.assert_allclose(found, expected[0, -1].numpy(), atol=1e-5)


def test_models_without_both_have_one_part() -> None:
    assert type(text_part(build("gpt2"), "decoder")).__name__ == "GPT2Model"
    with pytest.raises(UserError, match="WhisperModel reads input_features, not the tokens of a text"):
        text_part(build("whisper"), "decoder")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TypeError("forward() missing 1 required argument: 'pixel_values'"), "does not run on a text alone: "),
        (ValueError("You have to specify pixel_values"), "does not run on a text alone: You have to specify"),
        (RuntimeError("sizes differ"), "fails at the prompt of 'two': sizes differ"),
        (ValueError("too long"), "fails at the prompt of 'two': too long"),
    ],
)
def test_a_model_that_fails_says_so_plainly(error: Exception, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(*arguments: object, **options: object) -> None:
        raise error

    model, projections = found("llama")
    monkeypatch.setattr(model, "forward", forward)
    with pytest.raises(UserError, match=f"^model.name: LlamaModel {said}"):
        prove(model, projections, PROMPTS, 1)
