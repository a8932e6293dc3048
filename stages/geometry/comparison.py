"""Comparing matrices with each other: unit by unit, and by the geometry of their words (RSA)."""

from collections.abc import Mapping

import numpy as np

MATRICES = ("q", "k", "v")
PAIRS = ("qk", "qv", "kv")


def pearson(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    r"""Pearson correlation over the last axis.

    .. math:: r = \frac{\sum (x - \bar{x})(y - \bar{y})}{\sqrt{\sum (x - \bar{x})^2 \sum (y - \bar{y})^2}}

    Parameters
    ----------
    first, second : ndarray, shape (..., n)
        Of the same last length; the axes before it are broadcast.

    Returns
    -------
    ndarray of float64, shape (...)
        From -1 to 1.

    Raises
    ------
    FloatingPointError
        If a row is constant up to the rounding of float32, so that its correlation is undefined.

    Examples
    --------
    >>> float(pearson(np.array([1.0, 2, 3]), np.array([2.0, 4, 7])).round(3))
    0.993
    """
    centred = [_centred_unit(np.asarray(values, dtype=np.float64)) for values in (first, second)]
    return np.clip(np.einsum("...n,...n->...", *centred), -1, 1)


def _centred_unit(values: np.ndarray) -> np.ndarray:
    centred = values - values.mean(axis=-1, keepdims=True)
    norms = np.linalg.norm(centred, axis=-1, keepdims=True)
    noise = 4 * np.finfo(np.float32).eps * np.abs(values).max(axis=-1, keepdims=True) * np.sqrt(values.shape[-1])
    if (norms <= noise).any():
        where = np.argwhere((norms <= noise)[..., 0])[0]
        layer = f" (layer {where[0]})" if where.size else ""
        raise FloatingPointError(f"a correlation is undefined: one of its sides is constant{layer}")
    return centred / norms


def pairwise(matrices: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Correlate Q with K, Q with V and K with V, in every layer.

    On activations, flattened over words and units, this is the unit-by-unit correlation of the post; on condensed
    similarities it is the RSA score (Kriegeskorte, Mur & Bandettini 2008, doi:10.3389/neuro.06.004.2008).

    Parameters
    ----------
    matrices : mapping of "q", "k", "v" to ndarray, shape (layers, n)

    Returns
    -------
    dict of "qk", "qv", "kv" to ndarray of float64, shape (layers,)
        Pearson r.

    Raises
    ------
    FloatingPointError
        If a layer of a matrix is constant.
    """
    return {pair: pearson(matrices[pair[0]], matrices[pair[1]]) for pair in PAIRS}


def every_layer(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Correlate every layer of one run with every layer of another, by one matrix product.

    Parameters
    ----------
    first : ndarray, shape (layers of A, n)
        On condensed similarities of the same words in the same order, the scores are RSA scores.
    second : ndarray, shape (layers of B, n)

    Returns
    -------
    ndarray of float64, shape (layers of A, layers of B)
        Pearson r, from -1 to 1.

    Raises
    ------
    FloatingPointError
        If a layer is constant up to the rounding of float32.

    Examples
    --------
    >>> every_layer(np.array([[1.0, 2, 3], [3.0, 2, 1]]), np.array([[2.0, 4, 7]])).round(3)
    array([[ 0.993],
           [-0.993]])
    """
    units = [_centred_unit(np.asarray(values, dtype=np.float64)) for values in (first, second)]
    return np.clip(units[0] @ units[1].T, -1, 1)


def fisher_z(r: np.ndarray) -> np.ndarray:
    r"""Fisher's z of correlations, which is not bounded by 1.

    .. math:: z = \operatorname{artanh}(r)

    Parameters
    ----------
    r : ndarray
        Correlations. An exact 1 or -1, whose z is infinite, is clipped to the nearest float64 below it: z = 18.7.

    Returns
    -------
    ndarray of float64, the shape of `r`
    """
    below_one = np.nextafter(1.0, 0.0)
    return np.arctanh(np.clip(np.asarray(r, dtype=np.float64), -below_one, below_one))


def same_rows(vectors: np.ndarray) -> bool:
    """Tell whether all words have the same vectors, up to the rounding of float32.

    Behind a causal mask they do at every token before the word: the model has seen the same text.

    Parameters
    ----------
    vectors : ndarray, shape (..., words, units)
    """
    largest = np.abs(vectors).max(initial=0)
    return bool(np.abs(vectors - vectors[..., :1, :]).max(initial=0) <= 1e-4 * largest)
