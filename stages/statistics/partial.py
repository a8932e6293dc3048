"""What Q, K and V share beyond their input: partial RSA."""

import numpy as np

from stages.geometry.moments import Moments, cohens_d, varies
from stages.geometry.names import INPUT, MATRICES, PAIRS, PLACES
from stages.statistics.bootstrap import Statistics


def partial_correlation(ab: np.ndarray, ax: np.ndarray, bx: np.ndarray, strict: bool = True) -> np.ndarray:
    r"""Correlation of a and b with what x explains linearly taken out of both.

    .. math:: r_{ab \cdot x} = \frac{r_{ab} - r_{ax} r_{bx}}{\sqrt{(1 - r_{ax}^2)(1 - r_{bx}^2)}}

    Equal to the correlation of the residuals of a and b, each regressed on x. Takes Pearson correlations; float64 of
    their shape. If a or b is a linear function of x, nothing is left to correlate: FloatingPointError, or NaN if not
    `strict`.

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
    """Return how the statistics of the post relate to the layers' input x, from the moments of "q", "k", "v" and "x".

    ``rsa_to_input`` (each matrix against x) and the SDs of similarities ``sd_within`` and ``sd_across`` by matrix,
    ``partial_rsa`` (given x) by pair, all over the pairs that their name says or over all; ``d_of_input`` by "x".

    References
    ----------
    Guillot, G. & Rousset, F. (2011), arXiv:1112.0651: permutation p-values of a partial Mantel test are wrong where
    both sides are autocorrelated, so that effect and interval are given and no p.
    """
    r, x = every.correlations(), len(MATRICES)
    found = {("rsa_to_input", name): r[..., place, x] for place, name in enumerate(MATRICES)}
    for pair, (a, b) in zip(PAIRS, PLACES, strict=True):
        found["partial_rsa", pair] = partial_correlation(r[..., a, b], r[..., a, x], r[..., b, x])
    found["d_of_input", INPUT] = cohens_d(every, within)[..., x]
    sds = {"sd_within": within.sds, "sd_across": (every - within).sds}
    return found | {(kind, name): sds[kind][..., place] for kind in sds for place, name in enumerate(MATRICES)}
