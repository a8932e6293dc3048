"""Comparing matrices with each other: unit by unit, and by the geometry of their words (RSA)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from stages.geometry.moments import undefined, varies
from stages.geometry.names import MATRICES, PAIRS, Arrays, ComparisonName
from stages.geometry.pairs import rows_of, square, words_of


def pearson(first: np.ndarray, second: np.ndarray, names: Sequence[str] = ("", "")) -> np.ndarray:
    r"""Pearson correlation over the last axis, from -1 to 1: shapes (..., n), broadcast, to float64 of shape (...).

    .. math:: r = \frac{\sum (x - \bar{x})(y - \bar{y})}{\sqrt{\sum (x - \bar{x})^2 \sum (y - \bar{y})^2}}

    FloatingPointError if a row is constant, so that its correlation is undefined; it says which of the two `names`.

    Examples
    --------
    >>> float(pearson(np.array([1.0, 2, 3]), np.array([2.0, 4, 7])).round(3))
    0.993
    """
    return np.clip(product_sum(*map(unit_norm, (first, second), names)), -1, 1)


def unit_norm(values: np.ndarray, name: str = "") -> np.ndarray:
    r"""Centre and scale the last axis, so that the product sum of two such rows is their Pearson correlation.

    .. math:: u = \frac{x - \bar{x}}{\lVert x - \bar{x} \rVert}

    float64, the shape of `values`; FloatingPointError, with the `name`, if a row is constant.
    """
    values = np.asarray(values, dtype=np.float64)
    units = values - values.mean(axis=-1, keepdims=True)
    scatter, lengths = (product_sum(rows, rows)[..., None] for rows in (units, values))
    if not varies(scatter, lengths, scatter).all():
        raise FloatingPointError(undefined(name))
    units *= 1 / np.sqrt(scatter)
    return units


def product_sum(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Sum the products of two arrays over their last axis: shapes (..., n), broadcast, to shape (...).

    By einsum, not by BLAS's dot product, which wakes threads for every row: many times slower on a busy machine.
    """
    return np.einsum("...n,...n->...", first, second)


def ranks(values: np.ndarray, own: float = 1.0) -> np.ndarray:
    """Rank the last axis, shape (..., n), from 1; ties share their mean rank. Pearson's r of ranks is Spearman's.

    Without ties, as among similarities, it is rsatoolbox's ρ-a, too.
    """
    rows = values.reshape(-1, values.shape[-1])
    found = np.empty(rows.shape)
    for row, into in zip(rows, found, strict=True):  # one by one, as a row fits into a processor's cache
        order = np.argsort(row)
        ordered = row[order]
        starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
        sizes = np.diff(np.append(starts, len(row)))
        into[order] = np.repeat(starts + (sizes + 1) / 2, sizes)
    return found.reshape(values.shape)


def u_centred(condensed: np.ndarray, own: float = 1.0) -> np.ndarray:
    r"""U-centre similarities; Pearson's r of two such matrices is their debiased centred kernel alignment.

    From shape (..., pairs) to float64 of the same shape. Without the diagonal of n words (sums over l, m lack it, too):

    .. math:: \tilde{s}_{ij} = s_{ij} - \frac{\sum_l s_{il} + \sum_l s_{lj}}{n - 2}
              + \frac{\sum_{lm} s_{lm}}{(n - 1)(n - 2)}

    Rows of a U-centred matrix sum to 0, so that the correlation is the ratio of the unbiased estimates of HSIC. The
    score is linear CKA where similarities are dot products; with cosines it is that of vectors of unit length. It is
    near 0 for unrelated data; the biased estimate, which keeps the diagonal, is near 1 where units outnumber words.
    FloatingPointError if a U-centred matrix is 0: similarities are sums of one number a word, as any three words' are.

    References
    ----------
    Szekely, G. J. & Rizzo, M. L. (2014), arXiv:1310.2926 (U-centring). Kornblith, S. et al. (2019), arXiv:1905.00414
    (CKA). Murphy, A. et al. (2024), arXiv:2405.01012 (bias).
    """
    condensed = np.asarray(condensed, dtype=np.float64)
    words = words_of(condensed.shape[-1])
    sums, centred = np.zeros((*condensed.shape[:-1], words)), np.empty_like(condensed)
    for row, place in rows_of(words):
        sums[..., row] += condensed[..., place].sum(axis=-1)
        sums[..., row + 1 :] += condensed[..., place]
    # A word's share: two of them hold half of the last term each.
    shares = (sums - sums.sum(axis=-1, keepdims=True) / max(2 * (words - 1), 1)) / max(words - 2, 1)
    for row, place in rows_of(words):
        centred[..., place] = condensed[..., place] - shares[..., row, None] - shares[..., row + 1 :]
    # Three words, or rows that are all alike, leave rounding alone: some 1e-16 of the largest.
    if (np.abs(centred).max(axis=-1) <= 1e-9 * np.abs(condensed).max(axis=-1)).any():
        raise FloatingPointError("debiased CKA is undefined: a U-centred similarity matrix is 0")
    return centred


def whitened(condensed: np.ndarray, own: float = 1.0) -> np.ndarray:
    r"""Centre rows and columns of similarity matrices: Pearson's r of two of them is their whitened cosine.

    From shape (..., pairs) to (..., words²), with a word's similarity with itself, `own`, on the diagonal:

    .. math:: K = H S H, \qquad H = I - \tfrac{1}{n} 1 1^\top

    Dissimilarities of pairs that share a word have errors in common. The cosine that allows for them,
    :math:`d_a^\top V^{-1} d_b` over the root of both norms, with V their covariance where words are noisy alike and
    independently, is that of :math:`K_a` and :math:`K_b`: linear CKA, with the diagonal. Entries of K sum to 0, so that
    this cosine is their correlation.

    References
    ----------
    Diedrichsen, J. et al. (2021), arXiv:2007.02789.
    """
    matrices = square(np.asarray(condensed, dtype=np.float64), own)
    rows = matrices.mean(axis=-1, keepdims=True)
    centred = matrices - rows - rows.swapaxes(-1, -2) + rows.mean(axis=-2, keepdims=True)
    return centred.reshape(*condensed.shape[:-1], -1)


def whitened_about_mean(condensed: np.ndarray, own: float = 1.0) -> np.ndarray:
    """Return `whitened` of similarities less their mean, shape (..., pairs) to (..., words²).

    Pearson's r of two is their whitened correlation, whatever their level: `own` is not used.
    """
    return whitened(condensed - condensed.mean(axis=-1, keepdims=True), 0.0)


class Comparison(NamedTuple):
    """A score of how alike two geometries are: Pearson's r of something of either, larger being more alike.

    Scores within and across categories, tests, intervals and controls are Pearson's r of the similarities themselves.
    """

    #: Takes condensed similarities, shape (..., pairs), and that of a word with itself; returns what is correlated.
    features: Callable[[np.ndarray, float], np.ndarray]
    #: What the scores are called on an axis, in a sentence and in a list of choices, and their symbol.
    axis: str
    name: str
    short: str
    symbol: str
    robust: bool  # whether `metrics/robustness.csv` holds it beside the others: if it is on their scale
    nulls: bool  # whether random maps are scored by it as well
    #: Of ``word order`` (the same reordering of the words on both sides), ``shift``, ``positive scale`` and
    #: ``increasing function`` (of all similarities of one side), ``word effects`` (one number a word, added to all its
    #: similarities on one side).
    invariant_to: frozenset[str]

    def score(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Compare condensed similarities, shape (..., pairs): shape (...), from -1 to 1."""
        return pearson(self.features(first, 1.0), self.features(second, 1.0))


#: What no correlation of similarities looks at.
LINEAR = frozenset({"word order", "shift", "positive scale"})

#: The values of `rsa.comparison` in params.yaml.
COMPARISONS: dict[ComparisonName, Comparison] = {
    "pearson": Comparison(
        lambda condensed, own: condensed, "RSA scores", "Pearson's r", "Pearson", "r", True, True, LINEAR
    ),
    "spearman": Comparison(
        ranks, "RSA scores (Spearman)", "Spearman's ρ", "Spearman", "ρ", True, True, LINEAR | {"increasing function"}
    ),
    "cka_debiased": Comparison(
        u_centred, "RSA scores (debiased CKA)", "debiased CKA", "debiased CKA", "CKA", False, True,
        LINEAR | {"word effects"},
    ),
    "whitened_correlation": Comparison(
        whitened_about_mean, "RSA scores (whitened r)", "the whitened correlation", "whitened r", "r", False, False,
        LINEAR,
    ),
    "whitened_cosine": Comparison(
        whitened, "RSA scores (whitened cosine)", "the whitened cosine", "whitened cosine", "cos", False, False,
        frozenset({"word order"}),
    ),
}  # fmt: skip


def head_by_head(vectors: Arrays, heads: int, kv_heads: int) -> dict[str, np.ndarray]:
    """Repeat keys and values over the query heads that share them, so that each unit of Q has its own beside it.

    Under grouped-query attention query head h attends with key and value head ``h // (heads / kv_heads)``. Attention
    repeats them like this before it multiplies; without groups, nothing changes. Vectors of "q", "k" and "v", of shape
    (..., units), hold whole heads, one behind the other; K and V become ``heads / kv_heads`` times as wide. Heads of V
    may have another size than those of Q and K; where the three widths differ all the same, as in latent attention, the
    vectors are left as they are. ValueError if heads cannot be shared out evenly, or units cut into them.

    References
    ----------
    Ainslie, J. et al. (2023), arXiv:2305.13245 (grouped-query attention).

    Examples
    --------
    >>> head_by_head({"q": np.zeros(8), "k": np.arange(4), "v": np.arange(4)}, heads=4, kv_heads=2)["k"]
    array([0, 1, 0, 1, 2, 3, 2, 3])
    """
    if heads == kv_heads or len({values.shape[-1] for values in vectors.values()}) == len(MATRICES):
        return dict(vectors)
    if heads % kv_heads:
        raise ValueError(f"{heads} query heads cannot share {kv_heads} key and value heads evenly")

    def repeated(values: np.ndarray) -> np.ndarray:
        lead = values.shape[:-1]
        return np.repeat(values.reshape(*lead, kv_heads, -1), heads // kv_heads, axis=-2).reshape(*lead, -1)

    return {"q": vectors["q"], "k": repeated(vectors["k"]), "v": repeated(vectors["v"])}


def pairwise(matrices: Arrays, features: Callable[[np.ndarray], np.ndarray] = np.asarray) -> dict[str, np.ndarray]:
    """Correlate Q with K, Q with V and K with V, in every layer: shapes (layers, n) to (layers,), float64, by pair.

    On activations, flattened over words and units, this is the unit-by-unit correlation of the post; on condensed
    similarities it is the RSA score (Kriegeskorte, Mur & Bandettini 2008, doi:10.3389/neuro.06.004.2008). What of a
    matrix is correlated, `features` says, as in `Comparison`. Errors as `pearson`. Pairs of different n, for which r is
    not defined, are left out: heads of V may have another size than those of Q and K.
    """
    values = {name: features(matrices[name]) for name in MATRICES}
    return {a + b: pearson(values[a], values[b], a + b) for a, b in PAIRS if values[a].shape[-1] == values[b].shape[-1]}


def every_layer(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Correlate every layer of one run with every layer of another: Pearson r by one matrix product.

    Shapes (layers of A, n) and (layers of B, n) to (layers of A, layers of B), float64; errors as `unit_norm`. On
    condensed similarities of the same words in the same order, these are RSA scores.

    Examples
    --------
    >>> every_layer(np.array([[1.0, 2, 3], [3.0, 2, 1]]), np.array([[2.0, 4, 7]])).round(3)
    array([[ 0.993],
           [-0.993]])
    """
    return np.clip(unit_norm(first) @ unit_norm(second).T, -1, 1)


def fisher_z(r: np.ndarray) -> np.ndarray:
    r"""Fisher's z of correlations, which is not bounded by 1: float64, the shape of `r`.

    .. math:: z = \operatorname{artanh}(r)

    An exact 1 or -1, whose z is infinite, is clipped to the nearest float64 below it: z = 18.7.
    """
    below_one = np.nextafter(1.0, 0.0)
    return np.arctanh(np.clip(np.asarray(r, dtype=np.float64), -below_one, below_one))


def same_rows(vectors: np.ndarray) -> bool:
    """Return whether all words have the same vectors, shape (..., words, units), up to the rounding of float32.

    Behind a causal mask they do at every token before the word: the model has seen the same text.
    """
    largest = np.abs(vectors).max(initial=0)
    return bool(np.abs(vectors - vectors[..., :1, :]).max(initial=0) <= 1e-4 * largest)
