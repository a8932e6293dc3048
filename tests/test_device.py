"""Sums with torch instead of NumPy: the same numbers, and torch only where it is asked for or of use.

With torch on the processor; on an accelerator as well where this machine has one.
"""

import sys

import numpy as np
import pytest
import torch
from conftest import InProcess

from stages.geometry.pairs import within_category
from stages.geometry.similarity import cosine
from stages.pipeline.errors import UserError
from stages.statistics import device
from stages.statistics.bootstrap import bootstrap, resample_words
from stages.statistics.device import NUMPY, Device, choose, with_torch
from stages.statistics.partial import PRODUCTS, against_input
from stages.statistics.permutation import draw_orders, permute_labels, permute_words

CATEGORIES = [name for name, size in zip("abcd", (3, 8, 11, 9), strict=True) for _ in range(size)]
WORDS = len(CATEGORIES)
LIMITS = [{}, {"chunk": 5000, "block": 1}]  # one step, several


@pytest.fixture(params=["cpu", "cuda"])
def with_it(request: pytest.FixtureRequest) -> Device:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no accelerator")
    return with_torch(request.param)


def similarities() -> dict[str, np.ndarray]:
    """Make them as the stages read them, in float32."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, WORDS, 6)) + 0.3
    found = {"x": cosine(x), **{name: cosine(x @ rng.normal(size=(6, 4))) for name in "qkv"}}
    return {name: values.astype(np.float32) for name, values in found.items()}


def assert_same(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for names, cell in expected.items():
        for column, values in cell.items():
            tolerance = 0 if column in ("p", "p_familywise") else 1e-11
            np.testing.assert_allclose(
                found[names][column], values, rtol=0, atol=tolerance, err_msg=f"{names} {column}"
            )


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("crossed", [False, True])
def test_permutations_give_the_same_p(with_it: Device, crossed: bool, limits: dict) -> None:
    similarity = {name: values for name, values in similarities().items() if name != "x"}
    orders = draw_orders(WORDS, 500, np.random.default_rng(1), crossed)
    words, labels = (
        {
            where.name: test(similarity, *arguments, orders, device=where, **options)
            for where, options in ((NUMPY, {}), (with_it, limits))
        }
        for test, arguments in ((permute_words, ()), (permute_labels, (CATEGORIES,)))
    )
    for found in (words, labels):
        assert_same(found[with_it.name], found[NUMPY.name])
    assert len({p for cell in words["NumPy"].values() for p in cell["p_familywise"]}) > 1


def test_permutations_that_change_nothing_are_ties_here_too(with_it: Device) -> None:
    """Similarities of two values: thousands of permutations give the very same score, but for rounding."""
    model = {name: within_category(CATEGORIES).astype(float)[None] for name in "qkv"}
    orders = draw_orders(WORDS, 2000, np.random.default_rng(2), True)
    assert_same(permute_words(model, orders, device=with_it), permute_words(model, orders))


@pytest.mark.parametrize("limits", LIMITS)
def test_bootstraps_give_the_same_intervals(with_it: Device, limits: dict) -> None:
    similarity = similarities()
    counts, _ = resample_words(CATEGORIES, 300, np.random.default_rng(3))
    of = (similarity, CATEGORIES, counts, 0.05, against_input, PRODUCTS)
    assert_same(bootstrap(*of, **limits, device=with_it), bootstrap(*of))


@pytest.mark.parametrize("stage", ["inference", "controls"])
def test_the_tables_are_the_same(tiny_stage: InProcess, stage: str) -> None:
    before = tiny_stage.project.outputs()
    for setting, name in (("cpu:0", "torch on cpu:0"), ("cpu", "NumPy")):
        tiny_stage.project.set(inference__device=setting)
        assert tiny_stage.run(stage)[0] == 0
        assert f"sums over word pairs are taken by {name}\n" in tiny_stage.log
        assert tiny_stage.project.outputs() == before


def test_torch_is_not_imported_unless_it_is_of_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # an import would fail
    monkeypatch.setattr(device, "DRIVERS", ("/",))
    assert choose("cpu", 10_000) is choose("auto", 300) is NUMPY
    with pytest.raises(ImportError):
        choose("auto", 301)
    monkeypatch.setattr(device, "DRIVERS", ("/no/driver",))
    assert choose("auto", 10_000) is NUMPY


def test_auto_asks_torch_where_there_is_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "DRIVERS", ("/",))
    monkeypatch.setattr(device, "with_torch", lambda name: name)
    assert choose("auto", 301) == "cuda"
    assert choose("cuda:1", 6) == "cuda:1"  # who names a device has it for few words, too


@pytest.mark.parametrize(
    "error",
    [
        AssertionError("Torch not compiled with CUDA enabled"),
        RuntimeError("No CUDA GPUs are available"),
        torch.OutOfMemoryError("CUDA out of memory."),
    ],
)
def test_auto_takes_the_processor_where_torch_cannot_use_the_card(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def zeros(*_: int, **__: object) -> None:
        raise error

    monkeypatch.setattr(device, "DRIVERS", ("/",))
    monkeypatch.setattr(torch, "zeros", zeros)
    assert choose("auto", 301) is NUMPY
    full = isinstance(error, torch.OutOfMemoryError)
    said = "cuda has too little free memory for 6 words" if full else "there is no cuda that torch can use"
    with pytest.raises(UserError, match=said), device.sums_on("cuda", 6):
        pytest.fail("no device was there to lend")


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta", "hpu", "vulkan", "mtia:3"])
def test_a_device_that_torch_cannot_use_is_told(name: str) -> None:
    with pytest.raises(UserError, match=rf"inference\.device: there is no {name} that torch can use on this machine"):
        choose(name, 6)


def test_a_device_without_float64_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def zeros(*_: int, dtype: torch.dtype, device: str) -> None:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64.")

    monkeypatch.setattr(torch, "zeros", zeros)
    with pytest.raises(UserError, match=r"inference\.device: mps has no float64, which the sums need; cpu has it"):
        choose("mps", 6)


@pytest.mark.parametrize("stage", ["inference", "controls"])
def test_too_little_memory_on_the_device_is_told(
    tiny_stage: InProcess, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    def put(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    before = tiny_stage.project.outputs()
    tiny_stage.project.set(inference__device="cpu:0")
    monkeypatch.setattr(torch, "as_tensor", put)
    code, said = tiny_stage.run(stage)
    assert code == 1
    assert "inference.device: torch on cpu:0 has too little free memory for 6 words" in said
    assert tiny_stage.project.outputs() == before


def test_other_errors_on_the_device_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="a bug"), device.sums_on("cpu", 6):
        raise RuntimeError("a bug")
