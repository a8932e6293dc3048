"""Layer by layer: what a stage holds in memory does not grow with the number of layers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.artefacts.tensors import Tensors
from stages.pipeline.progress import progress, stack


@dataclass(frozen=True)
class Layers:
    """The arrays of every layer, read when asked for.

    Attributes
    ----------
    count : int
        How many layers there are.
    read : callable
        Takes a layer, counted from 0, gives its arrays by name.
    """

    count: int
    read: Callable[[int], dict[str, np.ndarray]]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        return map(self.read, range(self.count))

    def __getitem__(self, some: slice) -> dict[str, np.ndarray]:
        """Return the arrays of some layers, each of shape (layers, ...)."""
        return stack(map(self.read, range(self.count)[some]))


def layers_of(tensors: Tensors, names: Sequence[str]) -> Layers:
    """Return the layers of tensors whose first axis they are, such as those of `data/similarity.safetensors`."""
    return Layers(len(tensors[names[0]]), lambda layer: {name: tensors[name][layer] for name in names})


def each_layer(name: str, work: Callable[..., Any], *layers: Layers) -> Iterator[Any]:
    """Yield what `work` makes of the arrays of each layer, with a bar.

    Parameters
    ----------
    name : str
        What the bar says.
    work : callable
        Takes the arrays of one layer, by name, of each of `layers`.
    *layers : Layers
        All of the same number of layers.

    Raises
    ------
    FloatingPointError
        As `work` does, with the layer's name before it.
    """
    for layer in progress(name, "layer")(range(len(layers[0]))):
        try:
            found = work(*(source.read(layer) for source in layers))
        except FloatingPointError as error:
            raise FloatingPointError(f"layer {layer}: {error}") from None
        yield found
