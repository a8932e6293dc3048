"""How far the similarities within categories stand above those across them: effect sizes of many layers at a time.

Similarities have shape (..., pairs), `within` marks the pairs within a category, shape (pairs,); results are float64 of
shape (...).
"""

import numpy as np

from stages.geometry.comparison import ranks
from stages.geometry.moments import cohens_d as moments_d
from stages.geometry.moments import moments


def cohens_d(similarity: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Return Cohen's d within against across categories, in SDs: (..., pairs) to (...). Errors as of moments."""
    every = moments(similarity[..., None, :])
    return moments_d(every, moments(similarity[..., None, :], within, every.centre))[..., 0]


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
