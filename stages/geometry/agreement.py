"""Moments of many geometries of the same words, from vectors: draws of nulls, and attention heads."""

from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from stages.geometry.moments import Moments, moments_in_pieces
from stages.geometry.similarity import Similar


def moments_of_vectors(
    vectors: Sequence[np.ndarray], similar: Similar, within: np.ndarray, *sets: np.ndarray, strict: bool = True
) -> list[tuple[Moments, Moments]]:
    """Return the moments of the similarities of geometries, in single precision where that is enough.

    It is where `similar` says so, of cosines and correlations, if all of them vary enough for it. (Distances may lose
    more: what is subtracted there is much larger than they are.)

    Parameters
    ----------
    vectors : sequence of ndarray, shape (draws, words + reference words, units)
        Units may differ.
    similar : Similar
    within, *sets
        As `moments_in_pieces`; so is what is returned.
    strict : bool
        Whether a vector that has no direction is an error; otherwise all scores of its geometry are NaN.
    """
    if similar.single and similar.metric != "euclidean":
        with suppress(FloatingPointError):
            found = moments_in_pieces(similar.pieces(vectors, dtype=np.float32), within, *sets)
            if all(kind.varies.all() for every, inside in found for kind in (every, inside, every - inside)):
                return found
    return moments_in_pieces(similar.pieces(vectors, strict), within, *sets)
