"""How much of a geometry others explain: all together, and each beyond the rest (variance partitioning)."""

from itertools import combinations

import numpy as np

#: Below, an eigenvalue of correlations is rounding.
SINGULAR = 1e-9


def partition(to: np.ndarray, among: np.ndarray, nonnegative: bool = False) -> tuple[np.ndarray, np.ndarray]:
    r"""Regress geometries on c candidates, all of them standardised, from their correlations alone.

    With the correlations :math:`r` of a geometry with the candidates, and :math:`R` of the candidates with each other:

    .. math:: \beta = R^{-1} r, \qquad R^2 = \beta^\top r, \qquad s_i = \frac{\beta_i}{\sqrt{(R^{-1})_{ii}}}

    The square of the semipartial correlation :math:`s_i` is the unique variance of candidate i: by how much
    :math:`R^2` falls without it: by nothing where the others give it, as in a bootstrap sample without the words in
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
