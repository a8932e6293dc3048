"""Similarities of all word pairs; larger is always more alike.

A metric takes vectors of shape (..., words, units) and gives float64 of shape (..., pairs), condensed as
`stages.geometry.pairs` tells.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from stages.geometry.pairs import condense, pairs_of
from stages.geometry.transforms import TRANSFORMS, deviations

#: Bytes of vectors that are worked on at a time: what a processor's cache holds, so that memory is read only once.
BLOCK = 2**19
#: Bits of the coarse and of the fine part of a unit. Whole numbers are exact up to 2^53: products of coarse parts,
#: shorter than 2^26, sum to at most 2^52, those of coarse and fine parts to 2^46 times the root of the units.
COARSE, FINE = 26, 20


def exact_products(vectors: np.ndarray) -> np.ndarray:
    r"""Return all dot products, shape (..., words, words), the same to the last bit on every processor.

    Processors add up in different orders, and a sum of rounded numbers depends on the order. So each vector is split
    into whole multiples of a coarse and of a fine step, :math:`x = h + l`, with so few bits that products and all sums
    of products are exact:

    .. math:: x x^\top \approx h h^\top + h l^\top + l h^\top

    What is left out lies beyond the 46th bit of the largest vector.

    References
    ----------
    Ozaki, K., Ogita, T., Oishi, S. & Rump, S. M. (2012), doi:10.1007/s11075-011-9478-1.
    """
    longest = np.sqrt(np.square(vectors).sum(axis=-1).max(axis=-1, initial=0))[..., None, None]
    exponent = np.frexp(1.001 * longest)[1]  # rounding may lengthen a vector
    rest = np.ldexp(vectors, COARSE - exponent)
    coarse = np.rint(rest)
    rest -= coarse
    fine = np.rint(np.ldexp(rest, FINE, out=rest), out=rest)
    products = coarse @ np.swapaxes(fine, -1, -2)
    products = np.ldexp(products + np.swapaxes(products, -1, -2), -FINE)
    products += coarse @ np.swapaxes(coarse, -1, -2)  # of which BLAS computes one triangle: half the work
    return np.ldexp(products, 2 * (exponent - COARSE), out=products)


def _products(vectors: np.ndarray, dtype: type | None) -> np.ndarray:
    """Return all dot products in a precision, processors differing in the last bits; without one, exact ones."""
    if dtype is None:
        return exact_products(vectors)
    rows = vectors.astype(dtype, copy=False)
    return rows @ np.swapaxes(rows, -1, -2)


def cosine(vectors: np.ndarray, strict: bool = True, dtype: type | None = None) -> np.ndarray:
    r"""Cosine similarity, from -1 to 1; a vector that is zero is an error, or has NaN if not `strict`.

    .. math:: s_{ij} = \frac{x_i \cdot x_j}{\lVert x_i \rVert \, \lVert x_j \rVert}

    It does not change under a rotation of the units nor under a positive scaling of single words.
    """
    products = _products(directions(vectors) if dtype is None else vectors, dtype)
    squares = np.diagonal(products, axis1=-2, axis2=-1)  # of directions 1, up to the last bits
    known = (squares > 0) & (squares < np.inf)
    if strict and not known.all():
        raise FloatingPointError("a vector is zero, and has no direction to compare; euclidean distances need none")
    lengths = np.sqrt(np.where(known, squares, np.nan))
    products /= lengths[..., :, None]
    products /= lengths[..., None, :]
    return condense(products)


def directions(vectors: np.ndarray) -> np.ndarray:
    """Scale vectors to length 1, in float64; one that is zero becomes NaN."""
    vectors = np.asarray(vectors, dtype=np.float64)
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(norms, norms, np.nan)


def correlation(vectors: np.ndarray, strict: bool = True, dtype: type | None = None) -> np.ndarray:
    r"""Pearson correlation over units, from -1 to 1; a vector that is constant is an error, or has NaN.

    .. math:: s_{ij} = \cos(x_i - \bar{x}_i, \; x_j - \bar{x}_j)

    It does not change under a positive scaling or a shift (the same number added to every unit) of single words.
    """
    return cosine(deviations(vectors, -1), strict, dtype)


def euclidean(vectors: np.ndarray, strict: bool = True, dtype: type | None = None) -> np.ndarray:
    r"""Negated Euclidean distance, at most 0, in the units of the vectors.

    .. math:: s_{ij} = -\lVert x_i - x_j \rVert

    It does not change under a rotation of the units nor under a translation of all words.
    """
    # Distances stay when the words' mean goes, and |x|^2 + |y|^2 - 2xy then loses fewer digits to cancellation.
    products = _products(deviations(vectors, -2), dtype)
    squares = np.diagonal(products, axis1=-2, axis2=-1).copy()
    products *= -2
    products += squares[..., :, None]
    products += squares[..., None, :]
    squared = condense(products)
    return -np.sqrt(np.maximum(squared, 0, out=squared), out=squared)


#: The values of `similarity.metric` in params.yaml.
METRICS: dict[str, Callable[..., np.ndarray]] = {
    "cosine": cosine,
    "correlation": correlation,
    "euclidean": euclidean,
}


@dataclass(frozen=True)
class Similar:
    """A metric after a transform: called with vectors, it gives the similarities of all pairs of words.

    Attributes
    ----------
    words : int
        How many of the vectors are words'. The transform's statistics are those of the reference words behind them;
        without any, of the words themselves.
    metric : str
        A key of `METRICS`.
    transform : str
        A key of `stages.geometry.transforms.TRANSFORMS`.
    single : bool
        Whether single precision is enough for `agree`, where it is.
    """

    words: int
    metric: str
    transform: str
    single: bool = False

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """Return float64: (..., words + reference words, units) to (..., pairs), condensed; errors as the metric's."""
        return METRICS[self.metric](self._transformed(vectors))

    def _transformed(self, vectors: np.ndarray) -> np.ndarray:
        own, reference = vectors[..., : self.words, :], vectors[..., self.words :, :]
        return TRANSFORMS[self.transform](own, reference if reference.shape[-2] else own)

    def many(self, vectors: Sequence[np.ndarray], strict: bool = True, dtype: type = np.float64) -> np.ndarray:
        """Return the similarities of many geometries; not the same to the last bit on every processor.

        Parameters
        ----------
        vectors : sequence of ndarray, shape (draws, words + reference words, units)
            Units may differ.
        strict : bool
            Whether a vector that has no direction is an error; otherwise its similarities are NaN.
        dtype : type
            The precision of products and of what is returned.

        Returns
        -------
        ndarray of dtype, shape (all draws, pairs)
        """
        found, start = np.empty((sum(map(len, vectors)), pairs_of(self.words)), dtype), 0
        for some in vectors:
            size = max(1, BLOCK // some[0].nbytes)
            for block in np.split(some, range(size, len(some), size)):
                place = slice(start, start := start + len(block))
                found[place] = METRICS[self.metric](self._transformed(block), strict, dtype)
        return found


def dissimilarity(similarity: np.ndarray, metric: str) -> np.ndarray:
    r"""Turn similarities into dissimilarities, which are 0 for vectors that are the same to the metric.

    .. math:: d_{ij} = 1 - s_{ij} \text{ for cosine and correlation,} \quad d_{ij} = -s_{ij} \text{ for euclidean}

    Parameters
    ----------
    similarity : ndarray
    metric : str
        A key of `METRICS`.

    Returns
    -------
    ndarray
        At least 0: rounding may leave the cosine of parallel vectors a little above 1. Same shape.

    Examples
    --------
    >>> dissimilarity(np.array([1.0, 0.25, -1.0]), "cosine")
    array([0.  , 0.75, 2.  ])
    >>> dissimilarity(np.array([-3.0]), "euclidean")
    array([3.])
    """
    return np.maximum((0 if metric == "euclidean" else 1) - similarity, 0)
