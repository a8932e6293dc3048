"""Effect sizes of categories, and how much of every score a single word carries.

`within` marks the pairs of words within a category: bool, shape (pairs,).
"""

import numpy as np

from stages.geometry.comparison import ranks
from stages.geometry.moments import Moments, Statistics, moments_of_sets, named
from stages.geometry.moments import cohens_d as moments_d
from stages.geometry.names import MATRICES, Arrays
from stages.geometry.pairs import square

#: By more than this a word changes a score much.
MUCH = 0.1
#: The words of a layer and score that are kept.
MOST = 3
#: Changes that are equal to so many decimals count as equal: the first word wins.
DECIMALS = 9


def cohens_d(similarity: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Return Cohen's d within against across categories, in SDs: (..., pairs) to (...). Errors as of moments."""
    rows = np.reshape(similarity, (-1, len(within))).astype(np.float64)
    ((every, inside),) = moments_of_sets(rows, within, np.arange(len(rows))[:, None])
    return moments_d(every, inside).reshape(similarity.shape[:-1])


def common_language(similarity: np.ndarray, within: np.ndarray) -> np.ndarray:
    r"""Common-language effect size: how probably a pair within a category is more alike than one across categories.

    .. math:: \mathrm{CLES} = P(s_w > s_a) + \tfrac12 P(s_w = s_a)
              = \frac{1}{n_w n_a} \left(\sum_w \operatorname{rank}(s_w) - \frac{n_w (n_w + 1)}{2}\right)

    From shape (..., pairs) to float64 of shape (...), from 0 to 1; 0.5 where categories make no difference.

    References
    ----------
    McGraw, K. O. & Wong, S. P. (1992), doi:10.1037/0033-2909.111.2.361. Vargha, A. & Delaney, H. D. (2000),
    doi:10.3102/10769986025002101 (ties).
    """
    ranked = ranks(similarity)[..., within]
    inside, outside = int(within.sum()), int((~within).sum())
    return (ranked.sum(axis=-1) - inside * (inside + 1) / 2) / (inside * outside)


def influence(similarity: Arrays, within: np.ndarray) -> Statistics:
    r"""Return by how much scores change when a word is left out, for every word of a layer.

    A word's own pairs are taken out of the sums over all pairs (`stages.geometry.moments`):

    .. math:: \Delta_i = f(S - S_i) - f(S)

    From the similarities of "q", "k" and "v", shape (pairs,): ``rsa`` (Pearson r) by pair and ``d`` (Cohen's d) by
    matrix, shape (words,), the score without the word less that with all words. NaN where the rest leaves it undefined.
    """
    values = np.stack([similarity[name] for name in MATRICES]).astype(np.float64)
    ((every, inside),) = moments_of_sets(values, within)
    left = every - _of_each_word(values, every.centre), inside - _of_each_word(values, every.centre, within)
    with np.errstate(divide="ignore", invalid="ignore"):  # the only pairs within a category can be a word's own
        whole, rest = (
            named({"rsa": pairs.correlations(strict=False)}, moments_d(pairs, kind, strict=False), MATRICES)
            for pairs, kind in ((every, inside), left)
        )
    return {key: rest[key] - whole[key] for key in whole}


def most_influential(similarity: Arrays, within: np.ndarray, words: np.ndarray) -> dict[tuple[str, str], Arrays]:
    """Return of each score of `influence` the `MOST` words that change it most, and by how much: the largest first."""
    found = {}
    for key, change in influence(similarity, within).items():
        places = strongest(change)
        found[key] = {"value": change[places], "word": words[places]}
    return found


def strongest(change: np.ndarray) -> np.ndarray:
    """Return the positions of the `MOST` words that change a score most: the largest first, NaN last.

    Examples
    --------
    >>> strongest(np.array([0.1, -0.3, np.nan, 0.2]))
    array([1, 3, 0])
    """
    return np.argsort(-np.nan_to_num(np.abs(change).round(DECIMALS), nan=-1), kind="stable")[:MOST]


def _of_each_word(values: np.ndarray, centre: np.ndarray, chosen: np.ndarray | None = None) -> Moments:
    """Sum over the pairs of each word, or over those that are chosen: moments of shape (words,)."""
    rows = square(values - centre.T, 0.0)
    kept = square(np.ones(values.shape[-1], bool) if chosen is None else chosen, False)
    rows *= kept
    products = np.einsum("aij,bij->iab", rows, rows)
    return Moments(kept.sum(axis=-1).astype(float), rows.sum(axis=-1).T, products, centre)
