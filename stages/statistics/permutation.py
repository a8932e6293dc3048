r"""Permutation tests whose unit is the word: pairs that share a word are not independent observations.

Words (`permute_words`, a Mantel test) or category labels (`permute_labels`) are permuted, the same permutations for
every layer, and a statistic :math:`t` is held against those of P permutations :math:`\pi`:

.. math:: p = \frac{1 + \#\{\pi : t_\pi \ge t\}}{1 + P}

The family-wise p compares t with the maximum of :math:`t_\pi` over all layers, and pairs or matrices. Both are
one-sided: a score below chance has a large p.

Either statistic is a sum of products over pairs, :math:`\sum_{i<j} a_{ij} b_{\pi(i)\pi(j)}`. Permutations are drawn one
by one, or crossed (`draw_orders`): R orders :math:`\rho` of the words of a against C orders :math:`\gamma` of those of
b make R C permutations :math:`\gamma \rho^{-1}` of which only R + C are carried out, and the sums of all are one matrix
product.

References
----------
Mantel, N. (1967). Cancer Research 27, 209-220. Nichols, T. E. & Holmes, A. P. (2002), doi:10.1002/hbm.1058 (maximum
statistic). Phipson, B. & Smyth, G. K. (2010), doi:10.2202/1544-6115.1585 (the 1 in p). Hemerik, J. & Goeman, J. (2018),
doi:10.1007/s11749-017-0571-1 (which sets of permutations give exact tests).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby, product
from typing import NamedTuple

import numpy as np

from stages.geometry.comparison import unit_norm
from stages.geometry.effects import d_of_sums
from stages.geometry.names import MATRICES, PAIRS, Scores
from stages.geometry.pairs import members, square, within_category, words_of
from stages.pipeline.progress import BLOCK, Progress, blocks

#: Values at least this close count as equal: a permutation that changes nothing must not lose to rounding.
TIE = 1e-12

#: Bytes that one step of a computation may take: about what a processor's cache holds, larger is slower.
CHUNK = 2**21
#: Orders that one step carries out at least, where there are as many.
FEWEST = 128

#: Slices of orders and of pairs: what one step sums over.
Steps = Iterable[tuple[slice, slice]]


class Orders(NamedTuple):
    """Orders of the words of either side: all of one are held against all of the other, the first of both being none.

    Attributes
    ----------
    first, second : ndarray of int, shape (R, words) and (C, words)
        Which word takes each place.
    """

    first: np.ndarray
    second: np.ndarray


def draw_orders(words: int, permutations: int, rng: np.random.Generator, crossed: bool) -> Orders:
    r"""Draw permutations of words.

    Crossed ones make a grid of R C cells, at least `permutations` beside the first, where both sides are as they are.
    The test is exact: with uniform orders, each row and each column of the grid is exchangeable, and so, where words
    are, is the first cell with any other. It is as sharp: any two cells' permutations are independent, so that the
    variance of the counts behind p is that of as many permutations drawn one by one.

    Parameters
    ----------
    words, permutations : int
    rng : numpy.random.Generator
    crossed : bool
        Whether to make a grid, or one row of permutations.
    """
    rows = int(np.sqrt(permutations + 1)) if crossed else 1
    columns = -(-(permutations + 1) // rows)
    own = np.arange(words, dtype=np.int32)[None]
    drawn = rng.permuted(np.repeat(own, rows + columns - 2, axis=0), axis=1)
    return Orders(*(np.concatenate([own, some]) for some in (drawn[columns - 1 :], drawn[: columns - 1])))


def permute_words(
    similarity: Mapping[str, np.ndarray],
    orders: Orders,
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
    orders : Orders
        As `draw_orders` gives them: the words as they are, and P permutations.
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
    return _test(similarity, permuted_rsa, orders, [("rsa", pair) for pair in PAIRS], chunk, block, progress)


def permuted_rsa(similarity: Mapping[str, np.ndarray], orders: Orders, steps: Steps) -> np.ndarray:
    """Return RSA scores after reordering the words of either matrix of each pair; formula in `permute_words`.

    Parameters
    ----------
    similarity : mapping of "q", "k", "v" to ndarray, shape (layers, pairs)
    orders : Orders
    steps
        As `sums_of_products`.

    Returns
    -------
    ndarray of float64, shape (R, C, layers, 3)
        Pearson r of "qk", "qv" and "kv".
    """
    units = {name: unit_norm(similarity[name]) for name in MATRICES}
    firsts, seconds = (sorted({pair[side] for pair in PAIRS}) for side in (0, 1))
    sides = (np.stack([units[name] for name in names], axis=1) for names in (firsts, seconds))
    found = sums_of_products(*sides, orders, steps)
    return np.stack([found[..., firsts.index(a), seconds.index(b)] for a, b in PAIRS], axis=-1)


def permute_labels(
    similarity: Mapping[str, np.ndarray],
    categories: Sequence[str],
    orders: Orders,
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
    orders, chunk, block, progress
        As `permute_words`; so are errors.

    Returns
    -------
    Scores
        ``d`` by matrix: ``value`` (Cohen's d), ``p`` and ``p_familywise``.
    """
    within = within_category(categories)
    statistic, names = partial(permuted_sums, within=within), [("d", name) for name in similarity]
    tested = _test(similarity, statistic, orders, names, chunk, block, progress)
    for cells in tested.values():
        cells["value"] = d_of_sums(cells["value"], int(within.sum()), int((~within).sum()))
        if np.isnan(cells["value"]).any():
            raise FloatingPointError("Cohen's d is undefined: neither kind of pair varies")
    return tested


def permuted_sums(similarity: Mapping[str, np.ndarray], orders: Orders, steps: Steps, within: np.ndarray) -> np.ndarray:
    """Sum similarities within categories after reordering the words of the similarities, the labels, or both.

    The numbers of pairs within and across stay, and so does the spread of all of them: Cohen's d grows with this sum
    alone, as `d_of_sums` tells. Ties are seen here: of a large d, rounding is large.

    Parameters
    ----------
    similarity : mapping of str to ndarray, shape (layers, pairs)
    orders : Orders
        Of the similarities and of the labels: whose label each word takes.
    steps : iterable
        As `sums_of_products`.
    within : ndarray of bool, shape (pairs,)
        Which pairs lie within a category.

    Returns
    -------
    ndarray of float64, shape (R, C, layers, matrices)
        Of similarities that `unit_norm` has centred and scaled.
    """
    units = np.stack([unit_norm(values) for values in similarity.values()], axis=1)
    return sums_of_products(units, within[None, None].astype(np.float64), orders, steps)[..., 0]


def sums_of_products(firsts: np.ndarray, seconds: np.ndarray, orders: Orders, steps: Steps) -> np.ndarray:
    r"""Sum products over pairs under all orders of the words of one side and all of the other.

    .. math:: \sum_{i<j} a_{\rho(i)\rho(j)} b_{\gamma(i)\gamma(j)}

    Parameters
    ----------
    firsts : ndarray, shape (layers, g, pairs)
    seconds : ndarray, shape (layers, h, pairs)
        Of a single layer, it goes with all of those of `firsts`.
    orders : Orders
    steps : iterable of (slice, slice)
        Blocks of ``orders.second`` and of pairs, which together hold all.

    Returns
    -------
    ndarray of float64, shape (R, C, layers, g, h)
    """
    rows, columns = (len(side) for side in orders)
    (layers, g, _), h, words = firsts.shape, seconds.shape[1], orders.first.shape[1]
    found = np.zeros((layers, g, rows, h, columns))
    # A row of a square matrix is short enough for the cache: gathering along it is fast.
    firsts, seconds = (square(values, 0).reshape(*values.shape[:2], -1) for values in (firsts, seconds))
    for some, part in steps:
        i, j = members(words, part.start, part.stop)
        to_first, to_second = (order[:, i] * words + order[:, j] for order in (orders.first, orders.second[some]))
        for layer in range(layers):
            first = firsts[layer].take(to_first, axis=1).reshape(g * rows, -1)
            if layer < len(seconds):
                second = seconds[layer].take(to_second, axis=1).reshape(h * len(to_second), -1)
            found[layer, ..., some] += (first @ second.T).reshape(g, rows, h, -1)
    return found.transpose(2, 4, 0, 1, 3)


def _test(
    similarity: Mapping[str, np.ndarray],
    statistic: Callable[..., np.ndarray],
    orders: Orders,
    names: Sequence[tuple[str, str]],
    chunk: int,
    block: int,
    progress: Progress,
) -> Scores:
    """Compare the statistics of the words in their order with those of all orders, some layers at a time."""
    layers, pairs = next(iter(similarity.values())).shape
    wide = max(1, min(pairs, chunk // (8 * FEWEST)))
    of_layers = blocks(layers, block // (8 * (4 * words_of(pairs) ** 2 + 7 * pairs)))
    steps = list(product(of_layers, blocks(len(orders.second), chunk // (8 * wide)), blocks(pairs, wide)))
    found = []
    for part, own in groupby(progress(steps), key=lambda step: step[0]):
        some = {name: matrix[part] for name, matrix in similarity.items()}
        found.append(statistic(some, orders, (step[1:] for step in own)))
    permuted = np.concatenate(found, axis=2).reshape(-1, layers, len(names))
    value, largest = permuted[0], np.sort(permuted.max(axis=(1, 2)))
    reached = (permuted >= value - TIE).sum(axis=0)  # the words as they are among them: the 1 in p
    reached_by_largest = len(largest) - np.searchsorted(largest, value - TIE)
    columns = {"value": value, "p": reached / len(permuted), "p_familywise": reached_by_largest / len(permuted)}
    return {name: {key: column[:, i] for key, column in columns.items()} for i, name in enumerate(names)}
