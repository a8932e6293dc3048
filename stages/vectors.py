"""What the captured files hold at one token: the words' vectors, those of the reference words, the biases."""

import numpy as np

from stages import store
from stages.errors import UserError


def read_vectors(tensors: store.Tensors, matrix: str, token: int, setting: str) -> np.ndarray:
    """Read the vectors of all words in all layers at one token of `data/activations.safetensors`.

    Parameters
    ----------
    tensors : Tensors
        The open file.
    matrix : {"q", "k", "v", "x"}
    token : int
        Position in the prompt, from 0; negative from the end.
    setting : str
        The key of params.yaml that chose the token, for the message.

    Returns
    -------
    ndarray of float32, shape (layers, words, units)

    Raises
    ------
    UserError
        If the prompt has no such token.
    """
    length = tensors.shape(f"attn_0_{matrix}")[1]
    if not -length <= token < length:
        raise UserError(f"{setting}: {token} is outside the prompt of {length} tokens: {-length} to {length - 1}")
    layers = sum(name.endswith(f"_{matrix}") for name in tensors.names)
    return np.stack([tensors[f"attn_{layer}_{matrix}"][:, token] for layer in range(layers)])


def read_with_reference(activations: store.Tensors, reference: store.Tensors, matrix: str, token: int) -> np.ndarray:
    """Read the vectors of all words at the target token, and behind them those of the reference words, if any.

    Parameters
    ----------
    activations, reference : Tensors
        The open files `data/activations.safetensors` and `data/reference.safetensors`.
    matrix, token
        As `read_vectors`.

    Returns
    -------
    ndarray of float32, shape (layers, words + reference words, units)

    Raises
    ------
    UserError
        If the prompt has no such token.
    """
    vectors = read_vectors(activations, matrix, token, "tokens.target")
    if not reference.names:
        return vectors
    return np.concatenate([vectors, read_vectors(reference, matrix, token, "tokens.target")], axis=1)


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
    layers = sum(name.endswith("_x") for name in activations.names)
    biases = {}
    for matrix in store.MATRICES:
        none = np.zeros(activations.shape(f"attn_0_{matrix}")[-1], dtype=np.float32)
        names = [f"attn_{layer}_{matrix}_bias" for layer in range(layers)]
        biases[matrix] = np.stack([activations[name][:] if name in activations.names else none for name in names])
    return biases
