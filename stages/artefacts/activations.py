"""What the captured files hold at one token: the words' vectors, those of the reference words, the biases."""

import numpy as np

from stages.artefacts import store
from stages.pipeline.errors import UserError
from stages.pipeline.settings import find_token


def find_position(tensors: store.Tensors, token: int | str, setting: str) -> int:
    """Return the position in the prompt that a setting means, from 0.

    Parameters
    ----------
    tensors : Tensors
        The open file `data/activations.safetensors` or `data/reference.safetensors`.
    token : int or "word"
        A position, negative from the end; or the word's own token (the last, where it has several), wherever it stands.
    setting : str
        The key of params.yaml that chose the token, for the message.

    Raises
    ------
    UserError
        If the prompt has no such token.
    """
    record = tensors.record
    return record["word_position"] if token == "word" else find_token(token, record["length"], setting)


def read_layer(tensors: store.Tensors, matrix: str, layer: int, token: int | str, setting: str) -> np.ndarray:
    """Read the vectors of all words in one layer at one token of `data/activations.safetensors`.

    Parameters
    ----------
    tensors : Tensors
        The open file.
    matrix : {"q", "k", "v", "x"}
    layer : int
        From 0.
    token, setting
        As `find_position`.

    Returns
    -------
    ndarray of float32, shape (words, units)

    Raises
    ------
    UserError
        If the prompt has no such token, or its vectors were not kept.
    """
    kept, length = tensors.record["positions"], tensors.record["length"]
    place = find_position(tensors, token, setting)
    if place not in kept:
        listed = ", ".join(map(str, kept))
        raise UserError(
            f"{setting}: token {place} is not among those that capture.positions kept of {length}: {listed}"
        )
    return tensors[f"attn_{layer}_{matrix}"][:, kept.index(place)]


def count_layers(tensors: store.Tensors) -> int:
    """Count the layers in `data/activations.safetensors`."""
    return len({name.split("_")[1] for name in tensors.names})


def read_with_reference(
    activations: store.Tensors, reference: store.Tensors, matrix: str, layer: int, token: int | str
) -> np.ndarray:
    """Read one layer's vectors of all words at the target token, and behind them those of the reference words, if any.

    Parameters
    ----------
    activations, reference : Tensors
        The open files `data/activations.safetensors` and `data/reference.safetensors`.
    matrix, layer, token
        As `read_layer`.

    Returns
    -------
    ndarray of float32, shape (words + reference words, units)

    Raises
    ------
    UserError
        If the prompt has no such token.
    """
    vectors = read_layer(activations, matrix, layer, token, "tokens.target")
    if not reference.names:
        return vectors
    return np.concatenate([vectors, read_layer(reference, matrix, layer, token, "tokens.target")])


def read_biases(activations: store.Tensors) -> dict[str, np.ndarray]:
    """Read the projections' biases from `data/activations.safetensors`.

    Parameters
    ----------
    activations : Tensors
        The open file.

    Returns
    -------
    dict of "q", "k", "v" to ndarray of float32, shape (layers, units)
        0 where a projection has no bias.
    """
    layers = count_layers(activations)
    biases = {}
    for matrix in store.MATRICES:
        none = np.zeros(activations.shape(f"attn_0_{matrix}")[-1], dtype=np.float32)
        names = [f"attn_{layer}_{matrix}_bias" for layer in range(layers)]
        biases[matrix] = np.stack([activations[name][:] if name in activations.names else none for name in names])
    return biases
