"""What the captured files hold at one token: the words' vectors, those of the reference words, the biases."""

from collections.abc import Sequence

import numpy as np

from stages.artefacts.layerwise import Layers
from stages.artefacts.tensors import Tensors
from stages.geometry.names import MATRICES, WITH_INPUT
from stages.pipeline.errors import UserError
from stages.pipeline.schema import OWN_SENTENCE
from stages.pipeline.settings import find_token


def find_position(tensors: Tensors, token: int | str, setting: str) -> int:
    """Return the position in the prompt that a setting means, from 0; a `UserError` if the prompt has no such token.

    Parameters
    ----------
    tensors : Tensors
        The open file `data/activations.safetensors`.
    token : int or "word"
        A position, negative from the end; or the word's own token (the last, where it has several), wherever it stands.
    setting : str
        The key of params.yaml that chose the token, for the message.
    """
    record = tensors.record
    return record["word_position"] if token == "word" else find_token(token, record["length"], setting)


def vectors_at(
    token: int | str,
    setting: str,
    activations: Tensors,
    reference: Tensors | None = None,
    names: Sequence[str] = WITH_INPUT,
) -> Layers:
    """Return the vectors of all words at one token, and behind them those of the reference words, if any.

    Parameters
    ----------
    token, setting
        As `find_position`.
    activations, reference : Tensors
        The open files `data/activations.safetensors` and `data/reference.safetensors`.
    names : sequence of str

    Returns
    -------
    Layers
        By name: ndarray of float32, shape (words + reference words, units).

    Raises
    ------
    UserError
        If the prompt has no such token, or its vectors were not kept.
    """
    files = [file for file in (activations, reference) if file and file.names]
    kept, length = activations.record["positions"], activations.record["length"]
    place, numbers = find_position(activations, token, setting), layer_numbers(activations)
    if place not in kept:
        listed = ", ".join(map(str, kept))
        raise UserError(
            f"{setting}: token {place} is not among those that capture.positions kept of {length}: {listed}"
        )

    def read(layer: int) -> dict[str, np.ndarray]:
        # The reference words have been kept at the same positions.
        parts = {
            name: [file[f"attn_{numbers[layer]}_{name}"][:, kept.index(place)] for file in files] for name in names
        }
        return {name: np.concatenate(both) for name, both in parts.items()}

    return Layers(numbers, read)


def layer_numbers(activations: Tensors) -> list[int]:
    """List the layers in `data/activations.safetensors`, as the model numbers them."""
    numbers = sorted({int(name.split("_")[1]) for name in activations.names})
    return numbers or [activations.record["layers"]]  # raises the error that this is another file


def vectors_in_sentences(own: Layers, template: str, sentences: Tensors) -> tuple[list[str], Layers]:
    """Return the vectors of all words at their own token in every sentence.

    Parameters
    ----------
    own : Layers
        Of `vectors_at`, at "word", in the sentence `template`, which comes first and counts once.
    sentences : Tensors
        The open file `data/sentences.safetensors`.

    Returns
    -------
    names : list of str
        `OWN_SENTENCE`, and those of `sentences.templates`.
    Layers
        By name: ndarray of float32, shape (sentences, words + reference words, units).
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


def read_biases(activations: Tensors) -> dict[str, np.ndarray]:
    """Read the projections' biases from `data/activations.safetensors`: by matrix, float32, shape (layers, units).

    They are 0 where a projection has none.
    """
    layers = layer_numbers(activations)
    biases = {}
    for matrix in MATRICES:
        none = np.zeros(activations[f"attn_{layers[0]}_{matrix}"].shape[-1], dtype=np.float32)
        names = [f"attn_{layer}_{matrix}_bias" for layer in layers]
        biases[matrix] = np.stack([activations[name][:] if name in activations.names else none for name in names])
    return biases
