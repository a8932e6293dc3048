"""Long work in steps: blocks that fit into memory, bars with the time left, and putting the parts together."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

#: Bytes for float64 copies of the similarities: more layers than that are worked through in blocks.
BLOCK = 2**26

#: Takes steps, yields them one by one.
Progress = Callable[[Sequence[Any]], Iterable[Any]]


def progress(name: str, unit: str = "block") -> Progress:
    """Return a function that yields steps, with a bar in a terminal where all of them take more than two seconds."""
    return lambda steps: tqdm(steps, desc=name, unit=unit, delay=2, disable=None)  # None: where no terminal is


def blocks(total: int, size: int) -> Iterator[slice]:
    """Cut ``range(total)`` into slices of `size` (at least 1; the last may be shorter)."""
    size = max(1, size)
    return (slice(start, min(start + size, total)) for start in range(0, total, size))


def join(parts: Sequence[Any], how: Callable[[Sequence[Any]], np.ndarray] = np.concatenate) -> Any:
    """Concatenate consecutive layers: arrays, or dictionaries, nested or not, of the same keys."""
    if isinstance(parts[0], Mapping):
        return {key: join([part[key] for part in parts], how) for key in parts[0]}
    return how(parts)


def stack(parts: Iterable[Any]) -> Any:
    """Stack the results of single layers, as `join` does those of several: arrays of shape (layers, ...)."""
    return join(list(parts), np.stack)
