"""Where sums over word pairs are taken: by NumPy, or by torch on an accelerator; in float64 with either.

Random numbers are always NumPy's, drawn on the processor, so that a seed means the same everywhere. What is done with
them is written once: arrays of both libraries are sliced, indexed, multiplied and reshaped alike, and a `Device` holds
the few functions that are not spelled alike.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stages.pipeline.errors import UserError

#: Words above which "auto" looks for an accelerator: torch and CUDA take three to six seconds to start, about as long
#: as NumPy takes in a stage for so many words in a dozen layers.
WORTH_ABOVE = 300
#: Signs of a driver that torch knows as CUDA (of NVIDIA, AMD, Windows' Linux, Windows): looking at them costs nothing.
DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg", "C:/Windows/System32/nvcuda.dll")
#: By how much a step may be larger on an accelerator, which needs long steps, than what fits a processor's cache.
LARGER = 64


class Device(NamedTuple):
    """What NumPy's arrays and torch's do not share.

    Attributes
    ----------
    name : str
    put, get : callable
        Take an ndarray to the device, and an array of the device back.
    take : callable
        Takes an array of shape (n, m) and indices: what stands there in each row, shape (n, *shape of the indices).
    concatenate : callable
        Joins arrays along their first axis.
    larger : int
        How many times as many bytes as on a processor one step may take.
    """

    name: str
    put: Callable[[np.ndarray], Any]
    get: Callable[[Any], np.ndarray]
    take: Callable[[Any, Any], Any]
    concatenate: Callable[[list], Any]
    larger: int


NUMPY = Device("NumPy", np.asarray, np.asarray, partial(np.take, axis=1), np.concatenate, 1)


@contextmanager
def sums_on(setting: str, words: int) -> Iterator[Device]:
    """Say which device takes the sums, lend it, and turn a lack of memory there into plain words.

    Parameters
    ----------
    setting, words
        As `choose`.

    Raises
    ------
    UserError
        As `choose`; or if an accelerator's memory does not suffice.
    """
    name = setting
    try:
        device = choose(setting, words)
        name = device.name
        print(f"sums over word pairs are taken by {name}")
        yield device
    except RuntimeError as error:
        if not _is_full(error):
            raise
        raise UserError(
            f"inference.device: {name} has too little free memory for {words:,} words;\n"
            "end what else uses it, or set inference.device to cpu"
        ) from None


def choose(setting: str, words: int) -> Device:
    """Return the device that `inference.device` names; torch is imported only where it is used, or likely to be.

    Parameters
    ----------
    setting : str
        "cpu" is NumPy; "auto" torch's CUDA for more than `WORTH_ABOVE` words, where there is one, otherwise NumPy; any
        other is torch's name of a device.
    words : int

    Raises
    ------
    UserError
        If torch cannot use the device, or the device does not know float64.
    """
    if setting == "auto":
        if words > WORTH_ABOVE and any(Path(sign).exists() for sign in DRIVERS):
            with suppress(UserError, RuntimeError):  # no card, or one that others have filled or keep to themselves
                return with_torch("cuda")
        return NUMPY
    return NUMPY if setting == "cpu" else with_torch(setting)


def with_torch(name: str) -> Device:
    """Return a device of torch's; errors as `choose`, and torch's own where its memory is full."""
    import torch  # here alone: it takes two seconds

    try:
        torch.zeros(1, dtype=torch.float64, device=name).cpu()
    except TypeError:  # as Apple's mps says it
        raise UserError(f"inference.device: {name} has no float64, which the sums need; cpu has it") from None
    except (RuntimeError, AssertionError, ImportError) as error:  # torch has a way for each: no such name or build
        if _is_full(error):
            raise
        raise UserError(
            f"inference.device: there is no {name} that torch can use on this machine; auto takes what there is"
        ) from None
    return Device(
        f"torch on {name}",
        partial(torch.as_tensor, device=name),
        lambda values: values.cpu().numpy(),
        lambda values, at: values[:, at],
        torch.concatenate,
        LARGER,
    )


def _is_full(error: Exception) -> bool:
    """Tell torch's lack of memory, by name: where NumPy computes, torch is not imported."""
    return type(error).__name__ == "OutOfMemoryError"
