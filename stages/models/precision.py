"""What a model computes in, and where: double precision on the processor, where the model is small enough."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from transformers.modeling_utils import local_torch_dtype

from stages.pipeline import messages
from stages.pipeline.errors import UserError

#: Parameters up to which `model.dtype: auto` is float64: measured, see "How fast" in tests/README.md.
SMALL = 200_000_000


def choose(
    dtype: str, device: str, parameters: int, spread: bool, here: dict[str, bool] | None = None
) -> tuple[str, str, str]:
    """Resolve `model.dtype` and `model.device`, for a model of so many `parameters`; return them, and why.

    In double precision the last digits, in which processors differ, lie far below what is stored (float32) and
    published (six decimals): tables and figures have the same bytes everywhere. `spread` says whether accelerate
    spreads the model over devices, `here` which devices this machine has, the fastest first.

    Raises
    ------
    UserError
        If the device is not there, or cannot compute in what was asked for.
    """
    here = here or {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device != "auto" and not here[device]:
        raise UserError(messages.NO_DEVICE.format(device))
    if (dtype, device) == ("float64", "mps"):
        raise UserError(messages.NO_DOUBLE)
    why, small = "as asked for", parameters <= SMALL
    if dtype == "auto":
        alone = not spread and device in ("auto", "cpu")
        dtype = "float64" if alone and small else "float32"
        bound = f"{'at most' if small else 'more than'} {SMALL / 1e6:.0f} million"
        size = f"{parameters / 1e6:.4g} million parameters, {bound}"
        why = f"auto: {size if alone else 'not on the processor alone'}"
    if device == "auto":
        device = "cpu" if dtype == "float64" else next(name for name, found in here.items() if found)
    return dtype, device, why


def place_of(model: nn.Module) -> torch.device | str | int:
    """Return the device that takes a model's input: of a model that is spread, where it begins."""
    place = next(iter(getattr(model, "hf_device_map", {"": model.device}).values()))
    return "cpu" if place == "disk" else place  # disk and memory feed the processor


class _Double(TorchFunctionMode):
    """Replaces every request for single precision: norms, softmax and rotary embeddings ask for it by name."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        func = torch.Tensor.double if func is torch.Tensor.float else func
        args = tuple(torch.float64 if value is torch.float32 else value for value in args)
        kwargs = {name: torch.float64 if value is torch.float32 else value for name, value in (kwargs or {}).items()}
        return func(*args, **kwargs)


@contextmanager
def computing(dtype: torch.dtype) -> Iterator[None]:
    """Compute throughout in a model's dtype: else parts of a float64 model use float32."""
    if dtype != torch.float64:
        yield
        return
    with local_torch_dtype(dtype), _Double():
        yield


def grid(values: np.ndarray, dtype: torch.dtype) -> float:
    """Return the step of the grid that captured numbers are rounded to: 0 for none, where the dtype is not float64.

    Float32 keeps so many digits of numbers near 0 that processors differ there: of three million numbers, one or two.
    Of a step that is a millionth of the largest number, the differences between processors are a part in a billion.
    `values` are some rows of one array; not finite ones are reported elsewhere.
    """
    largest = float(np.abs(values).max())
    if dtype != torch.float64 or not 0 < largest < np.inf:
        return 0.0
    return 2.0 ** (np.ceil(np.log2(largest)) - 20)


def not_finite(layer: int, part: str, word: str, dtype: torch.dtype) -> FloatingPointError:
    """Return the error that says where activations are not finite; half precision overflows where others do not."""
    advice = "" if dtype in (torch.float32, torch.float64) else "; try model.dtype: float32"
    return FloatingPointError(messages.NOT_FINITE.format(layer, part, word, advice))
