"""Within against across, many layers or draws at a time: effect sizes as array formulas."""

import numpy as np


def cohens_d(similarity: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Cohen's d with the pooled SD; formula in `stages.geometry.effects.separability`, which takes pingouin's.

    Parameters
    ----------
    similarity : ndarray, shape (..., pairs)
    within : ndarray of bool, shape (pairs,)
        Which pairs lie within a category.

    Returns
    -------
    ndarray of float64, shape (...)
        In standard deviations.

    Raises
    ------
    FloatingPointError
        If neither kind of pair varies.
    """
    inside, outside = (np.asarray(similarity[..., pairs], dtype=np.float64) for pairs in (within, ~within))
    squares = sum(np.square(part - part.mean(axis=-1, keepdims=True)).sum(axis=-1) for part in (inside, outside))
    if not np.all(squares > 0):
        raise FloatingPointError("Cohen's d is undefined: the similarities do not vary")
    return (inside.mean(axis=-1) - outside.mean(axis=-1)) / np.sqrt(squares / (len(within) - 2))
