"""How well many geometries of the same words agree, each with each other, from pairs that come piece by piece."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from stages.geometry.comparison import NOISE


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


def agreement(pieces: Iterable[np.ndarray], within: np.ndarray, strict: bool = True, sets: int = 1) -> Agreement:
    r"""Correlate similarities over all pairs of words, within and across categories, and take Cohen's d.

    All follow from sums S of products and s of similarities, over all N pairs and over those within:

    .. math:: C = S - \frac{s s^\top}{N}, \quad r = \frac{C_{ab}}{\sqrt{C_{aa} C_{bb}}}, \quad
              d = \frac{s_w/n_w - s_a/n_a}{\sqrt{(C_w + C_a)/(N - 2)}}

    The similarities are first brought near 0, by their means in the first piece: far from it, sums lose digits.

    Parameters
    ----------
    pieces : iterable of ndarray, shape (n × sets, some pairs)
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
        If similarities do not vary up to `NOISE`.
    """
    start, shift, sums, products = 0, 0.0, 0.0, 0.0
    for piece in pieces:
        shift = shift if start else piece.mean(axis=1, keepdims=True)
        piece -= shift
        part = within[start : (start := start + piece.shape[1])]
        kinds = [_in_sets(some, sets) for some in (piece, np.compress(part, piece, axis=1))]
        sums = sums + np.stack([values.sum(axis=-1) for values in kinds])
        products = products + np.stack([values @ values.swapaxes(-1, -2) for values in kinds])
    inside = int(within.sum())
    n = np.array([len(within), inside, len(within) - inside])[:, None, None]
    shift = _in_sets(shift, sets)[..., 0]
    sums, products = (np.stack([every, own, every - own]) for every, own in (sums, products))
    scatter = products - sums[..., :, None] * sums[..., None, :] / n[..., None]
    squares = np.diagonal(scatter, axis1=-1, axis2=-2)
    lengths = np.diagonal(products, axis1=-1, axis2=-2) + 2 * shift * sums + n * np.square(shift)
    flat = ~(squares > NOISE**2 * lengths)
    if strict and flat.any():
        raise FloatingPointError("a correlation is undefined: the similarities of one of its sides do not vary")
    norms = np.sqrt(np.where(flat, np.nan, squares))
    r = np.clip(scatter / (norms[..., :, None] * norms[..., None, :]), -1, 1)
    means = sums / n
    pooled = np.where(flat[0], np.nan, squares[1] + squares[2]) / (len(within) - 2)
    return Agreement(
        dict(zip(("rsa", "rsa_within", "rsa_across"), r, strict=True)), (means[1] - means[2]) / np.sqrt(pooled)
    )


def _in_sets(values: np.ndarray, sets: int) -> np.ndarray:
    """Put the geometries of a set together: (n × sets, pairs) to (sets, n, pairs)."""
    return values.reshape(-1, sets, values.shape[1]).swapaxes(0, 1)
