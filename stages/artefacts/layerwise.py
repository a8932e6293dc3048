"""Layer by layer: what a stage holds in memory does not grow with the number of layers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from stages.artefacts.store import Tensors


def each_layer(name: str, layers: int, work: Callable[[int], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Do the work of one layer after the other, and put together what it gives.

    What takes more than two seconds shows a progress bar.

    Parameters
    ----------
    name : str
        What the bar says.
    layers : int
    work : callable
        Takes the layer, counted from 0, gives arrays by name: the same names and shapes in every layer.

    Returns
    -------
    dict of str to ndarray, shape (layers, ...)

    Raises
    ------
    FloatingPointError
        As `work` does, with the layer's name before it.
    """
    found = []
    for layer in tqdm(range(layers), desc=name, unit="layer", delay=2):
        try:
            found.append(work(layer))
        except FloatingPointError as error:
            raise FloatingPointError(f"layer {layer}: {error}") from None
    return {column: np.stack([each[column] for each in found]) for column in found[0]}


class OnDisk:
    """A tensor whose layers are read when it is sliced: an array to functions that go through layers in blocks.

    Parameters
    ----------
    tensors : Tensors
        The open file.
    name : str
        One of its tensors, the layers being the first axis.
    """

    def __init__(self, tensors: Tensors, name: str) -> None:
        self._slice, self.shape = tensors[name], tensors.shape(name)

    def __len__(self) -> int:
        """How many layers there are."""
        return self.shape[0]

    def __getitem__(self, layers: int | slice) -> np.ndarray:
        """Read one layer, or some."""
        return self._slice[layers]


def join(parts: Sequence[Any]) -> Any:
    """Put arrays of consecutive layers together: arrays, or dictionaries, nested or not, of the same keys."""
    first = parts[0]
    if isinstance(first, Mapping):
        return {key: join([part[key] for part in parts]) for key in first}
    return np.concatenate(parts)
