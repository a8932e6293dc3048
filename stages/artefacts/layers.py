"""Layer by layer: what a stage holds in memory does not grow with the number of layers.

The arrays of every layer, read when asked for: vectors at one token of `data/activations.safetensors`, in one sentence
or several; similarities of `data/similarity.safetensors`; weights of `data/projections.safetensors`.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.artefacts.files import Tensors
from stages.geometry.names import MATRICES, WITH_INPUT, Arrays
from stages.pipeline import messages
from stages.pipeline.errors import UserError
from stages.pipeline.progress import progress
from stages.pipeline.schema import OWN_SENTENCE
from stages.pipeline.settings import find_token
from stages.pipeline.stage import Stage


@dataclass(frozen=True)
class Layers:
    """The arrays of every layer, read when asked for."""

    numbers: Sequence[int]  # as the model counts them: not all of a hybrid's layers attend
    read: Callable[[int], dict[str, np.ndarray]]  # takes a layer's place among them, returns its arrays by name

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        return map(self.read, range(len(self)))


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


def find_position(activations: Tensors, token: int | str, setting: str) -> int:
    """Return the position in the prompt that a `setting` means, from 0; errors as `find_token`.

    `token` is a position, negative from the end; or "word", the word's own token (the last, where it has several).
    """
    record = activations.record
    return record["word_position"] if token == "word" else find_token(token, record["length"], setting)


def vectors_at_target(stage: Stage, names: Sequence[str] = WITH_INPUT) -> Layers:
    """Return the vectors of all words, and of the reference words, at the token that a stage compares them at."""
    activations = Tensors(stage.input("data/activations.safetensors"))
    return vectors_at(stage.settings.tokens.target, "tokens.target", activations, names)


def vectors_at(token: int | str, setting: str, activations: Tensors, names: Sequence[str] = WITH_INPUT) -> Layers:
    """Return the vectors of all words at one token, and behind them those of the reference words, if any.

    By name, float32, shape (words + reference words, units). `token` and `setting` as `find_position`; the file is
    `data/activations.safetensors`.

    Raises
    ------
    UserError
        If the prompt has no such token, or its vectors were not kept.
    """
    kept, length = activations.record["positions"], activations.record["length"]
    place, numbers = find_position(activations, token, setting), layer_numbers(activations)
    if place not in kept:
        found = f"{length}: {', '.join(map(str, kept))}"
        raise UserError(messages.NOT_KEPT.format(setting, place, found))

    def read(layer: int) -> dict[str, np.ndarray]:
        return {name: activations[f"attn_{numbers[layer]}_{name}"][:, kept.index(place)] for name in names}

    return Layers(numbers, read)


def layer_numbers(activations: Tensors) -> list[int]:
    """List the layers in `data/activations.safetensors`, as the model numbers them."""
    return sorted({int(layer[1]) for name in activations.names if (layer := re.match(r"attn_(\d+)_", name))})


def vectors_in_sentences(own: Layers, template: str, sentences: Tensors) -> tuple[list[str], Layers]:
    """Return the sentences' names, and the vectors of all words at their own token in each.

    By name, float32, shape (sentences, words + reference words, units). First come those of `vectors_at` at "word",
    `own`, in the sentence `template`, which counts once; then those of `data/sentences.safetensors`.
    """
    listed = sentences.record["templates"]
    further = [place for place, other in enumerate(listed) if other != template]

    def read(place: int) -> dict[str, np.ndarray]:
        found = {}
        for name, values in own.read(place).items():
            others = sentences[f"attn_{own.numbers[place]}_{name}"][:].reshape(len(listed), *values.shape)
            found[name] = np.concatenate([values[None], others[further]])
        return found

    names = sentences.record["names"]
    return [OWN_SENTENCE, *(names[place] for place in further)], Layers(own.numbers, read)


def biases_of(activations: Tensors) -> Layers:
    """Return the projections' biases: by matrix, float32, shape (units,); 0 where a projection has none."""
    numbers = layer_numbers(activations)

    def read(place: int) -> dict[str, np.ndarray]:
        names = {matrix: f"attn_{numbers[place]}_{matrix}_bias" for matrix in MATRICES}
        return {m: activations[name][:] if name in activations.names else np.float32(0) for m, name in names.items()}

    return Layers(numbers, read)


def weights_of(projections: Tensors, numbers: Sequence[int]) -> Layers:
    """Return the projections' weights, of `data/projections.safetensors`: by matrix, shape (units of x, units)."""
    return Layers(numbers, lambda place: {m: projections[f"attn_{numbers[place]}_{m}"][:] for m in MATRICES})
