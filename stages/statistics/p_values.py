"""P of scores among draws of a null: each by itself, and with the chance of any error in a family controlled."""

import numpy as np


def monte_carlo_p(values: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    r"""Two-sided p of each value among D draws of its null.

    .. math:: p = \min\left(1,\; 2\,\frac{1 + \min(n_\le, n_\ge)}{D + 1}\right)

    with the numbers n of the drawn values, shape (..., D), that are at most, and at least, the value. From 2/(D + 1) to
    1; NaN where the value or a draw is undefined.

    References
    ----------
    Phipson, B. & Smyth, G. K. (2010), doi:10.2202/1544-6115.1585.
    """
    values, draws = np.asarray(values)[..., None], drawn.shape[-1]
    tail = np.minimum((drawn <= values).sum(axis=-1), (drawn >= values).sum(axis=-1))
    known = ~np.isnan(values - drawn).any(axis=-1)
    return np.where(known, np.minimum(2 * (1 + tail) / (draws + 1), 1), np.nan)


def familywise_p(values: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    r"""P of each value, two-sided, with the chance of any error in the whole family controlled.

    Deviations are in units of SD, mean and SD being those of the draws and the value together, so that under the null
    the value is exchangeable with the draws. The p of a value is its rank among the draws' largest deviations:

    .. math:: z = \frac{|t - \bar{t}|}{s}, \qquad p = \frac{1 + \#\{i : \max z_i \ge z\}}{D + 1}

    Values, shape (tests,), and draws, (tests, D), of which each column is one draw, to p, (tests,): from 1/(D + 1) to
    1; NaN where the value or a draw is undefined.

    References
    ----------
    Nichols, T. E. & Holmes, A. P. (2002), doi:10.1002/hbm.1058 (maximum statistic).
    """
    every = np.column_stack([values, drawn])
    if not (known := np.isfinite(every).all(axis=1)).all():
        found = np.full(len(values), np.nan)
        if known.any():
            found[known] = familywise_p(values[known], drawn[known])
        return found
    z = np.abs(every - every.mean(axis=1, keepdims=True)) / every.std(axis=1, ddof=1, keepdims=True)
    largest = np.sort(z[:, 1:].max(axis=0))
    at_least = len(largest) - np.searchsorted(largest, z[:, 0] * (1 - 1e-12), side="left")
    return (1 + at_least) / (1 + len(largest))
