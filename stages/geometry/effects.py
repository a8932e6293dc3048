"""How far the similarities within categories stand above those across them: effect sizes of many layers at a time."""

from collections.abc import Mapping

import numpy as np

from stages.geometry.comparison import NOISE, ranks

#: Share of the spread that must lie within the two kinds of pairs: less is rounding.
FLAT = 1e-12


def separability(similarities: Mapping[str, np.ndarray], within: np.ndarray) -> dict[str, np.ndarray]:
    """Cohen's d of within-category against across-category similarities, and the means and SDs behind it.

    Parameters
    ----------
    similarities : mapping of str to ndarray, shape (..., pairs)
        By matrix ("q", "k", "v").
    within : ndarray of bool, shape (pairs,)
        Which pairs lie within a category.

    Returns
    -------
    dict of str to ndarray of float64, shape (...)
        For each matrix m: ``m`` (d, in standard deviations, positive where pairs within a category are more alike),
        then for each ``m_within_mean``, ``m_within_sd``, ``m_across_mean``, ``m_across_sd`` (SDs with n - 1).

    Raises
    ------
    FloatingPointError
        If the similarities of a layer are constant.
    """
    columns = {name: cohens_d(values, within) for name, values in similarities.items()}
    for name, values in similarities.items():
        for kind, pairs in {"within": within, "across": ~within}.items():
            part = np.asarray(values[..., pairs], dtype=np.float64)
            columns[f"{name}_{kind}_mean"] = part.mean(axis=-1)
            columns[f"{name}_{kind}_sd"] = part.std(axis=-1, ddof=1)
    return columns


def cohens_d(similarity: np.ndarray, within: np.ndarray) -> np.ndarray:
    r"""Cohen's d with the pooled SD.

    .. math:: d = \frac{\bar{w} - \bar{a}}{s}, \qquad
              s^2 = \frac{(n_w - 1) s_w^2 + (n_a - 1) s_a^2}{n_w + n_a - 2}

    Parameters
    ----------
    similarity : ndarray, shape (..., pairs)
    within : ndarray of bool, shape (pairs,)
        Which pairs lie within a category.

    Returns
    -------
    ndarray of float64, shape (...)
        In standard deviations.

    Raises
    ------
    FloatingPointError
        If neither kind of pair varies, up to `NOISE`.

    References
    ----------
    Cohen, J. (1988). Statistical Power Analysis for the Behavioral Sciences, 2nd ed.
    """
    inside, outside = (np.asarray(similarity[..., pairs], dtype=np.float64) for pairs in (within, ~within))
    squares = sum(np.square(part - part.mean(axis=-1, keepdims=True)).sum(axis=-1) for part in (inside, outside))
    if np.any(squares <= NOISE**2 * sum(np.square(part).sum(axis=-1) for part in (inside, outside))):
        raise FloatingPointError("Cohen's d is undefined: the similarities do not vary")
    return (inside.mean(axis=-1) - outside.mean(axis=-1)) / np.sqrt(squares / (len(within) - 2))


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
    return c * sums / np.sqrt(np.where(rest > FLAT, rest, np.nan) / (within + across - 2))


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
