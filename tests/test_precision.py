"""What a model computes in, and where, is chosen by its size; double precision is double throughout."""

import numpy as np
import pytest
import torch
import transformers
from conftest import Project
from model_types import PROMPTS
from tiny_models import build, caught, load

from stages.artefacts.files import read_json
from stages.models.precision import SMALL, choose, grid
from stages.models.projections import find_projections
from stages.pipeline.errors import UserError

GPU = {"cuda": True, "mps": False, "cpu": True}
MAC = {"cuda": False, "mps": True, "cpu": True}


@pytest.mark.parametrize(("here", "fast"), [(GPU, "cuda"), (MAC, "mps")])
def test_small_models_stay_on_the_processor_in_double_precision_others_do_not(here: dict, fast: str) -> None:
    for asked, parameters, spread, found in (
        (("auto", "auto"), SMALL, False, ("float64", "cpu")),
        (("auto", "cpu"), SMALL, False, ("float64", "cpu")),
        (("float64", "auto"), 10 * SMALL, False, ("float64", "cpu")),
        (("auto", "auto"), SMALL + 1, False, ("float32", fast)),
        (("auto", fast), 1, False, ("float32", fast)),
        (("auto", "auto"), 1, True, ("float32", fast)),
        (("bfloat16", "auto"), 1, False, ("bfloat16", fast)),
        (("auto", "cpu"), SMALL + 1, False, ("float32", "cpu")),
    ):
        assert choose(*asked, parameters, spread, here)[:2] == found


def test_what_a_device_cannot_do_is_told() -> None:
    with pytest.raises(UserError, match="mps cannot compute in float64"):
        choose("float64", "mps", 1, False, MAC)


def test_norms_and_rotary_embeddings_that_ask_for_single_precision_get_double(monkeypatch: pytest.MonkeyPatch) -> None:
    """Llama's norm and rotary embedding cast to float32: rounding its weights by 1e-12 would then change nothing."""
    monkeypatch.setattr("stages.models.capture.grid", lambda values, dtype: 0.0)
    model = build("llama", torch.float64)
    assert model.rotary_emb.inv_freq.dtype == torch.float64
    before, *_ = caught(model, find_projections(model), PROMPTS)
    with torch.no_grad():
        model.embed_tokens.weight.mul_(1 + 1e-12 * torch.randn_like(model.embed_tokens.weight))
    after, *_ = caught(model, find_projections(model), PROMPTS)
    for name in ("attn_0_x", "attn_3_q", "attn_3_v"):
        moved = np.abs(after[name] - before[name]).max()
        assert 0 < moved < 1e-10, name
    assert torch.get_default_dtype() == torch.float32


def test_a_seed_gives_the_same_random_weights_in_every_precision() -> None:
    double, single, other = (
        load(weights="random", seed=seed, dtype=dtype).model
        for seed, dtype in ((3, "auto"), (3, "float32"), (4, "float32"))
    )
    for one, same in zip(double.parameters(), single.parameters(), strict=True):
        assert (one.dtype, same.dtype) == (torch.float64, torch.float32)
        assert torch.equal(one.float(), same)
    assert not torch.equal(single.wte.weight, other.wte.weight)


def test_the_record_says_what_was_chosen_and_why(tiny_template: Project) -> None:
    record = read_json(tiny_template.root / "data/capture.json")
    assert (record["dtype"], record["device"]) == ("float64", "cpu")
    assert record["precision"].startswith("auto: ")
    assert "+" not in record["versions"]["torch"]
    assert record["versions"]["transformers"] == transformers.__version__


def test_what_is_stored_does_not_show_how_a_processor_rounds() -> None:
    rng = np.random.default_rng(0)
    here = rng.normal(size=1_000_000)
    there = here + 1e-14 * rng.normal(size=len(here))
    step = grid(here[:1000], torch.float64)
    assert 0.9e-6 < step / np.abs(here[:1000]).max() < 2e-6
    assert (here.astype(np.float32) != there.astype(np.float32)).any()
    stored, elsewhere = (np.round(some / step) * step for some in (here, there))
    assert (stored == elsewhere).all()
    assert (stored.astype(np.float32) == stored).all()
    assert grid(here, torch.float32) == grid(np.zeros(3), torch.float64) == 0
