"""Similarities of all word pairs; larger is always more alike.

A metric takes vectors of shape (..., words, units) and gives float64 of shape (..., pairs), condensed as
`stages.geometry.pairs` tells.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stages.geometry.pairs import condense, row_blocks
from stages.geometry.transforms import TRANSFORMS, deviations

#: Bytes of vectors that are scaled at a time: what a processor's cache holds, so that memory is read only once.
BLOCK = 2**18
#: Bytes of similarities that are made at a time where all are not kept.
PIECE = 2**24
#: Bits of the coarse and of the fine part of a unit. Whole numbers are exact up to 2^53: products of coarse parts,
#: shorter than 2^26, sum to at most 2^52, those of coarse and fine parts to 2^46 times the root of the units.
COARSE, FINE = 26, 20


def cosine(vectors: np.ndarray) -> np.ndarray:
    r"""Cosine similarity, from -1 to 1; FloatingPointError if a vector is zero, so that it has no direction.

    .. math:: s_{ij} = \frac{x_i \cdot x_j}{\lVert x_i \rVert \, \lVert x_j \rVert}

    It does not change under a rotation of the units nor under a positive scaling of single words.
    """
    products = _products(directions(vectors))
    lengths = np.sqrt(np.diagonal(products, axis1=-2, axis2=-1))  # 1, up to the last bits
    products /= lengths[..., :, None]
    products /= lengths[..., None, :]
    return condense(products)


def directions(vectors: np.ndarray, strict: bool = True, dtype: type = np.float64) -> np.ndarray:
    """Scale vectors to length 1; a vector that is zero is an error, or becomes NaN if not `strict`."""
    rows = vectors.reshape(-1, vectors.shape[-1])
    found = np.empty(rows.shape, dtype)
    step = max(1, BLOCK // (8 * rows.shape[-1]))
    for start in range(0, len(rows), step):
        block = rows[start : start + step].astype(np.float64)
        norms = np.linalg.norm(block, axis=-1, keepdims=True)
        if strict and not norms.all():
            raise FloatingPointError("a vector is zero, and has no direction to compare; euclidean distances need none")
        found[start : start + step] = np.divide(block, np.where(norms, norms, np.nan), out=block)
    return found.reshape(vectors.shape)


def correlation(vectors: np.ndarray) -> np.ndarray:
    r"""Pearson correlation over units, from -1 to 1; FloatingPointError if a vector is constant.

    .. math:: s_{ij} = \cos(x_i - \bar{x}_i, \; x_j - \bar{x}_j)

    It does not change under a positive scaling or a shift (the same number added to every unit) of single words.
    """
    return cosine(deviations(vectors, -1))


def euclidean(vectors: np.ndarray) -> np.ndarray:
    r"""Negated Euclidean distance, at most 0, in the units of the vectors.

    .. math:: s_{ij} = -\lVert x_i - x_j \rVert

    It does not change under a rotation of the units nor under a translation of all words.
    """
    # Distances stay when the words' mean goes, and |x|^2 + |y|^2 - 2xy then loses fewer digits to cancellation.
    products = _products(deviations(vectors, -2))
    squares = np.diagonal(products, axis1=-2, axis2=-1).copy()
    products *= -2
    products += squares[..., :, None]
    products += squares[..., None, :]
    squared = condense(products)
    return -np.sqrt(np.maximum(squared, 0, out=squared), out=squared)


def _products(vectors: np.ndarray) -> np.ndarray:
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


#: The values of `similarity.metric` in params.yaml.
METRICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "cosine": cosine,
    "correlation": correlation,
    "euclidean": euclidean,
}

#: What a metric takes dot products of: of vectors, strict or not, in a precision.
_ROWS: dict[str, Callable[[np.ndarray, bool, type], np.ndarray]] = {
    "cosine": directions,
    "correlation": lambda vectors, strict, dtype: directions(deviations(vectors, -1), strict, dtype),
    "euclidean": lambda vectors, strict, dtype: deviations(vectors, -2).astype(dtype),
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

    def pieces(
        self, vectors: Sequence[np.ndarray], strict: bool = True, chunk: int = PIECE, dtype: type = np.float64
    ) -> Iterator[np.ndarray]:
        """Yield the similarities of many geometries over some pairs at a time: those of thousands of words are large.

        Parameters
        ----------
        vectors : sequence of ndarray, shape (draws, words + reference words, units)
            Units may differ.
        strict : bool
            Whether a vector that has no direction is an error; otherwise all of its geometry is NaN.
        chunk : int
            Bytes of similarities held at a time.
        dtype : type
            The precision of products and of what is given.

        Yields
        ------
        ndarray of dtype, shape (all draws, some pairs)
            Over consecutive pairs of the condensed order.
        """
        rows = [_ROWS[self.metric](self._transformed(some), strict, dtype) for some in vectors]
        squares = [np.square(some).sum(axis=-1)[:, None] for some in rows] if self.metric == "euclidean" else rows
        geometries = sum(map(len, rows))
        for first in row_blocks(self.words, chunk // (np.dtype(dtype).itemsize * geometries)):
            found = np.empty((geometries, first.stop - first.start, self.words - first.start), dtype)
            place = 0
            for some, lengths in zip(rows, squares, strict=True):
                products = found[place : (place := place + len(some))]
                np.matmul(some[:, first], some[:, first.start :].swapaxes(-1, -2), out=products)
                if self.metric == "euclidean":
                    both = lengths[:, 0, first, None] + lengths[:, :, first.start :]
                    np.negative(np.sqrt(np.maximum(both - 2 * products, 0)), out=products)
            yield np.concatenate([found[:, row, row + 1 :] for row in range(found.shape[1])], axis=1)


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
