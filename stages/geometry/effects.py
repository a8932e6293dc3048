"""How far the similarities within categories stand above those across them."""

from collections.abc import Mapping

import numpy as np
import pingouin


def separability(similarities: Mapping[str, np.ndarray], within: np.ndarray) -> dict[str, np.ndarray]:
    r"""Cohen's d of within-category against across-category similarities, and the means and SDs behind it.

    .. math:: d = \frac{\bar{w} - \bar{a}}{s}, \qquad
              s^2 = \frac{(n_w - 1) s_w^2 + (n_a - 1) s_a^2}{n_w + n_a - 2}

    Parameters
    ----------
    similarities : mapping of str to ndarray, shape (layers, pairs)
        By matrix ("q", "k", "v").
    within : ndarray of bool, shape (pairs,)
        Which pairs lie within a category.

    Returns
    -------
    dict of str to ndarray of float64, shape (layers,)
        For each matrix m: ``m`` (d, in standard deviations, positive where pairs within a category are more alike),
        then for each ``m_within_mean``, ``m_within_sd``, ``m_across_mean``, ``m_across_sd`` (SDs with n - 1).

    Raises
    ------
    FloatingPointError
        If the similarities of a layer are constant.

    References
    ----------
    Cohen, J. (1988). Statistical Power Analysis for the Behavioral Sciences, 2nd ed.
    """
    split = {
        name: (np.asarray(values[:, within], dtype=np.float64), np.asarray(values[:, ~within], dtype=np.float64))
        for name, values in similarities.items()
    }
    columns = {name: np.array([cohens_d(w, a) for w, a in zip(*parts, strict=True)]) for name, parts in split.items()}
    for name, parts in split.items():
        for kind, values in zip(("within", "across"), parts, strict=True):
            columns[f"{name}_{kind}_mean"] = values.mean(axis=1)
            columns[f"{name}_{kind}_sd"] = values.std(axis=1, ddof=1)
    return columns


def cohens_d(within: np.ndarray, across: np.ndarray) -> float:
    """Cohen's d with the pooled SD, by pingouin; formula in `separability`.

    Parameters
    ----------
    within, across : ndarray, shape (pairs within,) and (pairs across,)

    Returns
    -------
    float

    Raises
    ------
    FloatingPointError
        If both are constant.
    """
    if np.ptp(within) == 0 and np.ptp(across) == 0:
        raise FloatingPointError("Cohen's d is undefined: the similarities do not vary")
    return float(pingouin.compute_effsize(within, across, paired=False, eftype="cohen"))
