"""Permutation tests whose unit is the word: pairs that share a word are not independent observations."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from stages.geometry.comparison import PAIRS, unit_norm
from stages.geometry.pairs import square, within_category, words_of

#: Values at least this close count as equal: a permutation that changes nothing must not lose to rounding.
TIE = 1e-12

#: Bytes that one step of a computation may take. About what a processor's cache holds: larger is slower.
CHUNK = 2**21
#: Bytes for float64 copies of the similarities; more layers than that are worked through in blocks.
BLOCK = 2**26


def permute_words(
    similarity: Mapping[str, np.ndarray],
    permutations: int,
    rng: np.random.Generator,
    chunk: int = CHUNK,
    block: int = BLOCK,
) -> dict[str, dict[str, np.ndarray]]:
    r"""Mantel test of every layer's RSA scores, over all word pairs, with family-wise error control.

    The words of the second matrix of each pair are permuted against the first, rows and columns together:

    .. math:: r_\pi = \operatorname{corr}_{i<j}\left(a_{ij},\; b_{\pi(i)\pi(j)}\right), \qquad
              p = \frac{1 + \#\{\pi : r_\pi \ge r\}}{1 + P}

    The same permutations serve every layer and pair. The family-wise p compares r with the maximum over all layers and
    pairs of the signed :math:`r_\pi`. One-sided: large p where the scores are negative.

    Parameters
    ----------
    similarity : mapping of "q", "k", "v" to ndarray, shape (layers, pairs)
        Condensed.
    permutations : int
        How many, P.
    rng : numpy.random.Generator
    chunk, block : int
        Bytes of working memory; they change the speed, not the result.

    Returns
    -------
    dict of "qk", "qv", "kv" to dict of str to ndarray of float64, shape (layers,)
        ``value`` (Pearson r), ``p`` and ``p_familywise``, both from 1/(P + 1) to 1.

    Raises
    ------
    FloatingPointError
        If the similarities of a layer are constant.

    References
    ----------
    Mantel, N. (1967). Cancer Research 27, 209-220. Nichols, T. E. & Holmes, A. P. (2002). Human Brain Mapping 15, 1-25
    (maximum statistic). Phipson, B. & Smyth, G. K. (2010). doi:10.2202/1544-6115.1585 (the 1 in p).
    """
    layers, pairs = similarity["q"].shape
    words = words_of(pairs)
    rows, columns = np.triu_indices(words, 1)
    seconds = sorted({second for _, second in PAIRS})
    orders = rng.permuted(np.tile(np.arange(words, dtype=np.int32), (permutations, 1)), axis=1)

    def scores(part: slice) -> tuple[np.ndarray, Iterator[np.ndarray]]:
        units = {name: unit_norm(similarity[name][part]) for name in "qkv"}
        # The matrices that are permuted lie side by side, so that one gather moves the words of all of them.
        squares = np.stack([square(units[name], 0) for name in seconds], axis=-1)
        squares = squares.reshape(-1, words * words, len(seconds))
        firsts = np.zeros((len(squares), pairs, len(seconds), len(PAIRS)))
        for test, (first, second) in enumerate(PAIRS):
            firsts[:, :, seconds.index(second), test] = units[first]
        firsts = firsts.reshape(-1, pairs * len(seconds), len(PAIRS))

        def permuted() -> Iterator[np.ndarray]:
            for some in blocks(permutations, chunk // (8 * pairs * len(seconds))):
                order = orders[some].astype(np.intp)
                places = order[:, rows] * words + order[:, columns]
                gathered = (layer.take(places, axis=0).reshape(len(order), -1) for layer in squares)
                yield np.stack([b @ a for b, a in zip(gathered, firsts, strict=True)], axis=1)

        return np.stack([np.einsum("lp,lp->l", units[a], units[b]) for a, b in PAIRS], axis=1), permuted()

    step = block // (8 * len(seconds) * (words * words + pairs * len(PAIRS)))
    r, p, p_familywise = _p_values(map(scores, blocks(layers, step)), permutations)
    return {
        pair: {"value": np.clip(r[:, i], -1, 1), "p": p[:, i], "p_familywise": p_familywise[:, i]}
        for i, pair in enumerate(PAIRS)
    }


def permute_labels(
    similarity: Mapping[str, np.ndarray],
    categories: Sequence[str],
    permutations: int,
    rng: np.random.Generator,
    chunk: int = CHUNK,
    block: int = BLOCK,
) -> dict[str, dict[str, np.ndarray]]:
    r"""Permutation test of every layer's category separability, with family-wise error control.

    The category labels are permuted over the words, and each time Cohen's d is taken of the pairs that then lie within
    a category against the rest. The numbers of both stay, and so does the spread of all similarities; d therefore
    depends on the sum S of those within alone. With similarities centred and scaled to unit length, N pairs and
    :math:`c = 1/n_w + 1/n_a`:

    .. math:: d = \frac{c S}{\sqrt{(1 - c S^2)/(N - 2)}}

    which grows with S, the same way in every layer and matrix: S is what the permutations compare. One-sided
    (greater), p and family-wise p as in `permute_words`; the family are all layers and matrices.

    Parameters
    ----------
    similarity : mapping of str to ndarray, shape (layers, pairs)
        By matrix ("q", "k", "v").
    categories : sequence of str, length words
    permutations : int
    rng : numpy.random.Generator
    chunk, block : int
        Bytes of working memory; they change the speed, not the result.

    Returns
    -------
    dict of str to dict of str to ndarray of float64, shape (layers,)
        By matrix: ``value`` (Cohen's d), ``p`` and ``p_familywise``.

    Raises
    ------
    FloatingPointError
        If the similarities of a layer are constant.

    References
    ----------
    As `permute_words`; with ranks in the place of the similarities this is the test of ANOSIM (Clarke, K. R. 1993,
    doi:10.1111/j.1442-9993.1993.tb00438.x).
    """
    layers, pairs = next(iter(similarity.values())).shape
    labels = np.unique(np.asarray(categories), return_inverse=True)[1]
    within = within_category(categories)
    rows, columns = np.triu_indices(len(labels), 1)
    orders = rng.permuted(np.tile(labels.astype(np.int32), (permutations, 1)), axis=1)

    def sums(part: slice) -> tuple[np.ndarray, Iterator[np.ndarray]]:
        units = np.stack([unit_norm(values[part]) for values in similarity.values()], axis=1)

        def permuted() -> Iterator[np.ndarray]:
            for some in blocks(permutations, chunk // (8 * pairs)):
                same = orders[some][:, rows] == orders[some][:, columns]
                product = same.astype(np.float64) @ units.reshape(-1, pairs).T
                yield product.reshape(len(same), *units.shape[:2])

        return units @ within.astype(np.float64), permuted()

    step = block // (8 * pairs * len(similarity))
    total, p, p_familywise = _p_values(map(sums, blocks(layers, step)), permutations)
    c = 1 / within.sum() + 1 / (~within).sum()
    rest = 1 - c * total**2
    if (rest <= 0).any():
        raise FloatingPointError("Cohen's d is undefined: neither kind of pair varies")
    d = c * total / np.sqrt(rest / (pairs - 2))
    return {
        name: {"value": d[:, i], "p": p[:, i], "p_familywise": p_familywise[:, i]} for i, name in enumerate(similarity)
    }


def blocks(total: int, size: int) -> Iterator[slice]:
    """Cut ``range(total)`` into slices of `size` (at least 1; the last may be shorter)."""
    size = max(1, size)
    return (slice(start, min(start + size, total)) for start in range(0, total, size))


def _p_values(
    parts: Iterable[tuple[np.ndarray, Iterator[np.ndarray]]], permutations: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give observed statistics, shape (layers, tests), their p and, by the maximum over all of them, family-wise p.

    `parts` holds, for each block of layers, the observed statistics and chunks of (permutations, layers, tests).
    """
    observed, reached = [], []
    largest = np.full(permutations, -np.inf)
    for found, chunks in parts:
        count, start = np.zeros(found.shape, dtype=int), 0
        for permuted in chunks:
            count += (permuted >= found - TIE).sum(axis=0)
            here = largest[start : start + len(permuted)]
            np.maximum(here, permuted.max(axis=(1, 2)), out=here)
            start += len(permuted)
        observed.append(found)
        reached.append(count)
    statistic, alone = np.concatenate(observed), np.concatenate(reached)
    together = permutations - np.searchsorted(np.sort(largest), statistic - TIE)
    return statistic, (alone + 1) / (permutations + 1), (together + 1) / (permutations + 1)
