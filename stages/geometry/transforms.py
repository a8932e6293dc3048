"""Transforms of the vectors before they are compared: what all words share is taken away.

References
----------
Ethayarajh, K. (2019), arXiv:1909.00512. Timkey, W. & van Schijndel, M. (2021), arXiv:2109.04404.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from stages.geometry.names import TransformName

#: Share of the largest number that rounding may leave of a difference.
ROUNDING = 1e-14


def deviations(vectors: np.ndarray, axis: int, reference: np.ndarray | None = None) -> np.ndarray:
    """Subtract the mean over an axis, of the vectors themselves or of a reference; float64 of the vectors' shape.

    What rounding alone leaves is set to 0: as a direction it would be noise.
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    reference = vectors if reference is None else np.asarray(reference, dtype=np.float64)
    left = vectors - reference.mean(axis=axis, keepdims=True)
    if np.abs(left).min() <= ROUNDING * max(reference.max(), -reference.min()):  # whole arrays are looked at faster
        left[np.abs(left) <= ROUNDING * np.abs(reference).max(axis=axis, keepdims=True)] = 0
    return left


def center(vectors: np.ndarray, reference: np.ndarray) -> np.ndarray:
    r"""Take away each unit's mean over the reference words; shapes as `Transform.apply`.

    .. math:: y_{iu} = x_{iu} - \bar{x}_u

    Without it, a few units that are large for every word decide all similarities (anisotropy). Centred on the words
    themselves, vectors sum to 0: the mean of all dot products of two of n words is then exactly
    :math:`-\overline{\lVert y \rVert^2}/(n - 1)`, and cosines have a negative mean whatever the words are. A longer
    reference list avoids that. The result does not change when the same vector is added to all words of both.
    """
    return deviations(vectors, -2, reference)


def zscore(vectors: np.ndarray, reference: np.ndarray) -> np.ndarray:
    r"""Take away each unit's mean over the reference words, at least two, and divide by its SD (n - 1) over them.

    .. math:: y_{iu} = \frac{x_{iu} - \bar{x}_u}{s_u}

    Shapes as `Transform.apply`.

    Every unit then counts alike. A unit that does not vary over the reference (up to the rounding of float32) has no
    z-score and is set to 0. The result does not change when units are shifted or scaled, each on its own, in both.
    """
    centred = center(vectors, reference)
    others = centred if reference is vectors else center(reference, reference)
    sd = np.sqrt(np.square(others).sum(axis=-2, keepdims=True) / (reference.shape[-2] - 1))
    varies = sd > 4 * np.finfo(np.float32).eps * np.abs(reference).max(axis=-2, keepdims=True)
    return centred / np.where(varies, sd, np.inf)


class Transform(NamedTuple):
    """What is done to vectors before they are compared."""

    #: Takes vectors, shape (..., words, units), and those of reference words, shape (..., reference words, units): the
    #: vectors themselves or those of other words. Returns float64 of the shape of the vectors.
    apply: Callable[[np.ndarray, np.ndarray], np.ndarray]
    label: str  # what vectors are then, in a legend
    short: str  # and in a list of choices
    #: Of ``shift`` (of single units, the same in all words and reference words) and ``scale`` (of single units).
    invariant_to: frozenset[str]


#: The values of `similarity.transform` in params.yaml.
TRANSFORMS: dict[TransformName, Transform] = {
    "none": Transform(lambda vectors, reference: vectors, "as they are", "raw", frozenset()),
    "center": Transform(center, "centred", "centred", frozenset({"shift"})),
    "zscore": Transform(zscore, "z-scored", "z-scored", frozenset({"shift", "scale"})),
}
