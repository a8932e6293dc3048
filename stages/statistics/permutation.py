r"""Permutation tests whose unit is the word: pairs that share a word are not independent observations.

Words (`permute_words`, a Mantel test) or category labels (`permute_labels`) are permuted, the same permutations for
every layer, and a correlation r over pairs is compared with those of P permutations :math:`\pi`:

.. math:: r_\pi = \operatorname{corr}_{i<j}\left(a_{ij},\; b_{\pi(i)\pi(j)}\right), \qquad
          p = \frac{1 + \#\{\pi : r_\pi \ge r\}}{1 + P}

The family-wise p compares r with the maximum of :math:`r_\pi` over all layers, and pairs or matrices. Both are
one-sided: a score below chance has a large p.

Of rows that are centred and scaled, r is a sum of products over pairs. Permutations are drawn one by one, or crossed
(`draw_orders`): R orders :math:`\rho` of the words of a against C orders :math:`\gamma` of those of b make R C
permutations :math:`\gamma \rho^{-1}` of which only R + C are carried out, and the sums of all are one matrix product.

References
----------
Mantel, N. (1967). Cancer Research 27, 209-220. Nichols, T. E. & Holmes, A. P. (2002), doi:10.1002/hbm.1058 (maximum
statistic). Phipson, B. & Smyth, G. K. (2010), doi:10.2202/1544-6115.1585 (the 1 in p). Hemerik, J. & Goeman, J. (2018),
doi:10.1007/s11749-017-0571-1 (which sets of permutations give exact tests).
"""

from collections.abc import Iterable, Sequence
from itertools import groupby, product

import numpy as np

from stages.geometry.comparison import unit_norm
from stages.geometry.names import PAIRS, Arrays, Scores
from stages.geometry.pairs import members, square, within_category, words_of
from stages.pipeline.progress import BLOCK, Progress, blocks

#: Values at least this close count as equal: a permutation that changes nothing must not lose to rounding.
TIE = 1e-12

#: Bytes that one step of a computation may take: about what a processor's cache holds, larger is slower.
CHUNK = 2**21
#: Orders that one step carries out at least, where there are as many.
FEWEST = 128

#: Orders of the words of either side, shapes (R, words) and (C, words): which word takes each place. All of one are
#: compared with all of the other; the first of both leaves the words as they are.
Orders = tuple[np.ndarray, np.ndarray]


def draw_orders(words: int, permutations: int, rng: np.random.Generator, crossed: bool) -> Orders:
    r"""Draw permutations of words: crossed, a grid of them, and otherwise one row.

    A grid has R C cells, at least `permutations` beside the first, where both sides are as they are. The test is exact:
    with uniform orders, each row and each column of the grid is exchangeable, and so, where words are, is the first
    cell with any other. It is as sharp: any two cells' permutations are independent, so that the variance of the counts
    behind p is that of as many permutations drawn one by one.
    """
    rows = int(np.sqrt(permutations + 1)) if crossed else 1
    columns = -(-(permutations + 1) // rows)
    own = np.arange(words, dtype=np.int32)[None]
    drawn = rng.permuted(np.repeat(own, rows + columns - 2, axis=0), axis=1)
    return np.concatenate([own, drawn[columns - 1 :]]), np.concatenate([own, drawn[: columns - 1]])


def permute_words(similarity: Arrays, orders: Orders, progress: Progress = iter) -> Scores:
    """Test every layer's RSA scores: the words of the second matrix of each pair are permuted against the first.

    Parameters
    ----------
    similarity : mapping of "q", "k", "v" to ndarray, shape (layers, pairs)
    orders : Orders
        Of `draw_orders`: the words as they are, and P permutations.
    progress : callable
        Takes the list of steps, yields them one by one: for a bar.

    Returns
    -------
    Scores
        ``rsa`` by pair: ``p`` and ``p_familywise``, both from 1/(P + 1) to 1. FloatingPointError if the similarities of
        a layer are constant.
    """
    return _test(similarity, similarity, [(("rsa", pair), *pair) for pair in PAIRS], orders, progress)


def permute_candidates(similarity: Arrays, others: Arrays, orders: Orders, progress: Progress = iter) -> Scores:
    """Permute the words of other geometries, shape (1, pairs): as `permute_words`; ``rsa`` by matrix and candidate."""
    asked = [(("rsa", matrix, name), matrix, name) for matrix in similarity for name in others]
    return _test(similarity, others, asked, orders, progress)


def permute_labels(similarity: Arrays, categories: Sequence[str], orders: Orders, progress: Progress = iter) -> Scores:
    r"""Test every layer's separability: category labels, one a word, are permuted over the words.

    Similarities are correlated with a matrix that is 1 within categories and 0 across. Of :math:`n_w` pairs within and
    :math:`n_a` across, Cohen's d grows with this r alone:

    .. math:: d = r \sqrt{\frac{(1/n_w + 1/n_a)(n_w + n_a - 2)}{1 - r^2}}

    With ranks instead of the similarities this is ANOSIM's test (Clarke, K. R. 1993,
    doi:10.1111/j.1442-9993.1993.tb00438.x). As `permute_words`; ``d`` by matrix.
    """
    model = {"": within_category(categories)[None].astype(np.float64)}
    return _test(similarity, model, [(("d", name), name, "") for name in similarity], orders, progress)


def _test(
    firsts: Arrays,
    seconds: Arrays,
    asked: Sequence[tuple[tuple[str, ...], str, str]],
    orders: Orders,
    progress: Progress,
) -> Scores:
    """Test correlations, each its key and what of `firsts` and of `seconds` is correlated, some layers at a time."""
    layers, pairs = next(iter(firsts.values())).shape
    wide = max(1, min(pairs, CHUNK // (8 * FEWEST)))
    of_layers = blocks(layers, BLOCK // (8 * (4 * words_of(pairs) ** 2 + 7 * pairs)))
    steps = list(product(of_layers, blocks(len(orders[1]), CHUNK // (8 * wide)), blocks(pairs, wide)))
    names = [sorted({entry[side] for entry in asked}) for side in (1, 2)]
    found = []
    for part, own in groupby(progress(steps), key=lambda step: step[0]):
        sides = (  # a single layer goes with all of the other side
            np.stack([unit_norm(some[name] if len(some[name]) == 1 else some[name][part]) for name in needed], axis=1)
            for some, needed in zip((firsts, seconds), names, strict=True)
        )
        sums = sums_of_products(*sides, orders, (step[1:] for step in own))
        found.append(np.stack([sums[..., names[0].index(a), names[1].index(b)] for _, a, b in asked], axis=-1))
    permuted = np.concatenate(found, axis=2).reshape(-1, layers, len(asked))
    value, largest = permuted[0], np.sort(permuted.max(axis=(1, 2)))
    reached = (permuted >= value - TIE).sum(axis=0)  # the words as they are among them: the 1 in p
    reached_by_largest = len(largest) - np.searchsorted(largest, value - TIE)
    columns = {"p": reached / len(permuted), "p_familywise": reached_by_largest / len(permuted)}
    return {key: {name: column[:, i] for name, column in columns.items()} for i, (key, *_) in enumerate(asked)}


def sums_of_products(
    firsts: np.ndarray, seconds: np.ndarray, orders: Orders, steps: Iterable[tuple[slice, slice]]
) -> np.ndarray:
    r"""Sum products over pairs under all orders of the words of one side and all of the other.

    .. math:: \sum_{i<j} a_{\rho(i)\rho(j)} b_{\gamma(i)\gamma(j)}

    Shapes (layers, g, pairs) and (layers, h, pairs) to (R, C, layers, g, h), float64; a single layer of the second goes
    with all of the first. `steps` are blocks of the second side's orders and of pairs, which together hold all: what is
    summed at a time.
    """
    rows, columns = (len(side) for side in orders)
    (layers, g, _), h, words = firsts.shape, seconds.shape[1], orders[0].shape[1]
    found = np.zeros((layers, g, rows, h, columns))
    # A row of a square matrix is short enough for the cache: gathering along it is fast.
    firsts, seconds = (square(values, 0).reshape(*values.shape[:2], -1) for values in (firsts, seconds))
    for some, part in steps:
        i, j = members(words, part.start, part.stop)
        to_first, to_second = (order[:, i] * words + order[:, j] for order in (orders[0], orders[1][some]))
        for layer in range(layers):
            first = firsts[layer].take(to_first, axis=1).reshape(g * rows, -1)
            if layer < len(seconds):
                second = seconds[layer].take(to_second, axis=1).reshape(h * len(to_second), -1)
            found[layer, ..., some] += (first @ second.T).reshape(g, rows, h, -1)
    return found.transpose(2, 4, 0, 1, 3)
