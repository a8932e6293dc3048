"""The geometry of single attention heads: each has its own slice of the units of Q, K and V."""

from collections.abc import Sequence

import numpy as np

from stages.geometry.moments import Statistics, cohens_d, moments_of_sets, named, similarities
from stages.geometry.names import MATRICES, Arrays, Scores
from stages.geometry.similarity import Similar
from stages.pipeline.progress import stack
from stages.statistics.projections import ranges


def in_groups(vectors: np.ndarray, head_units: int, groups: int) -> np.ndarray:
    """Cut vectors into heads, and put the heads that share a key and value head together: `groups` of them.

    Head h holds the units from ``h * head_units`` on, and group g the heads from ``g * heads / groups`` on: the order
    in which attention itself reads a projection's output. Vectors of shape (..., words, units) to (groups, heads of a
    group, ..., words, head_units), a view where NumPy can; ValueError if the units are no whole number of heads in
    every group.

    Examples
    --------
    >>> in_groups(np.arange(8)[None], head_units=2, groups=2)[1, 0]
    array([[4, 5]])
    """
    *lead, units = vectors.shape
    if units % (groups * head_units):
        raise ValueError(f"{units} units cannot be cut into {groups} groups of heads of {head_units} units")
    return np.moveaxis(vectors.reshape(*lead, groups, -1, head_units), (-3, -2), (0, 1))


def head_scores(vectors: Arrays, heads: int, similar: Similar, within: np.ndarray) -> Statistics:
    """Return separability and RSA of every head of a layer that has so many query `heads`.

    Under grouped-query attention there are fewer key and value heads than query heads. Each query head is then compared
    with the key and the value head that it attends with, so that these appear once for each query head of their group.

    Parameters
    ----------
    vectors : mapping of "q", "k", "v" (and "x") to ndarray, shape (words + reference words, units)
        K and V may be narrower than Q, and heads of V of another size than those of Q and K.
    within : ndarray of bool, shape (pairs,)
        Which pairs lie within a category.

    Returns
    -------
    Statistics
        float64 of shape (heads,): Cohen's ``d`` of each matrix, in standard deviations, and ``rsa`` (Pearson r) of each
        pair. NaN where the vectors or similarities of a head have no variation, so that a score is undefined.
        ValueError if the widths are not whole numbers of heads, or the query heads no multiple of K's and V's.
    """
    alone = {name: vectors[name][None] for name in MATRICES}
    return {key: values.ravel() for key, values in _scores(alone, heads, similar, within).items()}


def head_draws(vectors: Arrays, heads: int, similar: Similar, within: np.ndarray) -> Statistics:
    """Score every head's slice of draws of a layer: what its own spectrum gives in random orientation.

    As `head_scores`, of vectors of shape (draws, words + reference words, units), a block of the ladder's rung
    ``spectrum``: d of shape (heads, draws); r of each draw of one matrix with every other draw of the second, which are
    independent, of shape (heads, draws * (draws - 1)).
    """
    found, other = _scores(vectors, heads, similar, within), ~np.eye(len(vectors["q"]), dtype=bool)
    return {key: values[:, other] if key[0] == "rsa" else values for key, values in found.items()}


def head_ranges(blocks: Sequence[Statistics], alpha: float) -> Scores:
    """Return mean and range of the draws of all blocks of `head_draws`, each of shape (heads,).

    As `ranges`; NaN where a head's vectors or similarities do not vary.
    """
    return {key: ranges(np.concatenate([block[key] for block in blocks], axis=-1), alpha) for key in blocks[0]}


def _scores(vectors: Arrays, heads: int, similar: Similar, within: np.ndarray) -> Statistics:
    """Score every head of many draws: d of shape (heads, draws), r of each with each of shape (heads, draws, draws)."""
    draws, width = len(vectors["q"]), vectors["q"].shape[-1]
    groups = vectors["k"].shape[-1] // (width // heads)
    units = {"q": width // heads, "k": width // heads, "v": vectors["v"].shape[-1] // groups}
    found = []
    for queries, *own in zip(*(in_groups(vectors[name], units[name], groups) for name in MATRICES), strict=True):
        shared = similarities([own[0][0], own[1][0]], similar, within, strict=False)
        for query in queries:
            values = np.concatenate([similarities([query], similar, within, strict=False), shared])
            ((every, inside),) = moments_of_sets(values, within)
            r = every.correlations(strict=False).reshape(3, draws, 3, draws).transpose(1, 3, 0, 2)
            d = cohens_d(every, inside, strict=False).reshape(3, draws).T
            found.append(named({"rsa": r}, d, MATRICES))
    return dict(sorted(stack(found).items(), key=lambda score: score[0][0]))  # d before rsa, as in tables
