"""Bootstrap of words: intervals that know that pairs sharing a word are not independent observations.

A resample is a vector of word counts w; a pair of distinct words weighs :math:`w_i w_j` (a word's pairs with its own
copies are left out). Every statistic here is a function of weighted sums over pairs, so that those of all resamples
are a few matrix products: features (layers, pairs) times weights (pairs, resamples).
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from stages.geometry.moments import Moments, Statistics, cohens_d, named, partial_correlation, scores
from stages.geometry.names import (
    INPUT,
    MATRICES,
    MATRIX_DIFFERENCES,
    PAIR_DIFFERENCES,
    PLACES,
    WITH_INPUT,
    Arrays,
    Scores,
)
from stages.geometry.pairs import pairs_of, row_blocks, within_category
from stages.pipeline.progress import Progress, blocks, join

#: Bytes of pair weights that are held at a time: about what a processor's cache holds.
CHUNK = 2**22
#: Bytes of similarities and sums that are held at a time: for each block of layers weights are made anew.
BLOCK = 2**29


def resample_words(categories: Sequence[str], resamples: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Draw words with replacement, each category as many as it has.

    A resample that holds fewer than three distinct pairs within or across categories leaves a correlation undefined
    (small categories can lose all their pairs); it is drawn again. ValueError if the words themselves have fewer.
    Returns how often each word was drawn, shape (resamples, words), and how many resamples were drawn again.
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


def resampled(
    values: np.ndarray,
    within: np.ndarray,
    counts: np.ndarray,
    names: Sequence[str] = (),
    inside: bool = True,
    progress: Progress = iter,
) -> tuple[Moments, Moments]:
    """Sum over word pairs, weighted by the counts of every bootstrap sample: :math:`w_{ij} = w_i w_j`.

    Parameters
    ----------
    values : ndarray, shape (layers, g, pairs)
        Similarities of g geometries, called `names`.
    within : ndarray of bool, shape (pairs,)
        Which pairs lie within a category.
    counts, progress
        As `bootstrap`.
    inside : bool
        Whether products within categories are needed; otherwise they are 0.

    Returns
    -------
    every, within : Moments
        Of shape (samples, layers): over all pairs, and over those within categories.
    """
    (layers, g, pairs), words = values.shape, counts.shape[1]
    one, other = np.triu_indices(g)
    centre = np.asarray(values, dtype=np.float64).mean(axis=-1)
    drawn = np.ascontiguousarray(counts.T, dtype=np.float64)
    features = 1 + layers * (g + len(one))
    kept = features if inside else 1 + layers * g
    sums, sums_inside = np.zeros((features, len(counts))), np.zeros((kept, len(counts)))
    wide = max(1, min(1024, CHUNK // (8 * words)))
    for first in progress(list(row_blocks(words, CHUNK // (8 * max(wide, features))))):
        start, stop = (pairs - pairs_of(words - row) for row in (first.start, first.stop))
        some = values[..., start:stop] - centre[..., None]
        parts = [some, some[:, one] * some[:, other]]
        stacked = np.concatenate([np.ones((1, stop - start)), *(part.reshape(-1, stop - start) for part in parts)])
        kind = within[start:stop]
        stacked_inside = stacked[:kept, kind]
        for draws in blocks(len(counts), wide):
            own = drawn[:, draws]
            weights = np.concatenate([own[row] * own[row + 1 :] for row in range(first.start, first.stop)])
            sums[:, draws] += stacked @ weights
            sums_inside[:, draws] += stacked_inside @ weights[kind]
    every, part = (_as_moments(found, layers, g, centre, names) for found in (sums, sums_inside))
    return every, part


def _as_moments(found: np.ndarray, layers: int, g: int, centre: np.ndarray, names: Sequence[str]) -> Moments:
    """Take apart the sums of `resampled`: of ones, of similarities, and of their products, which may be left out."""
    one, other = np.triu_indices(g)
    n, sums, upper = np.split(found, [1, 1 + layers * g])
    products = np.zeros((found.shape[1], layers, g, g))
    if len(upper):
        upper = upper.reshape(layers, -1, found.shape[1]).transpose(2, 0, 1)
        products[..., one, other] = products[..., other, one] = upper
    return Moments(n.T, sums.reshape(layers, g, -1).transpose(2, 0, 1), products, centre, names=names)


def rsa_and_separability(every: Moments, within: Moments) -> Statistics:
    """Return the statistics of the post, from the moments of "q", "k" and "v", whatever comes behind them.

    ``rsa``, ``rsa_within``, ``rsa_across`` and ``rsa_gap`` (within minus across) by pair, ``d`` (Cohen's) by matrix;
    ``d_difference`` of two matrices, ``rsa_difference`` of two pairs: overlapping intervals are no test.
    """
    r, d = scores(every, within)
    found = named({**r, "rsa_gap": r["rsa_within"] - r["rsa_across"]}, d, MATRICES)
    found |= differences(found, "d", MATRIX_DIFFERENCES)
    found |= differences(found, "rsa", PAIR_DIFFERENCES)
    return found


def against_input(every: Moments, within: Moments) -> Statistics:
    """Return how the statistics of the post relate to the layers' input x, from the moments of "q", "k", "v" and "x".

    ``rsa_to_input`` (each matrix against x) by matrix, ``partial_rsa`` (given x) by pair, and ``d_of_input`` by "x".

    References
    ----------
    Guillot, G. & Rousset, F. (2011), arXiv:1112.0651: permutation p-values of a partial Mantel test are wrong where
    both sides are autocorrelated, so that effect and interval are given and no p.
    """
    r, x = every.correlations(), len(MATRICES)
    found = {("rsa_to_input", name): r[..., place, x] for place, name in enumerate(MATRICES)}
    for pair, (a, b) in PLACES.items():
        found["partial_rsa", pair] = partial_correlation(r[..., a, b], r[..., a, x], r[..., b, x])
    return found | {("d_of_input", INPUT): cohens_d(every, within)[..., x]}


def differences(
    draws: Statistics, measure: str, of: Sequence[tuple[str, str]], *names: str
) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
    """Yield the differences of two matrices or pairs in a measure, with their keys: ``rsa_difference``, "v-q"."""
    for a, b in of:
        yield (f"{measure}_difference", f"{a}-{b}", *names), draws[measure, a, *names] - draws[measure, b, *names]


def bootstrap(
    similarity: Arrays,
    categories: Sequence[str],
    counts: np.ndarray,
    alpha: float,
    statistics: Callable[[Moments, Moments], Statistics] = rsa_and_separability,
    later: Callable[[Statistics], Statistics] = lambda _: {},
    progress: Progress = iter,
) -> Scores:
    """Return statistics of the words as they are, and percentile intervals over resamples of the words.

    Correlations, means and variances are frequency-weighted (n = sum of the weights, n - 1 in the denominator), in
    float64, and always Pearson's.

    Parameters
    ----------
    similarity : mapping of str to ndarray, shape (layers, pairs)
        By name; `statistics` gets the moments of Q, K, V and x, and of others behind them.
    counts : ndarray of int, shape (samples, words)
        How often each word was drawn, of `resample_words`.
    alpha : float
        The intervals hold 1 - alpha of the resamples, as much left out above as below.
    statistics : callable
        Takes the moments over all pairs and within categories, returns arrays of shape (samples, layers).
    later : callable
        Takes the statistics of all layers, returns more, such as differences.
    progress : callable
        Takes the list of steps, yields them one by one: for a bar.

    Returns
    -------
    Scores
        By measure and matrix or pair: ``value``, ``low``, ``high``, of shape (layers,). FloatingPointError if the
        similarities within or across do not vary, as they are or in a resample.

    References
    ----------
    Efron, B. & Tibshirani, R. J. (1993). An Introduction to the Bootstrap, chapter 13. Nili, H. et al. (2014),
    doi:10.1371/journal.pcbi.1003553 (resampling of conditions in RSA).
    """
    within, names = within_category(categories), sorted(similarity, key=[*WITH_INPUT, *similarity].index)
    layers, pairs = similarity[names[0]].shape
    weigh = np.concatenate([np.ones((1, counts.shape[1]), dtype=counts.dtype), counts])  # row 0: the words as they are
    numbers = pairs * len(names) + 8 * len(weigh) * len(names) ** 2
    parts = []
    for part in blocks(layers, BLOCK // (8 * numbers)):
        values = np.stack([similarity[name][part] for name in names], axis=1)
        parts.append(statistics(*resampled(values, within, weigh, names, progress=progress)))
    draws = join(parts, partial(np.concatenate, axis=1))
    scores = {}
    for key, found in (draws | later(draws)).items():
        low, high = np.quantile(found[1:], [alpha / 2, 1 - alpha / 2], axis=0)
        scores[key] = {"value": found[0], "low": low, "high": high}
    return scores
