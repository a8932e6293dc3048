"""Bootstrap of words: intervals that know that pairs sharing a word are not independent observations.

A resample is a vector of word counts w; a pair of distinct words weighs :math:`w_i w_j` (a word's pairs with its own
copies are left out). Every statistic here is a function of weighted sums over pairs, so that those of all resamples
are a few matrix products: features (layers, pairs) times weights (pairs, resamples).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stages.geometry.names import LABELS, MATRICES, PAIRS, Scores
from stages.geometry.pairs import pairs_of, row_blocks, within_category
from stages.pipeline.progress import Progress, blocks, join
from stages.statistics.device import NUMPY, Device

#: Bytes of pair weights that are held at a time: about what a processor's cache holds.
CHUNK = 2**22
#: Bytes of similarities and sums that are held at a time: for each block of layers weights are made anew.
BLOCK = 2**29

#: By measure and matrix or pair: an array of shape (resamples, layers).
Statistics = dict[tuple[str, str], np.ndarray]


def resample_words(categories: Sequence[str], resamples: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Draw words with replacement, each category as many as it has.

    A resample that holds fewer than three distinct pairs within or across categories leaves a correlation undefined
    (small categories can lose all their pairs); it is drawn again.

    Parameters
    ----------
    categories : sequence of str, length words
    resamples : int
    rng : numpy.random.Generator

    Returns
    -------
    counts : ndarray of int, shape (resamples, words)
        How often each word was drawn.
    redrawn : int
        How many resamples were drawn again.

    Raises
    ------
    ValueError
        If the words themselves have fewer than three pairs within or across categories.
    """
    labels = np.unique(np.asarray(categories), return_inverse=True)[1]
    members = [np.flatnonzero(labels == label) for label in range(labels.max() + 1)]
    if not _defined(np.ones((1, len(labels)), dtype=int), members).all():
        raise ValueError("fewer than three word pairs within or across categories")
    counts = np.zeros((resamples, len(labels)), dtype=np.int16)
    open_rows, redrawn = np.arange(resamples), 0
    while len(open_rows):
        for words in members:
            share = np.full(len(words), 1 / len(words))
            counts[np.ix_(open_rows, words)] = rng.multinomial(len(words), share, size=len(open_rows))
        open_rows = open_rows[~_defined(counts[open_rows], members)]
        redrawn += len(open_rows)
    return counts, redrawn


def _defined(counts: np.ndarray, members: Sequence[np.ndarray]) -> np.ndarray:
    """Return whether each resample holds three distinct pairs within, and three across."""
    present = np.stack([(counts[:, words] > 0).sum(axis=1) for words in members], axis=1)
    within = (present * (present - 1) // 2).sum(axis=1)
    across = present.sum(axis=1) * (present.sum(axis=1) - 1) // 2 - within
    return (within >= 3) & (across >= 3)


@dataclass(frozen=True)
class Moments:
    """Weighted sums over word pairs, of each resample and layer.

    Attributes
    ----------
    n : ndarray, shape (resamples, 1)
        Sum of the weights: how many pairs, copies counted.
    sums : dict of str to ndarray, shape (resamples, layers)
        By matrix ("q") the weighted sum of its similarities, by two ("qk", "qq") that of their product.
    """

    n: np.ndarray
    sums: dict[str, np.ndarray]

    def __add__(self, other: "Moments") -> "Moments":
        """Put disjoint sets of pairs together."""
        return Moments(self.n + other.n, {name: self.sums[name] + other.sums[name] for name in self.sums})

    def mean(self, name: str) -> np.ndarray:
        """Weighted mean, shape (resamples, layers)."""
        return self.sums[name] / self.n

    def scatter(self, first: str, second: str) -> np.ndarray:
        """Weighted sum of products of deviations from the means, shape (resamples, layers)."""
        return self.sums[first + second] - self.sums[first] * self.sums[second] / self.n

    @cached_property
    def variance(self) -> dict[str, np.ndarray]:
        """Weighted variance by matrix, n - 1 in the denominator; FloatingPointError where it is 0 up to rounding."""
        variances = {}
        for name in (name for name in self.sums if len(name) == 1):
            scatter = self.scatter(name, name)
            if (scatter <= 1e-12 * self.sums[name + name]).any():
                raise FloatingPointError(f"in a layer the similarities of {LABELS[name]} do not vary in a resample")
            variances[name] = scatter / (self.n - 1)
        return variances

    def correlation(self, first: str, second: str) -> np.ndarray:
        """Weighted Pearson correlation, shape (resamples, layers)."""
        covariance = self.scatter(first, second) / (self.n - 1)
        return np.clip(covariance / np.sqrt(self.variance[first] * self.variance[second]), -1, 1)


def moments(
    similarity: Mapping[str, np.ndarray],
    products: Sequence[str],
    within: np.ndarray,
    weigh: np.ndarray,
    chunk: int = CHUNK,
    progress: Progress = iter,
    device: Device = NUMPY,
) -> tuple[Moments, Moments]:
    r"""Sum similarities, their squares and products over word pairs, weighted by every resample's counts.

    .. math:: \sum_{(i,j)} w_i w_j, \quad \sum_{(i,j)} w_i w_j\, a_{ij}, \quad \sum_{(i,j)} w_i w_j\, a_{ij} b_{ij}

    Parameters
    ----------
    similarity : mapping of str to ndarray, shape (layers, pairs)
        By matrix. Best centred: far from 0, sums of squares lose digits.
    products : sequence of str
        Which products of two matrices are needed ("qk"); squares always are.
    within : ndarray of bool, shape (pairs,)
        Which pairs lie within a category.
    weigh : ndarray of int, shape (resamples, words)
        Counts, as `resample_words` gives them.
    chunk : int
        Bytes of pair weights held at a time.
    progress : callable
        Takes the list of steps, gives them one by one: for a bar.
    device : Device
        Where sums are taken.

    Returns
    -------
    within, across : Moments
        Over the pairs within categories, and over those across.
    """
    names = [*similarity, *(name + name for name in similarity), *products]
    layers, words = len(next(iter(similarity.values()))), weigh.shape[1]
    counts = device.put(np.ascontiguousarray(weigh.T, dtype=np.float64))
    similarity = {name: device.put(values) for name, values in similarity.items()}
    sums = device.put(np.zeros((2, 1 + len(names) * layers, len(weigh))))
    inside, every = sums
    wide = max(1, min(1024, chunk // (8 * words)))
    for first in progress(list(row_blocks(words, chunk // (8 * wide)))):
        start, stop = (pairs_of(words) - pairs_of(words - row) for row in (first.start, first.stop))
        some = {name: values[:, start:stop] for name, values in similarity.items()}
        features = [some[name] if len(name) == 1 else some[name[0]] * some[name[1]] for name in names]
        stacked = device.concatenate([device.put(np.ones((1, stop - start))), *features])
        kind = device.put(within[start:stop])
        stacked_inside = stacked[:, kind]
        for draws in blocks(len(weigh), wide):
            own = counts[:, draws]
            weights = device.concatenate([own[row] * own[row + 1 :] for row in range(first.start, first.stop)])
            every[:, draws] += stacked @ weights
            inside[:, draws] += stacked_inside @ weights[kind]
    every -= inside
    kinds = device.get(sums)
    split = ((sums[0, :, None], sums[1:].reshape(len(names), layers, -1).swapaxes(1, 2)) for sums in kinds)
    return tuple(Moments(n, dict(zip(names, sums, strict=True))) for n, sums in split)


def cohens_d(within: Moments, across: Moments, name: str) -> np.ndarray:
    """Return Cohen's d of a matrix's weighted pairs, shape (resamples, layers); `stages.geometry.effects.cohens_d`."""
    degrees = within.n + across.n - 2
    pooled = ((within.n - 1) * within.variance[name] + (across.n - 1) * across.variance[name]) / degrees
    return (within.mean(name) - across.mean(name)) / np.sqrt(pooled)


def rsa_and_separability(within: Moments, across: Moments) -> Statistics:
    """Return the statistics of the post: RSA over all pairs, within and across categories, their gap, and Cohen's d.

    Parameters
    ----------
    within, across : Moments
        With the products "qk", "qv" and "kv".

    Returns
    -------
    dict of (measure, matrix or pair) to ndarray, shape (resamples, layers)
        ``rsa``, ``rsa_within``, ``rsa_across`` and ``rsa_gap`` (within minus across) by pair, ``d`` by matrix.
    """
    kinds = {"rsa": within + across, "rsa_within": within, "rsa_across": across}
    scores = {(measure, pair): sums.correlation(*pair) for measure, sums in kinds.items() for pair in PAIRS}
    gaps = {("rsa_gap", pair): scores["rsa_within", pair] - scores["rsa_across", pair] for pair in PAIRS}
    return scores | gaps | {("d", name): cohens_d(within, across, name) for name in MATRICES}


def bootstrap(
    similarity: Mapping[str, np.ndarray],
    categories: Sequence[str],
    counts: np.ndarray,
    alpha: float,
    statistics: Callable[[Moments, Moments], Statistics] = rsa_and_separability,
    products: Sequence[str] = PAIRS,
    chunk: int = CHUNK,
    block: int = BLOCK,
    progress: Progress = iter,
    device: Device = NUMPY,
) -> Scores:
    """Return statistics of the words as they are, and percentile intervals over resamples of the words.

    Correlations, means and variances are frequency-weighted (n = sum of the weights, n - 1 in the denominator), in
    float64, and always Pearson's.

    Parameters
    ----------
    similarity : mapping of str to ndarray, shape (layers, pairs)
        By matrix.
    categories : sequence of str, length words
    counts : ndarray of int, shape (resamples, words)
        As `resample_words` gives them.
    alpha : float
        The intervals hold 1 - alpha of the resamples, as much left out above as below.
    statistics : callable
        Takes the moments within and across, gives arrays of shape (resamples, layers). What it gives must not change
        when a number is added to all similarities of a matrix: they come centred.
    products : sequence of str
        The products that it needs.
    chunk, block : int
        Bytes of pair weights, and of similarities, held at a time: they change the speed, not the result.
    progress : callable
        Takes the list of steps, gives them one by one: for a bar.
    device : Device
        Where sums are taken, with `chunk` times ``device.larger`` bytes of pair weights held at a time.

    Returns
    -------
    Scores
        By measure and matrix or pair: ``value``, ``low``, ``high``, of shape (layers,).

    Raises
    ------
    FloatingPointError
        If the similarities within or across do not vary, as they are or in a resample.

    References
    ----------
    Efron, B. & Tibshirani, R. J. (1993). An Introduction to the Bootstrap, chapter 13. Nili, H. et al. (2014),
    doi:10.1371/journal.pcbi.1003553 (resampling of conditions in RSA).
    """
    within = within_category(categories)
    layers, pairs = next(iter(similarity.values())).shape
    weigh = np.concatenate([np.ones((1, counts.shape[1]), dtype=counts.dtype), counts])  # row 0: the words as they are
    numbers = pairs * len(similarity) + 6 * len(weigh) * (2 * len(similarity) + len(products))
    parts = []
    for part in blocks(layers, block // (8 * numbers)):
        some = {name: _centred(values[part]) for name, values in similarity.items()}
        sums = moments(some, products, within, weigh, chunk * device.larger, progress, device)
        parts.append({names: _interval(values, alpha) for names, values in statistics(*sums).items()})
    return join(parts)


def _interval(values: np.ndarray, alpha: float) -> dict[str, np.ndarray]:
    """Return the value of the words as they are, in row 0, and the percentiles of the other resamples."""
    low, high = np.quantile(values[1:], [alpha / 2, 1 - alpha / 2], axis=0)
    return {"value": values[0], "low": low, "high": high}


def _centred(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    return values - values.mean(axis=-1, keepdims=True)
