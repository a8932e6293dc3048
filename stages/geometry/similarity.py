"""Similarities of all word pairs; larger is always more alike."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from stages.geometry.names import MetricName, TransformName
from stages.geometry.pairs import condense, pairs_of
from stages.geometry.transforms import TRANSFORMS, deviations

#: Bytes of vectors that are worked on at a time: what a processor's cache holds, so that memory is read only once.
BLOCK = 2**19
#: Bits of the coarse and of the fine part of a unit. Whole numbers are exact up to 2^53: products of coarse parts,
#: shorter than 2^26, sum to at most 2^52, those of coarse and fine parts to 2^46 times the root of the units.
COARSE, FINE = 26, 20


class Metric(NamedTuple):
    """How alike two words' vectors are: a function of the dot products of rows that are made of them."""

    #: Takes vectors, shape (..., words, units), and returns what dot products are taken of, of the same shape.
    rows: Callable[[np.ndarray], np.ndarray]
    range: tuple[float, float]  # of the similarities: the second is a word's with itself
    long: str  # what it is called on an axis
    #: Of ``rotation`` of the units, ``scale`` (positive) and ``shift`` (the same number added to every unit) of single
    #: words, and ``translation`` (the same vector added to all words).
    invariant_to: frozenset[str]
    #: Overwrites dot products of two words' rows, shape (..., words, words), with similarities; takes the squared
    #: lengths of rows as well, shapes (..., words, 1) and (..., 1, words). Without it, dot products are similarities.
    kernel: Callable[[np.ndarray, np.ndarray, np.ndarray], None] | None = None

    @property
    def own(self) -> float:
        """The similarity of a word with itself."""
        return self.range[1]

    @property
    def bounded(self) -> bool:
        """Whether similarities are those of directions, and not negated distances."""
        return np.isfinite(self.range[0])

    def __call__(self, vectors: np.ndarray, strict: bool = True, dtype: type | None = None) -> np.ndarray:
        """Return similarities, shape (..., words, units) to (..., pairs), condensed as in `stages.geometry.pairs`.

        Without a dtype in float64, from exact products; otherwise from products in that precision, in whose last bits
        processors differ. If the metric needs a direction and a vector has none, FloatingPointError; NaN if not
        `strict`.
        """
        rows = self.rows(vectors)
        if dtype is None:
            products = exact_products(directions(rows) if self.bounded else rows)
        else:
            rows = rows.astype(dtype, copy=False)
            products = rows @ np.swapaxes(rows, -1, -2)
        squares = np.diagonal(products, axis1=-2, axis2=-1).copy()
        if self.bounded:
            known = (squares > 0) & (squares < np.inf)
            if strict and not known.all():
                raise FloatingPointError(
                    "a vector is zero, and has no direction to compare; euclidean distances need none"
                )
            lengths = np.sqrt(np.where(known, squares, np.nan))  # of exact products 1, up to the last bits
            products /= lengths[..., :, None]
            products /= lengths[..., None, :]
        if self.kernel:
            self.kernel(products, squares[..., :, None], squares[..., None, :])
        return condense(products)


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


def directions(vectors: np.ndarray) -> np.ndarray:
    """Scale vectors, shape (..., units), to length 1, in float64; one that is zero becomes NaN."""
    vectors = np.asarray(vectors, dtype=np.float64)
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(norms, norms, np.nan)


def _negated_distance(products: np.ndarray, own: np.ndarray, others: np.ndarray) -> None:
    products *= -2
    products += own
    products += others
    np.negative(np.sqrt(np.maximum(products, 0, out=products), out=products), out=products)


#: x . y / (|x| |y|)
cosine = Metric(np.asarray, (-1.0, 1.0), "Cosine similarity", frozenset({"rotation", "scale"}))
#: Pearson's r over units: the cosine of the vectors less their means over units.
correlation = Metric(partial(deviations, axis=-1), (-1.0, 1.0), "Correlation", frozenset({"scale", "shift"}))
#: -|x - y|, in the units of the vectors. The words' mean is taken away: distances stay, and |x|^2 + |y|^2 - 2xy loses
#: fewer digits to cancellation.
euclidean = Metric(
    partial(deviations, axis=-2),
    (-np.inf, 0.0),
    "Negated distance",
    frozenset({"rotation", "translation"}),
    _negated_distance,
)

#: The values of `similarity.metric` in params.yaml.
METRICS: dict[MetricName, Metric] = {"cosine": cosine, "correlation": correlation, "euclidean": euclidean}


class Similar(NamedTuple):
    """A metric after a transform: called with vectors, it returns the similarities of all pairs of words."""

    #: How many of the vectors are words'. The transform's statistics are those of the reference words behind them;
    #: without any, of the words themselves.
    words: int
    metric: MetricName
    transform: TransformName
    single: bool = False  # whether single precision is enough for `similarities`, where it is

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Similar":
        """Return the one by which similarities were made, from the record of their file."""
        return cls(len(record["words"]), record["metric"], record["transform"])

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """Return float64: (..., words + reference words, units) to (..., pairs), condensed; errors as the metric's."""
        return METRICS[self.metric](self._transformed(vectors))

    def _transformed(self, vectors: np.ndarray) -> np.ndarray:
        own, reference = np.split(vectors, [self.words], axis=-2)
        return TRANSFORMS[self.transform].apply(own, reference if reference.shape[-2] else own)

    def many(self, vectors: Sequence[np.ndarray], strict: bool = True, dtype: type = np.float64) -> np.ndarray:
        """Return the similarities of many geometries, of `dtype`; not the same to the last bit on every processor.

        Vectors, each of shape (draws, words + reference words, units), whose units may differ, to (all draws, pairs).
        If `strict`, a vector that has no direction is an error; otherwise its similarities are NaN.
        """
        found, start = np.empty((sum(map(len, vectors)), pairs_of(self.words)), dtype), 0
        for some in vectors:
            size = max(1, BLOCK // some[0].nbytes)
            for block in np.split(some, range(size, len(some), size)):
                place = slice(start, start := start + len(block))
                found[place] = METRICS[self.metric](self._transformed(block), strict, dtype)
        return found


def dissimilarity(similarity: np.ndarray, metric: MetricName) -> np.ndarray:
    r"""Turn similarities into dissimilarities of the same shape, 0 for vectors that are the same to the metric.

    .. math:: d_{ij} = 1 - s_{ij} \text{ for cosine and correlation,} \quad d_{ij} = -s_{ij} \text{ for euclidean}

    At least 0: rounding may leave the cosine of parallel vectors a little above 1.

    Examples
    --------
    >>> dissimilarity(np.array([1.0, 0.25, -1.0]), "cosine"), dissimilarity(np.array([-3.0]), "euclidean")
    (array([0.  , 0.75, 2.  ]), array([3.]))
    """
    return np.maximum(METRICS[metric].own - similarity, 0)
