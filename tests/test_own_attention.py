"""Attention that cannot be watched is proved by what it makes of changed queries, keys and values."""

import dataclasses

import numpy as np
import pytest
import torch
from model_types import PROMPTS, WORDS
from own_model import OwnConfig, OwnModel
from tiny_models import build
from torch import nn
from transformers import AutoConfig, AutoModel

from stages.models.attentions import text_part
from stages.models.capture import capture, shapes
from stages.models.intervene import intervene
from stages.models.projections import Projection, find_projections
from stages.models.prove import TOLERANCE, prove
from stages.models.watch import watch
from stages.pipeline.errors import UserError

BY = "its output when they are changed"


def own(**choices: bool) -> tuple[nn.Module, list[Projection]]:
    torch.manual_seed(0)
    model = OwnModel(OwnConfig(**choices)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    model = text_part(model)
    return model, find_projections(model)


@pytest.mark.parametrize("normalise", [False, True])
def test_attention_code_of_its_own_is_proved(normalise: bool) -> None:
    model, projections = own(normalise=normalise)
    assert [(p.heads, p.kv_heads) for p in projections] == [(4, 2)] * 2
    assert prove(model, projections, PROMPTS.ids[2])["by"] == BY


def exchanged(projection: Projection, first: str, second: str) -> Projection:
    modules = projection.modules | {first: projection.modules[second], second: projection.modules[first]}
    return dataclasses.replace(projection, modules=modules)


def test_one_part_taken_for_another_is_refused() -> None:
    model, projections = own()
    even = [dataclasses.replace(p, kv_heads=4, heads=4) for p in projections]
    for first, second, said in (("k", "v", "not linear in the values"), ("q", "v", "values"), ("q", "k", "key")):
        wrong = [exchanged(projection, first, second) for projection in even]
        with pytest.raises(UserError, match=f"layer 0 .* could not be watched, and .*{said}"):
            prove(model, wrong, PROMPTS.ids[2])


@pytest.mark.parametrize(("heads", "kv_heads"), [(8, 4), (4, 1), (2, 2), (8, 2), (4, 4), (2, 1), (1, 1)])
def test_a_wrong_number_of_heads_is_refused(heads: int, kv_heads: int) -> None:
    model, projections = own()
    wrong = [dataclasses.replace(projection, heads=heads, kv_heads=kv_heads) for projection in projections]
    with pytest.raises(UserError, match="heads"):
        prove(model, wrong, PROMPTS.ids[2])


@pytest.mark.parametrize("part", "qkv")
def test_units_in_another_order_are_refused(part: str) -> None:
    model, projections = own()
    wrong = []
    for projection in projections:
        width = projection.widths[part]
        mixed = torch.arange(width).view(-1, 2).T.flatten()
        wrong.append(dataclasses.replace(projection, columns=projection.columns | {part: {part: mixed}}))
    with pytest.raises(UserError, match="heads"):
        prove(model, wrong, PROMPTS.ids[2])


def test_attention_that_gives_nothing_is_refused() -> None:
    model, projections = own(deaf=True)
    with pytest.raises(UserError, match="its output does not depend on the values captured"):
        prove(model, projections, PROMPTS.ids[2])


def test_a_class_that_is_registered_is_loaded_and_captured(tmp_path) -> None:
    model, projections = own()
    AutoConfig.register("own_gpt", OwnConfig, exist_ok=True)
    AutoModel.register(OwnConfig, OwnModel, exist_ok=True)
    model.save_pretrained(tmp_path)
    again = text_part(AutoModel.from_pretrained(tmp_path).eval())
    found = find_projections(again)
    into = {name: np.full(shape, np.nan) for name, shape in shapes(found, len(WORDS), 6).items()}

    def write(name: str, first: int, block: np.ndarray) -> None:
        into[name][first : first + len(block)] = block

    way, _ = capture(again, found, PROMPTS, write, range(6), "last")
    with torch.no_grad():
        for row, ids in enumerate(PROMPTS.ids):
            x = model.embed(torch.tensor([ids]))
            x = x + projections[0].attention(model.layers[0]["norm"](x))
            expected = projections[1].modules["k"](model.layers[1]["norm"](x))[0, PROMPTS.sources()[row]]
            np.testing.assert_allclose(into["attn_1_k"][row], expected.numpy(), atol=1e-5)
    assert way in ("padded", "single")


@pytest.mark.parametrize("model_type", ["bert", "bloom", "falcon", "gpt_oss", "gptj", "llama4", "phi3", "gpt_bigcode"])
def test_what_can_be_watched_agrees(model_type: str) -> None:
    """ALiBi, sinks, shared keys, rotations, fused and interleaved units; and the same taken for other heads."""
    model = text_part(build(model_type))
    projections = find_projections(model)
    with watch(model, projections) as seen, torch.no_grad():
        model(input_ids=torch.tensor([PROMPTS.ids[2]]), use_cache=False)
    right, call = projections[-1], seen[-1].call
    assert intervene(right, *call, TOLERANCE) is None
    for heads, kv_heads in ((8, 4), (8, 8), (4, 4), (4, 2), (4, 1), (2, 2), (2, 1), (1, 1)):
        if (heads, kv_heads) != (right.heads, right.kv_heads):
            wrong = dataclasses.replace(right, heads=heads, kv_heads=kv_heads)
            assert "heads" in intervene(wrong, *call, TOLERANCE)


def test_attention_that_does_not_run_by_itself_is_refused() -> None:
    _, projections = own()
    assert intervene(projections[0], (), {}, TOLERANCE) == "it does not run by itself"
