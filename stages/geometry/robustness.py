"""The same scores under other choices of transform and comparison."""

from collections.abc import Mapping, Sequence

import numpy as np

from stages.geometry.comparison import COMPARISONS, pairwise
from stages.geometry.effects import cohens_d
from stages.geometry.names import MATRICES, ROBUST_COMPARISONS
from stages.geometry.pairs import within_category
from stages.geometry.similarity import Similar
from stages.geometry.transforms import TRANSFORMS


def robustness(vectors: Mapping[str, np.ndarray], categories: Sequence[str], metric: str) -> dict[str, np.ndarray]:
    """Return RSA over all pairs under every transform and two comparisons, and Cohen's d under every transform.

    Parameters
    ----------
    vectors : mapping of "q", "k", "v" to ndarray, shape (layers, words + reference words, units)
    categories : sequence of str, length words
    metric : str
        A key of `stages.geometry.similarity.METRICS`.

    Returns
    -------
    dict of str to ndarray of float64, shape (layers,)
        RSA scores ``{pair}_{transform}_{comparison}``, for pearson and spearman, and d ``{matrix}_{transform}``.

    Raises
    ------
    FloatingPointError
        If the similarities of a layer are constant.
    """
    within = within_category(categories)
    columns = {}
    for transform in TRANSFORMS:
        similar = Similar(len(categories), metric, transform)
        similarity = {name: similar(vectors[name]) for name in MATRICES}
        for comparison in ROBUST_COMPARISONS:
            scores = pairwise(similarity, COMPARISONS[comparison].features)
            columns |= {f"{pair}_{transform}_{comparison}": score for pair, score in scores.items()}
        columns |= {f"{name}_{transform}": cohens_d(values, within) for name, values in similarity.items()}
    return columns
