"""How well many geometries of the same words agree, each with each other, from pairs that come piece by piece."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from stages.geometry.comparison import NOISE
from stages.geometry.similarity import Similar

#: `NOISE` of single precision: similarities that vary less are taken in double precision. They are rounded to 6e-8, so
#: that of those that vary by 1e-4 not a millionth of the variance is noise.
SINGLE_NOISE = 1e-4
#: Share of the sum of squares about the first piece's mean below which scatter is what rounding has left, by precision.
ROUNDING = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-6}


class Agreement(NamedTuple):
    """Scores of geometries, n in each set.

    Attributes
    ----------
    r : dict of str to ndarray, shape (sets, n, n)
        Pearson correlations of all pairs of geometries of a set: ``rsa``, ``rsa_within``, ``rsa_across``.
    d : ndarray, shape (sets, n)
        Cohen's d.
    """

    r: dict[str, np.ndarray]
    d: np.ndarray


def agree(
    vectors: Sequence[np.ndarray], similar: Similar, within: np.ndarray, strict: bool = True, sets: int = 1
) -> Agreement:
    """Correlate the similarities of geometries as `agreement` does, in single precision where that is enough.

    It is where `similar` says so, of cosines and correlations, if all of them vary by more than `SINGLE_NOISE`.
    (Distances may lose more: what is subtracted there is much larger than they are.)

    Parameters
    ----------
    vectors : sequence of ndarray, shape (draws, words + reference words, units)
        Units may differ.
    similar : Similar
    within, strict, sets, errors
        As `agreement`.

    Returns
    -------
    Agreement
    """
    if similar.single and similar.metric != "euclidean":
        with suppress(FloatingPointError):
            return agreement(similar.pieces(vectors, dtype=np.float32), within, sets=sets)
    return agreement(similar.pieces(vectors, strict), within, strict, sets)


def agreement(pieces: Iterable[np.ndarray], within: np.ndarray, strict: bool = True, sets: int = 1) -> Agreement:
    r"""Correlate similarities over all pairs of words, within and across categories, and take Cohen's d.

    All follow from sums S of products and s of similarities, over all N pairs and over those within:

    .. math:: C = S - \frac{s s^\top}{N}, \quad r = \frac{C_{ab}}{\sqrt{C_{aa} C_{bb}}}, \quad
              d = \frac{s_w/n_w - s_a/n_a}{\sqrt{(C_w + C_a)/(N - 2)}}

    The similarities are first brought near 0, by their means in the first piece: far from it, sums lose digits.

    Parameters
    ----------
    pieces : iterable of ndarray, shape (n × sets, some pairs)
        In single precision their products are, too; sums are always in double precision.
        Similarities over consecutive pairs, which together are all; they are overwritten. The first geometry of each
        set comes first, then the second of each.
    within : ndarray of bool, shape (pairs,)
        Which pairs lie within a category.
    strict : bool
        Whether similarities that do not vary, of either kind, are an error; otherwise their scores are NaN.
    sets : int
        Geometries of different sets are not compared.

    Returns
    -------
    Agreement

    Raises
    ------
    FloatingPointError
        If similarities do not vary up to `NOISE` (in single precision `SINGLE_NOISE`).
    """
    start, shift, sums, products = 0, 0.0, 0.0, 0.0
    for piece in pieces:
        shift = shift if start else piece.mean(axis=1, keepdims=True)
        piece -= shift
        part = within[start : (start := start + piece.shape[1])]
        kinds = [_in_sets(some, sets) for some in (piece, np.compress(part, piece, axis=1))]
        sums = sums + np.stack([values.sum(axis=-1, dtype=np.float64) for values in kinds])
        products = products + np.stack([values @ values.swapaxes(-1, -2) for values in kinds]).astype(np.float64)
    inside = int(within.sum())
    n = np.array([len(within), inside, len(within) - inside])[:, None, None]
    shift = _in_sets(shift, sets)[..., 0]
    sums, products = (np.stack([every, own, every - own]) for every, own in (sums, products))
    scatter = products - sums[..., :, None] * sums[..., None, :] / n[..., None]
    squares = np.diagonal(scatter, axis1=-1, axis2=-2)
    lengths = np.diagonal(products, axis1=-1, axis2=-2) + 2 * shift * sums + n * np.square(shift)
    noise = NOISE if piece.dtype == np.float64 else SINGLE_NOISE
    flat = ~(squares > np.maximum(noise**2 * lengths, ROUNDING[piece.dtype] * np.diagonal(products, 0, -2, -1)))
    if strict and flat.any():
        raise FloatingPointError("a correlation is undefined: the similarities of one of its sides do not vary")
    norms = np.sqrt(np.where(flat, np.nan, squares))
    r = np.clip(scatter / (norms[..., :, None] * norms[..., None, :]), -1, 1)
    means = sums / n
    pooled = np.where(flat[0] | (flat[1] & flat[2]), np.nan, squares[1] + squares[2]) / (len(within) - 2)
    return Agreement(
        dict(zip(("rsa", "rsa_within", "rsa_across"), r, strict=True)), (means[1] - means[2]) / np.sqrt(pooled)
    )


def _in_sets(values: np.ndarray, sets: int) -> np.ndarray:
    """Put the geometries of a set together: (n × sets, pairs) to (sets, n, pairs)."""
    return values.reshape(-1, sets, values.shape[1]).swapaxes(0, 1)
