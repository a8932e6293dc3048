"""Layer by layer: what a stage holds in memory does not grow with the number of layers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.artefacts.tensors import Tensors
from stages.geometry.names import Arrays
from stages.pipeline.progress import progress, stack


@dataclass(frozen=True)
class Layers:
    """The arrays of every layer, read when asked for."""

    numbers: Sequence[int]  # as the model counts them: not all of a hybrid's layers attend
    read: Callable[[int], dict[str, np.ndarray]]  # takes a layer's place among them, returns its arrays by name

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        return map(self.read, range(len(self)))

    @property
    def record(self) -> dict[str, list[int]]:
        """The numbers of a hybrid's layers, for a file's record; empty where they count from 0."""
        return {} if list(self.numbers) == list(range(len(self))) else {"layers": [*self.numbers]}

    def __getitem__(self, some: slice) -> dict[str, np.ndarray]:
        """Return the arrays of some layers, each of shape (layers, ...)."""
        return stack(map(self.read, range(len(self))[some]))


def layers_of(tensors: Tensors, names: Sequence[str]) -> Layers:
    """Return the layers of tensors whose first axis they are, such as those of `data/similarity.safetensors`."""
    return Layers(tensors.layers, lambda place: {name: tensors[name][place] for name in names})


def each_layer(name: str, work: Callable[..., Any], *layers: Layers) -> Iterator[Any]:
    """Yield what `work` makes of the arrays of each layer, by name, of each of `layers`; a bar says `name`.

    A FloatingPointError of `work` is raised with the layer's number before it.
    """
    for place in progress(name, "layer")(range(len(layers[0]))):
        try:
            found = work(*(source.read(place) for source in layers))
        except FloatingPointError as error:
            raise FloatingPointError(f"layer {layers[0].numbers[place]}: {error}") from None
        yield found


def each_matrix(work: Callable[[np.ndarray], Any]) -> Callable[[Arrays], dict[str, Any]]:
    """Return a function for `each_layer` that does `work` with every matrix of a layer, by name."""

    def named(name: str, values: np.ndarray) -> Any:
        try:
            return work(values)
        except FloatingPointError as error:
            raise FloatingPointError(f"{name}: {error}") from None

    return lambda arrays: {name: named(name, values) for name, values in arrays.items()}
