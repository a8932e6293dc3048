"""The geometry of single attention heads: each has its own slice of the units of Q, K and V."""

from collections.abc import Callable, Mapping

import numpy as np

from stages.geometry.comparison import product_sum, unit_norm
from stages.geometry.effects import d_of_sums
from stages.geometry.names import INPUT, MATRICES, PAIRS
from stages.pipeline.progress import blocks
from stages.statistics.projections import factor, project, ranges

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
    floor: Callable[..., Mapping[str, np.ndarray]] | None = None,
) -> dict[str, np.ndarray]:
    """Separability and RSA of every head of a layer.

    Under grouped-query attention there are fewer key and value heads than query heads. Each query head is then compared
    with the key and the value head that it attends with, so that these appear once for each query head of their group.

    Parameters
    ----------
    vectors : mapping of "q", "k", "v" (and "x") to ndarray, shape (words, units)
        K and V may be narrower than Q. Behind the words may stand those that `similar` takes as a reference.
    heads : int
        Query heads.
    similar : callable
        Takes vectors of a head's units, shape (..., words, units), gives condensed similarities, shape (..., pairs).
    within : ndarray of bool, shape (pairs,)
        Which pairs lie within a category.
    chunk : int
        Bytes of square similarity matrices held at a time; at least one group is.
    floor : callable, optional
        Takes the input, ``vectors["x"]``, and the units of a head, as `head_floor`; what it gives goes to all heads.

    Returns
    -------
    dict of str to ndarray of float64, shape (heads,)
        ``q``, ``k``, ``v``: Cohen's d, in standard deviations; ``qk``, ``qv``, ``kv``: RSA scores (Pearson r). NaN
        where the vectors or similarities of a head have no variation, so that a score is undefined. Then the floor's.

    Raises
    ------
    ValueError
        If the widths of Q, K and V are not whole numbers of heads, or the query heads no multiple of K's and V's.
    """
    words, width = vectors["q"].shape
    head_units = width // heads
    groups = min(vectors[name].shape[-1] // head_units for name in MATRICES)
    parts = {name: in_groups(vectors[name], head_units, groups) for name in MATRICES}
    columns = {name: np.empty((groups, heads // groups)) for name in (*MATRICES, *PAIRS)}
    for block in blocks(groups, chunk // (8 * words**2 * (heads // groups))):
        similarity = {name: _similarities(part[block], similar, len(within)) for name, part in parts.items()}
        for name, scores in _scores(similarity, within).items():
            columns[name][block] = scores  # broadcasts what a group shares to each of its query heads
    bounds = floor(vectors[INPUT], head_units) if floor else {}
    return {
        **{name: values.ravel() for name, values in columns.items()},
        **{name: np.full(heads, value) for name, value in bounds.items()},
    }


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


def head_floor(
    x: np.ndarray,
    head_units: int,
    similar: Callable[[np.ndarray], np.ndarray],
    within: np.ndarray,
    draws: int,
    alpha: float,
    rng: np.random.Generator,
    up_to_rotation: bool = False,
    chunk: int = CHUNK,
) -> dict[str, np.ndarray]:
    """Return Cohen's d and the RSA of random projections of a layer's input to as many units as a head has.

    One floor for all heads of a layer: their width is the same, and so is the law of the projections of Q, K and V.

    Parameters
    ----------
    x : ndarray, shape (words, units)
        The layer's input; words behind those of `within` are a reference for `similar`.
    head_units : int
    similar, within
        As `head_scores`.
    draws : int
        Of three matrices each.
    alpha : float
        The ranges hold 1 - alpha of the draws.
    rng : numpy.random.Generator
    up_to_rotation : bool
        Whether a rotation of the units leaves what `similar` gives as it is.
    chunk : int
        Bytes of square similarity matrices held at a time.

    Returns
    -------
    dict of str to ndarray of float64, shape ()
        ``d_floor``, ``rsa_floor``: means over draws; with ``_low`` and ``_high``, their range. NaN where the input does
        not vary.
    """
    root, found = factor(x), {"d": [], "rsa": []}
    for part in blocks(draws, chunk // (8 * len(MATRICES) * len(x) ** 2)):
        size = (part.stop - part.start) * len(MATRICES)
        drawn = _similarities(project(root, head_units, size, rng, up_to_rotation), similar, len(within))
        scores = _scores(dict(zip(MATRICES, np.split(drawn, len(MATRICES)), strict=True)), within)
        found["d"] += [scores[name] for name in MATRICES]
        found["rsa"] += [scores[name] for name in PAIRS]
    return {
        f"{measure}_floor{_SUFFIXES[column]}": number
        for measure, values in found.items()
        for column, number in ranges(np.concatenate(values), alpha).items()
    }
