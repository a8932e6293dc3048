"""The geometry of single attention heads: each has its own slice of the units of Q, K and V."""

from collections.abc import Callable, Mapping

import numpy as np

from stages.geometry.comparison import MATRICES, PAIRS, pairwise
from stages.geometry.contrast import cohens_d

#: Bytes of square similarity matrices that are held at a time.
CHUNK = 2**26


def in_groups(vectors: np.ndarray, head_units: int, groups: int) -> np.ndarray:
    """Cut vectors into heads, and put the heads that share a key and value head together.

    Head h holds the units from ``h * head_units`` on, and group g the heads from ``g * heads / groups`` on: the order
    in which attention itself reads a projection's output.

    Parameters
    ----------
    vectors : ndarray, shape (words, units)
    head_units : int
        Units of one head.
    groups : int
        Key and value heads.

    Returns
    -------
    ndarray, shape (groups, heads of a group, words, head_units)
        A view where NumPy can.

    Raises
    ------
    ValueError
        If the units are not a whole number of heads in every group.

    Examples
    --------
    >>> in_groups(np.arange(8)[None], head_units=2, groups=2)[1, 0]
    array([[4, 5]])
    """
    words, units = vectors.shape
    if units % (groups * head_units):
        raise ValueError(f"{units} units cannot be cut into {groups} groups of heads of {head_units} units")
    return np.moveaxis(vectors.reshape(words, groups, -1, head_units), 0, 2)


def head_scores(
    vectors: Mapping[str, np.ndarray],
    heads: int,
    similar: Callable[[np.ndarray], np.ndarray],
    within: np.ndarray,
    chunk: int = CHUNK,
) -> dict[str, np.ndarray]:
    """Separability and RSA of every head of every layer.

    Under grouped-query attention there are fewer key and value heads than query heads. Each query head is then compared
    with the key and the value head that it attends with, so that these appear once for each query head of their group.

    Parameters
    ----------
    vectors : mapping of "q", "k", "v" to ndarray, shape (layers, words, units)
        K and V may be narrower than Q. Behind the words may stand those that `similar` takes as a reference.
    heads : int
        Query heads of a layer.
    similar : callable
        Takes vectors of a head's units, shape (..., words, units), gives condensed similarities, shape (..., pairs).
    within : ndarray of bool, shape (pairs,)
        Which pairs lie within a category.
    chunk : int
        Bytes of square similarity matrices held at a time; at least one group is.

    Returns
    -------
    dict of str to ndarray of float64, shape (layers, heads)
        ``q``, ``k``, ``v``: Cohen's d, in standard deviations; ``qk``, ``qv``, ``kv``: RSA scores (Pearson r).

    Raises
    ------
    FloatingPointError
        If the vectors or similarities of a head have no variation, so that a score is undefined; names the layer.
    ValueError
        If the widths of Q, K and V are not whole numbers of heads, or the query heads no multiple of K's and V's.
    """
    layers, words, width = vectors["q"].shape
    head_units = width // heads
    groups = min(values.shape[-1] // head_units for values in vectors.values())
    step = max(1, chunk // (8 * words**2 * (heads // groups)))
    columns = {name: np.empty((layers, heads)) for name in (*MATRICES, *PAIRS)}
    for layer in range(layers):
        parts = {name: in_groups(vectors[name][layer], head_units, groups) for name in MATRICES}
        for start in range(0, groups, step):
            block = slice(start, start + step)
            try:
                scores = _scores({name: similar(part[block]) for name, part in parts.items()}, within)
            except FloatingPointError as error:
                # What stands in brackets counts rows of this block, not layers.
                raise FloatingPointError(f"a head of layer {layer}: {str(error).split(' (')[0]}") from None
            for name, values in scores.items():
                grid = columns[name][layer].reshape(groups, -1)
                grid[block] = values  # broadcasts what a group shares to each of its query heads
    return columns


def _scores(similarity: Mapping[str, np.ndarray], within: np.ndarray) -> dict[str, np.ndarray]:
    """Score similarities of shape (groups, heads of a group, pairs); one shared head has length 1 there."""
    return {**{name: cohens_d(values, within) for name, values in similarity.items()}, **pairwise(similarity)}


def strongest(d: np.ndarray) -> str:
    """Name the head with the largest Cohen's d, both numbers counted from 0.

    Parameters
    ----------
    d : ndarray, shape (layers, heads)

    Returns
    -------
    str
        Of equal ones the first.

    Examples
    --------
    >>> strongest(np.array([[0.1, 0.2], [2.5, 0.3]]))
    'L1H0'
    """
    layer, head = np.unravel_index(np.argmax(d), np.shape(d))
    return f"L{layer}H{head}"
