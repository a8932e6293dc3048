"""How reliable a geometry is over sentences, and what that leaves of the agreement of two geometries."""

import numpy as np

from stages.geometry.moments import Moments, cohens_d
from stages.geometry.names import MATRICES, PAIRS, Scores

#: Measures that are correlations, and those that are shares of a variance.
CORRELATIONS = frozenset({"reliability", "ceiling_lower", "ceiling_upper", "rsa", "rsa_across"})
SHARES = ("share_words", "share_sentence", "share_rest")


def reliability(every: Moments, within: Moments, counts: np.ndarray) -> Scores:
    r"""Return every statistic over sentences, of resamples of words, of sentences, or of both.

    With :math:`s_c` the similarities of a matrix in sentence c and :math:`r(\cdot,\cdot)` their Pearson correlation
    over word pairs; means run over sentences, or over ordered pairs of distinct sentences :math:`c \ne e`:

    ``reliability``
        .. math:: \rho = \overline{r(s_c, s_e)}
    ``share_words``, ``share_sentence``, ``share_rest``
        Variance components of :math:`s_{cp}`, two-way without replication, as shares of their sum: what a word pair
        keeps in every sentence (mean covariance of two sentences), by how much a sentence raises all pairs, and the
        rest, a pair in a sentence. A negative estimate counts as 0.
    ``ceiling_lower``, ``ceiling_upper``
        The noise ceiling: mean correlation of a sentence with the mean of the standardised others, and of all. No
        geometry can on average agree better with single sentences than the upper bound.
    ``d``
        The mean Cohen's d.
    ``rsa``, ``rsa_across``, ``rsa_corrected``
        For two matrices a and b, within a sentence, across sentences, and corrected for attenuation:

        .. math:: \overline{r(a_c, b_c)}, \qquad \overline{r(a_c, b_e)}, \qquad
                  \frac{\overline{r(a_c, b_e)}}{\sqrt{\rho_a \rho_b}}

        The correction starts from the agreement across sentences, which nothing but the words can make. It is NaN
        where a reliability is not positive, and may exceed 1.

    Copies of a sentence in a resample are never compared with each other.

    From moments of shape (resamples, 1), of Q in every sentence, then K, then V; and `counts`, how often each sentence
    counts, shape (resamples, sentences), as many resamples as the moments have, or one of the two has a single one. By
    measure and matrix or pair, shape (resamples,).

    References
    ----------
    Spearman, C. (1904), doi:10.2307/1412159 (attenuation). Shavelson, R. J. & Webb, N. M. (1991). Generalizability
    Theory: A Primer (variance components). Nili, H. et al. (2014), doi:10.1371/journal.pcbi.1003553 (noise ceiling).
    """
    m = np.asarray(counts, dtype=np.float64)
    own = m / m.sum(axis=1, keepdims=True)
    two = m[:, :, None] * m[:, None, :] * (1 - np.eye(m.shape[1]))  # distinct sentences
    two /= two.sum(axis=(1, 2), keepdims=True)
    r, d, means = every.correlations()[:, 0], cohens_d(every, within)[:, 0], every.means[:, 0]
    covariances = every.scatter[:, 0] / (every.n[..., None] - 1)
    places = {name: slice(i * m.shape[1], (i + 1) * m.shape[1]) for i, name in enumerate(MATRICES)}
    scores = {}
    for name, at in places.items():
        alike, covariance = r[:, at, at], covariances[:, at, at]
        scores["reliability", name] = (two * alike).sum(axis=(1, 2))
        shares = _components(covariance, means[:, at], every.n[:, 0], own, two)
        scores |= {(share, name): part for share, part in zip(SHARES, shares, strict=True)}
        lower, upper = _ceilings(alike, m, own)
        scores |= {("ceiling_lower", name): lower, ("ceiling_upper", name): upper}
        scores["d", name] = (own * d[:, at]).sum(axis=1)
    for pair in PAIRS:
        between = r[:, places[pair[0]], places[pair[1]]]
        scores["rsa", pair] = (own * np.diagonal(between, axis1=1, axis2=2)).sum(axis=1)
        scores["rsa_across", pair] = (two * between).sum(axis=(1, 2))
        reliable = [scores["reliability", name] for name in pair]
        attenuation = np.sqrt(np.where(np.minimum(*reliable) > 0, np.multiply(*reliable), np.nan))
        scores["rsa_corrected", pair] = scores["rsa_across", pair] / attenuation
    return scores


def _components(
    covariance: np.ndarray, means: np.ndarray, n: np.ndarray, own: np.ndarray, two: np.ndarray
) -> list[np.ndarray]:
    """Return the shares of words, sentence and rest, each of shape (resamples,)."""
    words = (two * covariance).sum(axis=(1, 2))
    rest = (own * np.diagonal(covariance, axis1=1, axis2=2)).sum(axis=1) - words
    sentence = (two * np.square(means[:, :, None] - means[:, None, :])).sum(axis=(1, 2)) / 2 - rest / n
    parts = np.maximum(np.broadcast_arrays(words, sentence, rest), 0)
    return list(parts / parts.sum(axis=0))


def _ceilings(r: np.ndarray, m: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean correlation of a sentence with the mean of the others, and of all."""
    with_all = (r @ m[:, :, None])[..., 0]
    total = (m * with_all).sum(axis=1, keepdims=True)
    with_others, others = with_all - m, total - 2 * m * with_all + np.square(m)
    return (own * with_others / np.sqrt(others)).sum(axis=1), (own * with_all / np.sqrt(total)).sum(axis=1)
