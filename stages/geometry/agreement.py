"""Similarities of many geometries of the same words: draws of nulls, and attention heads."""

from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from stages.geometry.moments import moments_of_sets
from stages.geometry.similarity import Similar


def similarities(
    vectors: Sequence[np.ndarray], similar: Similar, within: np.ndarray, strict: bool = True
) -> np.ndarray:
    """Return the similarities of geometries, in single precision where that is enough.

    It is where `similar` says so, of cosines and correlations, if all of them vary enough for it. (Distances may lose
    more: what is subtracted there is much larger than they are.)

    Parameters
    ----------
    vectors, strict
        As `Similar.many`.
    similar : Similar
    within : ndarray of bool, shape (pairs,)
        Which pairs lie within a category: similarities must vary among these, among the others, and among all.

    Returns
    -------
    ndarray of float32 or float64, shape (all draws, pairs)
    """
    if similar.single and similar.metric != "euclidean":
        with suppress(FloatingPointError):
            found = similar.many(vectors, dtype=np.float32)
            ((every, inside),) = moments_of_sets(found, within, np.arange(len(found))[:, None])
            if all(kind.varies.all() for kind in (every, inside, every - inside)):
                return found
            del found
    return similar.many(vectors, strict)
