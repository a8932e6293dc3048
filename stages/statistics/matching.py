"""Within against across categories at the same range of similarities: r falls when the spread alone does."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from stages.geometry.comparison import product_sum
from stages.geometry.moments import varies
from stages.geometry.names import PAIRS, Scores
from stages.geometry.pairs import within_category
from stages.pipeline.progress import blocks
from stages.statistics.projections import ranges

#: Fewer pairs than these of either kind, and a matched correlation is not computed.
FEWEST = 3
#: Of more pairs than these in a bin, shuffles are shared out among draws.
MANY = 512
#: Bytes of chosen places and values that are held at a time.
CHUNK = 2**22


def range_matched(
    similarity: Mapping[str, np.ndarray],
    categories: Sequence[str],
    bins: int,
    draws: int,
    alpha: float,
    rng: np.random.Generator,
) -> Scores:
    """Compare RSA within and across categories over pairs that are equally distributed in one of the two matrices.

    The overlap of the two kinds of pairs in that matrix is cut into equal bins; from each bin as many pairs of either
    kind are drawn, without replacement, as the scarcer kind has there. RSA scores are taken of the drawn pairs, over
    and over. That is done with the first matrix of each pair and with the second.

    Parameters
    ----------
    similarity : mapping of "q", "k", "v" to ndarray, shape (layers, pairs)
    categories : sequence of str, length words
    bins : int
    draws : int
    alpha : float
        The ranges hold 1 - alpha of the draws. They tell how much the choice of pairs matters, not how much the choice
        of words does.
    rng : numpy.random.Generator

    Returns
    -------
    Scores
        ``{rsa_within,rsa_across,rsa_gap}_matched_{first,second}`` by pair: ``value`` (the mean of the draws), ``low``
        and ``high``, of shape (layers,). NaN where fewer than three pairs of a kind can be matched, or where those
        matched are constant in a matrix.

    References
    ----------
    Sackett, P. R. & Yang, H. (2000), doi:10.1037/0021-9010.85.1.112 (range restriction).
    """
    within = within_category(categories)
    found = {}
    for position, which in enumerate(("first", "second")):
        scores = {}
        for pair in PAIRS:
            layers = zip(similarity[pair[0]], similarity[pair[1]], strict=True)
            scores[pair] = [_matched(np.stack(both), within, position, bins, draws, rng) for both in layers]
        for place, kind in enumerate(("within", "across", "gap")):
            for pair, of_layers in scores.items():
                found[f"rsa_{kind}_matched_{which}", pair] = ranges(np.stack(of_layers)[:, place], alpha)
    return found


def _matched(
    both: np.ndarray, within: np.ndarray, position: int, bins: int, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Scores within, across and their gap, shape (3, draws), of one layer's two matrices, shape (2, pairs)."""
    kinds = [np.asarray(both[:, pairs], dtype=np.float64) for pairs in (within, ~within)]
    low = max(values[position].min() for values in kinds)
    high = min(values[position].max() for values in kinds)
    undefined = np.full((3, draws), np.nan)
    if not low < high:
        return undefined
    edges = np.linspace(low, high, bins + 1)
    places = [_bins(values[position], edges) for values in kinds]
    sizes = np.minimum(*(np.bincount(place[place >= 0], minlength=bins) for place in places))
    if sizes.sum() < FEWEST:
        return undefined
    scores = []
    for values, place in zip(kinds, places, strict=True):
        values = values - values.mean(axis=1, keepdims=True)
        taken = [_sums(values[:, place == b], size, draws, rng) for b, size in enumerate(sizes) if size]
        x, y, xx, yy, xy = sum(taken)
        n = sizes.sum()
        spread = np.array([xx - x * x / n, yy - y * y / n])
        if not varies(spread, 0, np.array([xx, yy])).all():
            return undefined
        scores.append((xy - x * y / n) / np.sqrt(spread.prod(axis=0)))
    return np.stack([*scores, scores[0] - scores[1]])


def _bins(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Which bin each value lies in, the last one closed on both sides; -1 outside all."""
    place = np.minimum(np.searchsorted(edges, values, side="right") - 1, len(edges) - 2)
    return np.where((values >= edges[0]) & (values <= edges[-1]), place, -1)


def _sums(values: np.ndarray, size: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Sum x, y, x², y² and xy over `size` pairs drawn without replacement, draw by draw: shape (5, draws)."""
    parts = [
        np.stack([*chosen.sum(axis=-1), *(product_sum(chosen[a], chosen[b]) for a, b in ((0, 0), (1, 1), (0, 1)))])
        for chosen in (values.take(places, axis=1) for places in _choose(values.shape[1], size, draws, rng))
    ]
    return np.broadcast_to(np.concatenate(parts, axis=1)[:, :draws], (5, draws))


def _choose(members: int, size: int, draws: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Choose `size` places without replacement, anew in each row: blocks of rows, which together are `draws` at least.

    One row is enough where all are taken. Of many places, each shuffle is cut into as many rows as it holds: each has
    the law of a row of its own, and together they are spread the more evenly.
    """
    if size == members:
        yield np.arange(members)[None]
    elif members <= MANY:
        yield np.argpartition(rng.random((draws, members)), size, axis=1)[:, :size]
    else:
        rows = members // size
        for some in blocks(-(-draws // rows), CHUNK // (8 * members)):
            orders = np.repeat(np.arange(members)[None], some.stop - some.start, axis=0)
            yield rng.permuted(orders, axis=1, out=orders)[:, : rows * size].reshape(-1, size)
