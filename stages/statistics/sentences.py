"""Geometries of the same words in several sentences: two-way bootstrap, over words and over sentences.

Every statistic of `stages.geometry.reliability` is a function of means, variances and covariances, over word pairs,
of the similarities of each matrix in each sentence. A resample of words changes these moments; a resample of sentences
changes how often each sentence counts. So the moments of all resamples of words are one matrix product a layer.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from stages.geometry.comparison import fisher_z, pairwise
from stages.geometry.effects import cohens_d
from stages.geometry.moments import Moments
from stages.geometry.names import MATRICES, Arrays, Scores
from stages.geometry.pairs import within_category
from stages.geometry.reliability import CORRELATIONS, SHARES, reliability
from stages.pipeline.schema import ALL_SENTENCES
from stages.statistics.bootstrap import resample_words, resampled
from stages.statistics.draws import stream

#: 1 - r² below which the copies of a sentence differ by rounding alone.
ALIKE = 1e-12

#: How often each word and each sentence was drawn, shapes (resamples, words) and (resamples, sentences).
Draws = tuple[np.ndarray, np.ndarray]


def draw(categories: Sequence[str], sentences: int, resamples: int, seed: int) -> Draws:
    """Draw words, within their categories, and sentences."""
    rng = stream(seed, "sentences")
    words, _ = resample_words(categories, resamples, rng)
    return words, resample_sentences(sentences, resamples, rng)


def resample_sentences(sentences: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Draw two or more sentences with replacement: how often each was drawn, shape (resamples, sentences).

    A resample of one sentence alone, which cannot be compared, is drawn again.
    """
    counts = np.zeros((resamples, sentences), dtype=np.int16)
    open_rows = np.arange(resamples)
    while len(open_rows):
        counts[open_rows] = rng.multinomial(sentences, np.full(sentences, 1 / sentences), size=len(open_rows))
        open_rows = open_rows[(counts[open_rows] > 0).sum(axis=1) < 2]
    return counts


def moments(similarity: Arrays, categories: Sequence[str], counts: np.ndarray) -> tuple[Moments, Moments]:
    """Sum over word pairs the similarities of one layer in all sentences, weighted by resamples of words.

    Similarities of shape (sentences, pairs) and counts, (resamples, words), to moments over all pairs and within, shape
    (resamples, 1), of Q in every sentence, then K, then V; no products within categories.
    """
    values = np.concatenate([similarity[name] for name in MATRICES])[None]
    names = [name for name in MATRICES for _ in similarity[name]]
    return resampled(values, within_category(categories), counts, inside=False, names=names)


def two_way(similarity: Arrays, categories: Sequence[str], draws: Draws, alpha: float) -> Scores:
    """Return the statistics of one layer over sentences, with intervals over words and sentences together.

    Words alone, sentences alone, and both are drawn again, with the same `draws`; `combine` makes one variance of the
    three. The interval is the value, on Fisher's scale where it is a correlation, plus and minus Student's t times the
    standard error, and holds 1 - alpha. Degrees of freedom are those of words (one less for each category) or of
    sentences (one less), whichever are fewer.

    Similarities of "q", "k" and "v", shape (sentences, pairs), to ``value``, ``low`` and ``high``, floats, by measure,
    matrix or pair, and `ALL_SENTENCES`.

    References
    ----------
    Efron, B. & Tibshirani, R. J. (1993). An Introduction to the Bootstrap, chapter 12 (intervals from standard errors).
    """
    of_words, of_sentences = draws
    words, sentences = of_words.shape[1], of_sentences.shape[1]
    each_word, each_sentence = (np.ones((1, count), dtype=int) for count in (words, sentences))
    observed, resamples = (moments(similarity, categories, counts) for counts in (each_word, of_words))
    values = reliability(*observed, each_sentence)
    spreads = [
        {names: _variance(names[0], drawn) for names, drawn in reliability(*sums, counts).items()}
        for sums, counts in ((resamples, each_sentence), (observed, of_sentences), (resamples, of_sentences))
    ]
    freedom = words - len(set(categories)), sentences - 1
    t, factors = stdtrit(min(freedom), 1 - alpha / 2), (words / freedom[0], sentences / freedom[1])
    errors = {names: np.sqrt(combine(*(of[names] for of in spreads), *factors)) for names in values}
    return {(*of, ALL_SENTENCES): _interval(of[0], value[0], t * errors[of]) for of, value in values.items()}


def combine(words: float, sentences: float, both: float, of_words: float, of_sentences: float) -> float:
    r"""Return the variance of a statistic over words and sentences, from its variances in three bootstraps.

    A resample of n units varies by a factor :math:`f = n / (n - 1)` too little. And what belongs to a single word in a
    single sentence, :math:`\hat\sigma^2_{rest}`, is in the variance over words, in that over sentences, and once more
    in that of both, which the plain sum would count twice and the bootstrap of both three times:

    .. math:: \hat\sigma^2 = f_w \hat\sigma^2_w + f_s \hat\sigma^2_s - \hat\sigma^2_{rest}, \qquad
              \hat\sigma^2_{rest} = f_w f_s (\hat\sigma^2_{both} - \hat\sigma^2_w - \hat\sigma^2_s)

    For large n this is :math:`2 (\hat\sigma^2_w + \hat\sigma^2_s) - \hat\sigma^2_{both}`. It is the corrected
    two-factor bootstrap of Schütt et al. with words as conditions and sentences as subjects. It differs from theirs in
    three points: words are drawn within categories, so that :math:`f_w = n / (n - categories)`; the rest is kept
    between 0 and the smaller of the other two, where they keep the result below the uncorrected variance of both,
    which takes the factors away again where there is no rest; and with no model to fit, nothing is cross-validated.

    References
    ----------
    Schütt, H. H. et al. (2023), doi:10.7554/eLife.82566.
    """
    alone = of_words * words, of_sentences * sentences
    return sum(alone) - np.clip(of_words * of_sentences * (both - words - sentences), 0, np.minimum(*alone))


def by_sentence(similarity: Arrays, within: np.ndarray, names: Sequence[str]) -> Scores:
    """Return the RSA and Cohen's d of every sentence of a layer by itself.

    Similarities of shape (sentences, pairs) to a ``value``, a float, by measure, matrix or pair, and sentence.
    """
    rsa = {("rsa", pair): values for pair, values in pairwise(similarity).items()}
    d = {("d", name): cohens_d(similarity[name], within) for name in MATRICES}
    return {
        (*of, name): {"value": value}
        for of, values in (rsa | d).items()
        for name, value in zip(names, values, strict=True)
    }


def _variance(measure: str, drawn: np.ndarray) -> float:
    r"""Return the variance over the resamples in which a statistic is defined, of correlations on Fisher's scale.

    Correlations r are not transformed one by one: where sentences are copies of each other, as in a first layer that
    sees only the word and its position, a resample of copies correlates at 1, and Fisher's z of that is infinite. By
    the delta method, :math:`\sigma_z^2 = \sigma_r^2 / (1 - \bar{r}^2)^2`.
    """
    known = drawn[np.isfinite(drawn)]
    if len(known) < 2:
        return np.nan
    variance = known.var(ddof=1)
    return variance / max(1 - known.mean() ** 2, ALIKE) ** 2 if measure in CORRELATIONS else variance


def _interval(measure: str, value: float, half: float) -> dict[str, float]:
    ends = (fisher_z(value) if measure in CORRELATIONS else value) + half * np.array([-1, 1])
    if measure in CORRELATIONS:
        ends = np.tanh(ends)
    elif measure in SHARES:
        ends = np.clip(ends, 0, 1)
    return {"value": float(value), "low": float(ends[0]), "high": float(ends[1])}
