"""Geometries against candidates for what they hold: tests, intervals, and what each candidate alone explains."""

from collections.abc import Sequence
from functools import partial
from itertools import combinations, product

import numpy as np

from stages.geometry.moments import Moments, Statistics
from stages.geometry.names import MATRIX_DIFFERENCES, Arrays, Scores
from stages.pipeline.progress import Progress
from stages.statistics.bootstrap import bootstrap, differences
from stages.statistics.permutation import Orders, permute_candidates

#: Below, an eigenvalue of correlations is rounding.
SINGULAR = 1e-9
#: Smallest share of a candidate that the others must leave unexplained.
LEAST = 1e-6
#: Largest share of a candidate in what follows from others that is none.
ROUNDING = 1e-3
#: Instead of one candidate's name: all of them together.
TOGETHER = "all"


def against_candidates(
    similarity: Arrays,
    candidates: Arrays,
    categories: Sequence[str],
    orders: Orders,
    counts: np.ndarray,
    alpha: float,
    nonnegative: bool = False,
    bars: tuple[Progress, Progress] = (iter, iter),
) -> Scores:
    """Compare the geometry of every matrix and layer with candidate geometries of the same words.

    Parameters
    ----------
    similarity, candidates : mapping of str to ndarray, shapes (layers, pairs) and (pairs,)
        Larger is more alike in all of them; "q", "k" and "v" are among the first.
    orders, counts
        Of `draw_orders` and `resample_words`.
    alpha : float
        The intervals hold 1 - alpha of the bootstrap samples of words.
    nonnegative : bool
        As `partition`.
    bars : tuple of callable
        For the permutations and for the bootstrap.

    Returns
    -------
    Scores
        By measure, matrix, and candidate or `TOGETHER`, shape (layers,): ``rsa`` (Pearson's r) with one-sided p;
        ``unique`` and ``explained`` (shares of variance: of one candidate beyond the others, of all together), and
        ``shared`` (explained less all that is unique; negative where candidates are clearer together than alone);
        ``rsa_difference`` of two matrices ("v-q": V less Q), and ``rsa_since_first``, less that of the first layer.
        ``rsa_between`` is of two candidates, the same in every layer. FloatingPointError if a candidate is constant, or
        follows from the others.
    """
    of, names = [*similarity], [*candidates]
    tested = permute_candidates(similarity, {name: candidates[name][None] for name in names}, orders, bars[0])
    # Each behind a word that sets it off from the matrices: one may be called "v".
    shape = similarity["q"].shape
    both = {f"candidate {name}": np.broadcast_to(values, shape) for name, values in candidates.items()}
    statistics = partial(_statistics, of=of, names=names, nonnegative=nonnegative)
    later = partial(_contrasts, of=of, names=names)
    scores = bootstrap({**similarity, **both}, categories, counts, alpha, statistics, later, progress=bars[1])
    return {
        key: _squared(cells) if key[0] == "unique" else {**tested.get(key, {}), **cells}
        for key, cells in scores.items()
    }


def _statistics(
    every: Moments, within: Moments, of: Sequence[str], names: Sequence[str], nonnegative: bool
) -> Statistics:
    """Return the scores of all bootstrap samples, shape (samples, layers); ``unique`` as a semipartial correlation."""
    first = len(of)
    if flat := [name for b, name in enumerate(names, first) if not every.varies[..., b].all()]:
        raise FloatingPointError(f"{flat[0]} tells too few words apart: it does not vary in a bootstrap sample of them")
    r = every.correlations()
    # The candidates are the same in every layer: what is made of them alone is made once.
    to, among = r[..., :first, first:], r[:, :1, first:, first:]
    least, directions = np.linalg.eigh(among[0, 0])
    if least[0] < LEAST:
        tied = [name for name, share in zip(names, directions[:, 0], strict=True) if abs(share) > ROUNDING]
        raise FloatingPointError(f"one of {', '.join(tied)} follows from the others: leave it out")
    explained, semipartial = partition(to, among, nonnegative)
    shared = explained - np.square(semipartial).sum(axis=-1)
    found = {}
    for a, matrix in enumerate(of):
        found |= {("rsa", matrix, name): to[..., a, b] for b, name in enumerate(names)}
        found |= {("unique", matrix, name): semipartial[..., a, b] for b, name in enumerate(names)}
        found |= {("explained", matrix, TOGETHER): explained[..., a], ("shared", matrix, TOGETHER): shared[..., a]}
    places = combinations(range(len(names)), 2)
    return found | {("rsa_between", names[a], names[b]): r[..., first + a, first + b] for a, b in places}


def _contrasts(draws: Statistics, of: Sequence[str], names: Sequence[str]) -> Statistics:
    """Return differences of two matrices, and of a layer and the first."""
    found = {}
    for matrix, name in product(of, names):
        found["rsa_since_first", matrix, name] = draws["rsa", matrix, name] - draws["rsa", matrix, name][:, :1]
    for name in names:
        found |= differences(draws, "rsa", MATRIX_DIFFERENCES, name)
    return found


def _squared(cells: Arrays) -> dict[str, np.ndarray]:
    """Square a semipartial correlation: of an interval that holds 0, the lower end is 0."""
    ends = np.square([cells["low"], cells["high"]])
    low = np.where(cells["low"] * cells["high"] <= 0, 0, ends.min(axis=0))
    return {"value": np.square(cells["value"]), "low": low, "high": ends.max(axis=0)}


def partition(to: np.ndarray, among: np.ndarray, nonnegative: bool = False) -> tuple[np.ndarray, np.ndarray]:
    r"""Regress geometries on c candidates, all of them standardised, from their correlations alone.

    With the correlations :math:`r` of a geometry with the candidates, and :math:`R` of the candidates with each other:

    .. math:: \beta = R^{-1} r, \qquad R^2 = \beta^\top r, \qquad s_i = \frac{\beta_i}{\sqrt{(R^{-1})_{ii}}}

    The square of the semipartial correlation :math:`s_i` is the unique variance of candidate i: by how much
    :math:`R^2` falls without it. It is 0 where the others determine it, as in a bootstrap sample without the words in
    which two candidates differ.

    Parameters
    ----------
    to : ndarray, shape (..., geometries, c)
        Pearson correlations of the geometries with the candidates.
    among : ndarray, shape (..., c, c)
        Those of the candidates with each other.
    nonnegative : bool
        Whether weights must not be negative. Then :math:`s_i` is the root of the unique variance.

    Returns
    -------
    explained : ndarray, shape (..., geometries)
        :math:`R^2`, from 0 to 1.
    semipartial : ndarray, shape (..., geometries, c)
        :math:`s_i`, from -1 to 1.

    References
    ----------
    Cohen, J. et al. (2003). Applied Multiple Regression/Correlation Analysis, 3rd ed., chapter 3 (semipartial).
    Khaligh-Razavi, S.-M. & Kriegeskorte, N. (2014), doi:10.1371/journal.pcbi.1003915 (non-negative weights of RDMs).
    """
    if nonnegative:
        return _nonnegative(to, among)
    inverse = _inverse(among)
    weights = to @ inverse
    own = np.sqrt(np.diagonal(inverse, axis1=-2, axis2=-1))[..., None, :]
    given = np.diagonal(inverse @ among, axis1=-2, axis2=-1)[..., None, :] < 1 - SINGULAR
    return np.clip((weights * to).sum(axis=-1), 0, 1), np.where(given, 0, np.clip(weights / own, -1, 1))


def _inverse(among: np.ndarray) -> np.ndarray:
    """Invert correlations, shape (..., c, c); where candidates follow from each other, after Moore and Penrose."""
    singular = (np.linalg.eigvalsh(among)[..., 0] < SINGULAR)[..., None, None]
    regular = np.linalg.inv(np.where(singular, np.eye(among.shape[-1]), among))
    return np.where(singular, np.linalg.pinv(among, SINGULAR, hermitian=True), regular) if singular.any() else regular


def _nonnegative(to: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take the best of all sets of candidates whose weights are positive, which is the solution (Lawson & Hanson)."""
    candidates = range(to.shape[-1])
    whole, without = np.zeros(to.shape[:-1]), np.zeros(to.shape)
    for some in (some for size in candidates for some in combinations(candidates, size + 1)):
        rows = to[..., list(some)]
        weights = rows @ _inverse(among[..., some, :][..., some])
        fit = np.where((weights >= 0).all(axis=-1), (weights * rows).sum(axis=-1), 0)
        whole = np.maximum(whole, fit)
        for other in set(candidates) - set(some):
            without[..., other] = np.maximum(without[..., other], fit)
    return np.clip(whole, 0, 1), np.sqrt(np.clip(whole[..., None] - without, 0, 1))
