"""What Q, K and V share beyond their input: partial RSA."""

import numpy as np

from stages.geometry.moments import Moments, cohens_d, varies
from stages.geometry.names import INPUT, MATRICES, PAIRS, PLACES
from stages.statistics.bootstrap import Statistics


def partial_correlation(ab: np.ndarray, ax: np.ndarray, bx: np.ndarray, strict: bool = True) -> np.ndarray:
    r"""Correlation of a and b with what x explains linearly taken out of both.

    .. math:: r_{ab \cdot x} = \frac{r_{ab} - r_{ax} r_{bx}}{\sqrt{(1 - r_{ax}^2)(1 - r_{bx}^2)}}

    Equal to the correlation of the residuals of a and b, each regressed on x.

    Parameters
    ----------
    ab, ax, bx : ndarray
        Pearson correlations.
    strict : bool
        Whether it is an error that nothing is left to correlate; otherwise the result is NaN.

    Returns
    -------
    ndarray of float64, their shape
        From -1 to 1.

    Raises
    ------
    FloatingPointError
        If a or b is a linear function of x: nothing is left to correlate.

    Examples
    --------
    >>> float(partial_correlation(np.array(0.5), np.array(0.5), np.array(0.5)).round(3))
    0.333
    """
    left = (1 - np.square(ax)) * (1 - np.square(bx))
    known = varies(left, 1, 1)
    if strict and not np.all(known):
        raise FloatingPointError("partial RSA is undefined: the similarities of a matrix are those of its input")
    return np.clip((ab - ax * bx) / np.sqrt(np.where(known, left, np.nan)), -1, 1)


def against_input(every: Moments, within: Moments) -> Statistics:
    """Return how the statistics of the post relate to the layers' input x.

    Parameters
    ----------
    every, within : Moments
        Of "q", "k", "v" and "x".

    Returns
    -------
    dict of (measure, matrix or pair) to ndarray, shape (samples, layers)
        ``rsa_to_input`` (each matrix against x) and the SDs of similarities ``sd_within`` and ``sd_across`` by matrix,
        ``partial_rsa`` (given x) by pair, all over the pairs that their name says or over all; ``d_of_input`` by "x".

    References
    ----------
    Guillot, G. & Rousset, F. (2011), arXiv:1112.0651: permutation p-values of a partial Mantel test are wrong where
    both sides are autocorrelated, so that effect and interval are given and no p.
    """
    r, x, across = every.correlations(), len(MATRICES), every - within
    partials = {
        pair: partial_correlation(r[..., a, b], r[..., a, x], r[..., b, x])
        for pair, (a, b) in zip(PAIRS, PLACES, strict=True)
    }
    return {
        **{("rsa_to_input", name): r[..., place, x] for place, name in enumerate(MATRICES)},
        **{("partial_rsa", pair): values for pair, values in partials.items()},
        ("d_of_input", INPUT): cohens_d(every, within)[..., x],
        **{("sd_within", name): within.sds[..., place] for place, name in enumerate(MATRICES)},
        **{("sd_across", name): across.sds[..., place] for place, name in enumerate(MATRICES)},
    }
