"""The geometry of single attention heads: each has its own slice of the units of Q, K and V."""

from collections.abc import Callable, Mapping

import numpy as np

from stages.geometry.agreement import agreement
from stages.geometry.comparison import product_sum, unit_norm
from stages.geometry.effects import d_of_sums
from stages.geometry.names import MATRICES, PAIRS
from stages.geometry.similarity import Similar
from stages.pipeline.progress import blocks
from stages.statistics.projections import ranges

#: Bytes of square similarity matrices that are held at a time.
CHUNK = 2**24

_SUFFIXES = {"value": "", "low": "_low", "high": "_high"}


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
    """Separability and RSA of every head of a layer.

    Under grouped-query attention there are fewer key and value heads than query heads. Each query head is then compared
    with the key and the value head that it attends with, so that these appear once for each query head of their group.

    Parameters
    ----------
    vectors : mapping of "q", "k", "v" (and "x") to ndarray, shape (words, units)
        K and V may be narrower than Q, and heads of V of another size than those of Q and K. Behind the words may stand
        those that `similar` takes as a reference.
    heads : int
        Query heads.
    similar : callable
        Takes vectors of a head's units, shape (..., words, units), gives condensed similarities, shape (..., pairs).
    within : ndarray of bool, shape (pairs,)
        Which pairs lie within a category.
    chunk : int
        Bytes of square similarity matrices held at a time; at least one group is.

    Returns
    -------
    dict of str to ndarray of float64, shape (heads,)
        ``q``, ``k``, ``v``: Cohen's d, in standard deviations; ``qk``, ``qv``, ``kv``: RSA scores (Pearson r). NaN
        where the vectors or similarities of a head have no variation, so that a score is undefined.

    Raises
    ------
    ValueError
        If the widths of Q, K and V are not whole numbers of heads, or the query heads no multiple of K's and V's.
    """
    words, width = vectors["q"].shape
    groups = vectors["k"].shape[-1] // (width // heads)
    units = {"q": width // heads, "k": width // heads, "v": vectors["v"].shape[-1] // groups}
    parts = {name: in_groups(vectors[name], units[name], groups) for name in MATRICES}
    columns = {name: np.empty((groups, heads // groups)) for name in (*MATRICES, *PAIRS)}
    for block in blocks(groups, chunk // (8 * words**2 * (heads // groups))):
        similarity = {name: _similarities(part[block], similar, len(within)) for name, part in parts.items()}
        for name, scores in _scores(similarity, within).items():
            columns[name][block] = scores  # broadcasts what a group shares to each of its query heads
    return {name: values.ravel() for name, values in columns.items()}


def _similarities(vectors: np.ndarray, similar: Callable[[np.ndarray], np.ndarray], pairs: int) -> np.ndarray:
    """Similarities of many heads; NaN for a head that has none, as a vector of it is zero or constant."""
    try:
        return similar(vectors)
    except FloatingPointError:
        if vectors.ndim == 2:
            return np.full(pairs, np.nan)
        return np.stack([_similarities(part, similar, pairs) for part in vectors])


def _scores(similarity: Mapping[str, np.ndarray], within: np.ndarray) -> dict[str, np.ndarray]:
    """Score similarities of shape (..., pairs), axes before the last being broadcast; NaN where one does not vary."""
    units = {name: unit_norm(values, strict=False) for name, values in similarity.items()}
    inside, kind = int(within.sum()), within.astype(np.float64)
    return {
        **{name: d_of_sums(values @ kind, inside, len(within) - inside) for name, values in units.items()},
        **{a + b: np.clip(product_sum(units[a], units[b]), -1, 1) for a, b in PAIRS},
    }


class HeadNulls:
    """What projections of each head's own spectrum give in random orientation: the ladder's rung ``spectrum``.

    Shown the draws of a layer block by block, it scores every head's slice of them: Cohen's d of each matrix, and the
    RSA of each draw of one matrix with every other draw of the second, which are independent.

    Parameters
    ----------
    heads : int
        Query heads.
    similar : Similar
    within : ndarray of bool, shape (pairs,)
        Which pairs lie within a category.
    """

    def __init__(self, heads: int, similar: Similar, within: np.ndarray) -> None:
        self._heads, self._similar, self._within = heads, similar, within
        self._drawn: dict[str, list[np.ndarray]] = {}

    def add(self, vectors: Mapping[str, np.ndarray]) -> None:
        """Score a block of draws.

        Parameters
        ----------
        vectors : mapping of "q", "k", "v" to ndarray, shape (draws, words + reference words, units)
        """
        draws, other = len(vectors["q"]), ~np.eye(len(vectors["q"]), dtype=bool)
        head_units = vectors["q"].shape[-1] // self._heads
        groups = vectors["k"].shape[-1] // head_units  # values may have heads of another size
        of_group = self._heads // groups
        found: dict[str, list[np.ndarray]] = {}
        for group in range(groups):
            own: list[np.ndarray] = []
            for name in MATRICES:
                part = vectors[name]
                size = part.shape[-1] // groups if name == "v" else head_units
                own.extend(np.moveaxis(part.reshape(*part.shape[:2], groups, -1, size)[:, :, group], 2, 0))
            scores = agreement(self._similar.pieces(own, strict=False), self._within, strict=False)
            r, d = scores.r["rsa"].reshape(len(own), draws, len(own), draws), scores.d.reshape(-1, draws)
            places = {"q": np.arange(of_group), "k": np.full(of_group, of_group), "v": np.full(of_group, of_group + 1)}
            for name, place in places.items():
                found.setdefault(name, []).append(d[place])
            for a, b in PAIRS:
                found.setdefault(a + b, []).append(r[places[a], :, places[b]][:, other])
        for name, parts in found.items():
            self._drawn.setdefault(name, []).append(np.concatenate(parts))

    def ranges(self, alpha: float) -> dict[str, np.ndarray]:
        """Return mean and range of the draws.

        Parameters
        ----------
        alpha : float
            The ranges hold 1 - alpha of the draws.

        Returns
        -------
        dict of str to ndarray of float64, shape (heads,)
            ``{q,k,v,qk,qv,kv}_null``: means; with ``_low`` and ``_high``, their range. NaN where a head's vectors or
            similarities do not vary.
        """
        return {
            f"{name}_null{_SUFFIXES[column]}": numbers
            for name, parts in self._drawn.items()
            for column, numbers in ranges(np.concatenate(parts, axis=-1), alpha).items()
        }
