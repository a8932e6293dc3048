"""Word pairs: their order, and which of them lie within a category.

A matrix of all pairs of n words is kept condensed: the upper triangle row by row, the diagonal left out, in the order
of `scipy.spatial.distance.pdist`: (0, 1), (0, 2), ..., (0, n-1), (1, 2), ... That is n(n-1)/2 numbers.
"""

from collections.abc import Iterator, Sequence

import numpy as np


def condense(matrices: np.ndarray) -> np.ndarray:
    """Take the upper triangle of square matrices: shape (..., words, words) to (..., pairs).

    Examples
    --------
    >>> condense(np.array([[1.0, 0.5, 0.2], [0.5, 1.0, 0.1], [0.2, 0.1, 1.0]]))
    array([0.5, 0.2, 0.1])
    """
    condensed = np.empty((*matrices.shape[:-2], pairs_of(matrices.shape[-1])), dtype=matrices.dtype)
    for row, place in rows_of(matrices.shape[-1]):
        condensed[..., place] = matrices[..., row, row + 1 :]
    return condensed


def square(condensed: np.ndarray, diagonal: float) -> np.ndarray:
    """Lay condensed pairs out as symmetric matrices, the inverse of `condense`: (..., pairs) to (..., words, words).

    On the diagonal stands a word's similarity with itself; ValueError as `words_of`.
    """
    words = words_of(condensed.shape[-1])
    matrices = np.full((*condensed.shape[:-1], words, words), diagonal, dtype=condensed.dtype)
    for row, place in rows_of(words):
        matrices[..., row, row + 1 :] = matrices[..., row + 1 :, row] = condensed[..., place]
    return matrices


def rows_of(words: int) -> Iterator[tuple[int, slice]]:
    """Yield for each row of the upper triangle its place among the pairs: no index array, ten times as fast as one."""
    start = 0
    for row in range(words - 1):
        stop = start + words - 1 - row
        yield row, slice(start, stop)
        start = stop


def row_blocks(words: int, pairs: int) -> Iterator[slice]:
    """Cut the words into slices, each with about `pairs` pairs with later words and at least one word."""
    start = 0
    while start < words - 1:
        stop = min(words - 1, start + max(1, pairs // (words - 1 - start)))
        yield slice(start, stop)
        start = stop


def pairs_of(words: int) -> int:
    """Return how many pairs so many words have."""
    return words * (words - 1) // 2


def words_of(pairs: int) -> int:
    """Return how many words have this many pairs: n of n(n-1)/2; ValueError if n is not a whole number.

    Examples
    --------
    >>> words_of(561)
    34
    """
    words = round((1 + np.sqrt(1 + 8 * pairs)) / 2)
    if pairs_of(words) != pairs:
        raise ValueError(f"{pairs} is not the number of pairs of a whole number of words")
    return words


def _starts(words: int) -> np.ndarray:
    r"""Return where each word's pairs with later words begin: :math:`i n - i (i + 1) / 2`."""
    rows = np.arange(words)
    return rows * words - rows * (rows + 1) // 2


def members(words: int, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the two words of pairs `first` to `last` - 1, shape (pairs,), the smaller ones first.

    Examples
    --------
    >>> members(4, 2, 5)
    (array([0, 1, 1]), array([3, 2, 3]))
    """
    pairs, starts = np.arange(first, last), _starts(words)
    i = np.searchsorted(starts, pairs, side="right") - 1
    return i, pairs - starts[i] + i + 1


def choose_words(condensed: np.ndarray, words: int, chosen: Sequence[int]) -> np.ndarray:
    """Take the pairs of chosen words out of condensed matrices of so many `words`: (..., pairs) to (..., their pairs).

    `chosen` are positions of words, each once, in any order, which is that of the result.

    Examples
    --------
    >>> choose_words(np.array([0.5, 0.2, 0.1]), 3, [2, 0])
    array([0.2])
    """
    rows, columns = (np.asarray(chosen)[side] for side in np.triu_indices(len(chosen), 1))
    i, j = np.minimum(rows, columns), np.maximum(rows, columns)
    return condensed[..., _starts(words)[i] + j - i - 1]


def category_masks(categories: Sequence[str]) -> dict[str, np.ndarray]:
    """Mark the word pairs of the same category, and divide the upper triangle by it (the post's Figure 1).

    Masks of shape (words, words): ``same`` (same category, the diagonal included), ``upper`` (above the diagonal),
    ``within`` = same and upper, ``across`` = upper without same.
    """
    labels = np.asarray(categories)
    same = labels[:, None] == labels[None, :]
    upper = np.triu(np.ones_like(same), 1)
    return {"same": same, "upper": upper, "within": same & upper, "across": upper & ~same}


def within_category(categories: Sequence[str]) -> np.ndarray:
    """Return which pairs of words lie within a category, shape (pairs,); the others lie across.

    Examples
    --------
    >>> within_category(["fruit", "fruit", "tool"])
    array([ True, False, False])
    """
    return condense(category_masks(categories)["same"])
