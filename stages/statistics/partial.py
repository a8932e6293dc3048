"""What Q, K and V share beyond their input: partial RSA."""

import numpy as np

from stages.geometry.names import INPUT, MATRICES, PAIRS
from stages.statistics.bootstrap import Moments, Statistics, cohens_d, rsa_and_separability

#: The products that `against_input` needs.
PRODUCTS = (*PAIRS, *(f"{name}{INPUT}" for name in MATRICES))


def partial_correlation(ab: np.ndarray, ax: np.ndarray, bx: np.ndarray) -> np.ndarray:
    r"""Correlation of a and b with what x explains linearly taken out of both.

    .. math:: r_{ab \cdot x} = \frac{r_{ab} - r_{ax} r_{bx}}{\sqrt{(1 - r_{ax}^2)(1 - r_{bx}^2)}}

    Equal to the correlation of the residuals of a and b, each regressed on x.

    Parameters
    ----------
    ab, ax, bx : ndarray
        Pearson correlations.

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
    if not np.all(left > 1e-12):
        raise FloatingPointError("partial RSA is undefined: the similarities of a matrix are those of its input")
    return np.clip((ab - ax * bx) / np.sqrt(left), -1, 1)


def against_input(within: Moments, across: Moments) -> Statistics:
    """Return the statistics of the post, and how they relate to the layers' input x.

    Parameters
    ----------
    within, across : Moments
        Of "q", "k", "v" and "x", with `PRODUCTS`.

    Returns
    -------
    dict of (measure, matrix or pair) to ndarray, shape (resamples, layers)
        As `rsa_and_separability`; ``rsa_to_input`` (each matrix against x) and the SDs of similarities ``sd_within``
        and ``sd_across`` by matrix, ``partial_rsa`` (given x) by pair, all over the pairs that their name says or over
        all; ``d_of_input`` by "x".

    References
    ----------
    Guillot, G. & Rousset, F. (2011), arXiv:1112.0651: permutation p-values of a partial Mantel test are wrong where
    both sides are autocorrelated, so that effect and interval are given and no p.
    """
    every = within + across
    to_input = {name: every.correlation(name, INPUT) for name in MATRICES}
    partials = {a + b: partial_correlation(every.correlation(a, b), to_input[a], to_input[b]) for a, b in PAIRS}
    return {
        **rsa_and_separability(within, across),
        **{("rsa_to_input", name): r for name, r in to_input.items()},
        **{("partial_rsa", pair): r for pair, r in partials.items()},
        ("d_of_input", INPUT): cohens_d(within, across, INPUT),
        **{("sd_within", name): np.sqrt(within.variance[name]) for name in MATRICES},
        **{("sd_across", name): np.sqrt(across.variance[name]) for name in MATRICES},
    }
