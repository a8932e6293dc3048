"""How far the similarities within categories stand above those across them: effect sizes of many layers at a time."""

import numpy as np

from stages.geometry.comparison import ranks
from stages.geometry.moments import cohens_d as moments_d
from stages.geometry.moments import moments, varies


def cohens_d(similarity: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Return Cohen's d of pairs within against pairs across categories.

    Parameters
    ----------
    similarity : ndarray, shape (..., pairs)
    within : ndarray of bool, shape (pairs,)
        Which pairs lie within a category.

    Returns
    -------
    ndarray of float64, shape (...)
        In standard deviations, as `stages.geometry.moments.cohens_d`; so are errors.
    """
    every = moments(similarity[..., None, :])
    return moments_d(every, moments(similarity[..., None, :], within, every.centre))[..., 0]


def d_of_sums(sums: np.ndarray, within: int, across: int) -> np.ndarray:
    r"""Cohen's d from the sum S, over the pairs within, of similarities that `unit_norm` has centred and scaled.

    The spread of all N pairs then being 1, d depends on S alone (:math:`c = 1/n_w + 1/n_a`):

    .. math:: d = \frac{c S}{\sqrt{(1 - c S^2)/(N - 2)}}

    Parameters
    ----------
    sums : ndarray
    within, across : int
        How many pairs of each kind there are.

    Returns
    -------
    ndarray of float64, the shape of `sums`
        In standard deviations; NaN where neither kind of pair varies.
    """
    c = 1 / within + 1 / across
    rest = 1 - c * np.square(sums)
    return c * sums / np.sqrt(np.where(varies(rest, 1, 1), rest, np.nan) / (within + across - 2))


def common_language(similarity: np.ndarray, within: np.ndarray) -> np.ndarray:
    r"""Common-language effect size: how probably a pair within a category is more alike than one across categories.

    .. math:: \mathrm{CLES} = P(s_w > s_a) + \tfrac12 P(s_w = s_a)
              = \frac{1}{n_w n_a} \left(\sum_w \operatorname{rank}(s_w) - \frac{n_w (n_w + 1)}{2}\right)

    Parameters
    ----------
    similarity : ndarray, shape (..., pairs)
    within : ndarray of bool, shape (pairs,)

    Returns
    -------
    ndarray of float64, shape (...)
        From 0 to 1; 0.5 where categories make no difference.

    References
    ----------
    McGraw, K. O. & Wong, S. P. (1992), doi:10.1037/0033-2909.111.2.361. Vargha, A. & Delaney, H. D. (2000),
    doi:10.3102/10769986025002101 (ties).
    """
    ranked = ranks(similarity)[..., within]
    inside, outside = int(within.sum()), int((~within).sum())
    return (ranked.sum(axis=-1) - inside * (inside + 1) / 2) / (inside * outside)
