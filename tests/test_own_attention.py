"""Models with attention code of their own: captured where it can be watched at work, refused where it cannot."""

from pathlib import Path

import numpy as np
import pytest
import torch
from model_types import PROMPTS, WORDS
from own_model import OwnConfig, OwnModel
from torch import nn
from transformers import AutoConfig, AutoModel

from stages.models.attentions import text_part
from stages.models.capture import capture, shapes
from stages.models.projections import Projection, find_projections
from stages.models.prove import prove
from stages.pipeline.errors import UserError


def own(watched: bool) -> tuple[nn.Module, list[Projection]]:
    torch.manual_seed(0)
    model = OwnModel(OwnConfig(watched)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    model = text_part(model)
    return model, find_projections(model)


def test_attention_that_cannot_be_watched_is_refused() -> None:
    model, projections = own(watched=False)
    with pytest.raises(UserError, match=r"layer 0 \(layers.0.self_attn\): .* could be watched neither"):
        prove(model, projections, PROMPTS, 2)


def test_a_class_that_is_registered_is_loaded_proved_and_captured(tmp_path: Path) -> None:
    model, projections = own(watched=True)
    AutoConfig.register("own_gpt", OwnConfig, exist_ok=True)
    AutoModel.register(OwnConfig, OwnModel, exist_ok=True)
    model.save_pretrained(tmp_path)
    again = text_part(AutoModel.from_pretrained(tmp_path).eval())
    found = find_projections(again)
    assert prove(again, found, PROMPTS, 2)["by"] == "the matrix products of its attention"
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
