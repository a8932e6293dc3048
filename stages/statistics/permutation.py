r"""Permutation tests whose unit is the word: pairs that share a word are not independent observations.

Words (`permute_words`, a Mantel test) or category labels (`permute_labels`) are permuted, the same permutations for
every layer, and a statistic :math:`t` is held against those of P permutations :math:`\pi`:

.. math:: p = \frac{1 + \#\{\pi : t_\pi \ge t\}}{1 + P}

The family-wise p compares t with the maximum of :math:`t_\pi` over all layers, and pairs or matrices. Both are
one-sided: a score below chance has a large p.

References
----------
Mantel, N. (1967). Cancer Research 27, 209-220. Nichols, T. E. & Holmes, A. P. (2002), doi:10.1002/hbm.1058 (maximum
statistic). Phipson, B. & Smyth, G. K. (2010), doi:10.2202/1544-6115.1585 (the 1 in p).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from stages.geometry.comparison import unit_norm
from stages.geometry.effects import d_of_sums
from stages.geometry.names import MATRICES, PAIRS, Scores
from stages.geometry.pairs import square, within_category, words_of
from stages.pipeline.progress import BLOCK, Progress, blocks

#: Values at least this close count as equal: a permutation that changes nothing must not lose to rounding.
TIE = 1e-12

#: Bytes that one step of a computation may take: about what a processor's cache holds, larger is slower.
CHUNK = 2**21


def permute_words(
    similarity: Mapping[str, np.ndarray],
    permutations: int,
    rng: np.random.Generator,
    chunk: int = CHUNK,
    block: int = BLOCK,
    progress: Progress = iter,
) -> Scores:
    r"""Test every layer's RSA scores: the words of the second matrix of each pair are permuted against the first.

    .. math:: r_\pi = \operatorname{corr}_{i<j}\left(a_{ij},\; b_{\pi(i)\pi(j)}\right)

    Parameters
    ----------
    similarity : mapping of "q", "k", "v" to ndarray, shape (layers, pairs)
        Condensed, over all word pairs.
    permutations : int
        How many, P.
    rng : numpy.random.Generator
    chunk, block : int
        Bytes of working memory: they change the speed, not the result.
    progress : callable
        Takes the list of steps, gives them one by one: for a bar.

    Returns
    -------
    Scores
        ``rsa`` by pair: ``value`` (Pearson r), ``p`` and ``p_familywise``, both from 1/(P + 1) to 1.

    Raises
    ------
    FloatingPointError
        If the similarities of a layer are constant.
    """
    pairs = similarity["q"].shape[1]
    orders = _orders(words_of(pairs), permutations, rng)
    numbers = 2 * words_of(pairs) ** 2 + 6 * pairs
    step = block // (8 * numbers)
    names = [("rsa", pair) for pair in PAIRS]
    return _test(similarity, lambda some, by: permuted_rsa(some, by, chunk), orders, names, step, progress)


def permuted_rsa(similarity: Mapping[str, np.ndarray], orders: np.ndarray, chunk: int = CHUNK) -> Iterator[np.ndarray]:
    """Yield RSA scores after reordering the words of the second matrix of each pair; formula in `permute_words`.

    Parameters
    ----------
    similarity : mapping of "q", "k", "v" to ndarray, shape (layers, pairs)
    orders : ndarray of int, shape (permutations, words)
        Which word takes each place.
    chunk : int
        Bytes of working memory.

    Yields
    ------
    ndarray of float64, shape (some permutations, layers, 3)
        Pearson r of "qk", "qv" and "kv", for one permutation after the other.
    """
    units = {name: unit_norm(similarity[name]) for name in MATRICES}
    layers, pairs = units["q"].shape
    words = orders.shape[1]
    rows, columns = np.triu_indices(words, 1)
    # The matrices that are permuted lie side by side, so that one gather moves the words of all of them.
    seconds = sorted({second for _, second in PAIRS})
    squares = np.stack([square(units[name], 0) for name in seconds], axis=-1).reshape(layers, words**2, len(seconds))
    firsts = np.zeros((layers, pairs, len(seconds), len(PAIRS)))
    for test, (first, second) in enumerate(PAIRS):
        firsts[:, :, seconds.index(second), test] = units[first]
    firsts = firsts.reshape(layers, pairs * len(seconds), len(PAIRS))
    for some in blocks(len(orders), chunk // (8 * pairs * len(seconds))):
        order = orders[some].astype(np.intp)
        places = order[:, rows] * words + order[:, columns]
        gathered = (layer.take(places, axis=0).reshape(len(order), -1) for layer in squares)
        yield np.stack([b @ a for b, a in zip(gathered, firsts, strict=True)], axis=1)


def permute_labels(
    similarity: Mapping[str, np.ndarray],
    categories: Sequence[str],
    permutations: int,
    rng: np.random.Generator,
    chunk: int = CHUNK,
    block: int = BLOCK,
    progress: Progress = iter,
) -> Scores:
    """Test every layer's separability: category labels are permuted over the words.

    Each time Cohen's d is taken of the pairs that then lie within a category against the rest. With ranks in the place
    of the similarities this is ANOSIM's test (Clarke, K. R. 1993, doi:10.1111/j.1442-9993.1993.tb00438.x).

    Parameters
    ----------
    similarity : mapping of str to ndarray, shape (layers, pairs)
        By matrix ("q", "k", "v").
    categories : sequence of str, length words
    permutations, rng, chunk, block, progress
        As `permute_words`; so are errors.

    Returns
    -------
    Scores
        ``d`` by matrix: ``value`` (Cohen's d), ``p`` and ``p_familywise``.
    """
    pairs = next(iter(similarity.values())).shape[1]
    orders = _orders(len(categories), permutations, rng)
    step = block // (8 * pairs * len(similarity))
    names = [("d", name) for name in similarity]
    return _test(similarity, lambda some, by: permuted_d(some, categories, by, chunk), orders, names, step, progress)


def permuted_d(
    similarity: Mapping[str, np.ndarray], categories: Sequence[str], orders: np.ndarray, chunk: int = CHUNK
) -> Iterator[np.ndarray]:
    """Yield Cohen's d after reordering the category labels.

    The numbers of pairs within and across stay, and so does the spread of all of them: a sum is enough, as `d_of_sums`
    tells.

    Parameters
    ----------
    similarity : mapping of str to ndarray, shape (layers, pairs)
    categories : sequence of str, length words
    orders : ndarray of int, shape (permutations, words)
        Whose label each word takes.
    chunk : int
        Bytes of working memory.

    Yields
    ------
    ndarray of float64, shape (some permutations, layers, matrices)
        In standard deviations, for one permutation after the other.
    """
    units = np.stack([unit_norm(values) for values in similarity.values()], axis=1)
    layers, matrices, pairs = units.shape
    flat = units.reshape(-1, pairs).T
    labels = np.unique(np.asarray(categories), return_inverse=True)[1]
    within = within_category(categories)
    rows, columns = np.triu_indices(len(labels), 1)
    for some in blocks(len(orders), chunk // (8 * pairs)):
        permuted = labels[orders[some]]
        sums = (permuted[:, rows] == permuted[:, columns]).astype(np.float64) @ flat
        d = d_of_sums(sums, int(within.sum()), int((~within).sum()))
        if np.isnan(d).any():
            raise FloatingPointError("Cohen's d is undefined: neither kind of pair varies")
        yield d.reshape(-1, layers, matrices)


def _orders(words: int, permutations: int, rng: np.random.Generator) -> np.ndarray:
    return rng.permuted(np.tile(np.arange(words, dtype=np.int32), (permutations, 1)), axis=1)


def _test(
    similarity: Mapping[str, np.ndarray],
    statistic: Callable[[Mapping[str, np.ndarray], np.ndarray], Iterator[np.ndarray]],
    orders: np.ndarray,
    names: Sequence[tuple[str, str]],
    step: int,
    progress: Progress,
) -> Scores:
    """Hold the statistics of the words as they are against those of all orders, `step` layers at a time."""
    identity = np.arange(orders.shape[1])[None]
    values, alone = [], []
    largest = np.full(len(orders), -np.inf)
    for part in progress(list(blocks(len(next(iter(similarity.values()))), step))):
        some = {name: matrix[part] for name, matrix in similarity.items()}
        value = next(statistic(some, identity))[0]
        reached, start = np.zeros(value.shape, dtype=int), 0
        for permuted in statistic(some, orders):
            reached += (permuted >= value - TIE).sum(axis=0)
            here = largest[start : start + len(permuted)]
            np.maximum(here, permuted.max(axis=(1, 2)), out=here)
            start += len(permuted)
        values.append(value)
        alone.append(reached)
    value, reached = np.concatenate(values), np.concatenate(alone)
    reached_by_largest = len(orders) - np.searchsorted(np.sort(largest), value - TIE)
    total = len(orders) + 1
    columns = {"value": value, "p": (reached + 1) / total, "p_familywise": (reached_by_largest + 1) / total}
    return {name: {key: column[:, i] for key, column in columns.items()} for i, name in enumerate(names)}
