"""The projections' weights, turned at random against their input, and what their spectra say."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from stages.geometry.names import Arrays
from stages.pipeline import messages
from stages.pipeline.errors import UserError


def project_turned(matrices: Mapping[str, torch.Tensor], turned: np.ndarray) -> dict[str, np.ndarray]:
    """Multiply turned inputs by a layer's weights, shape (units of x, units): x R W, one matrix product each.

    Shape (draws, words, units of x) to (draws, words, units), by matrix; in single precision if weights or inputs are,
    otherwise in double.
    """
    with torch.inference_mode():
        some = next(iter(matrices.values()))
        dtype = some.dtype if turned.dtype == np.float64 else torch.float32
        rows = torch.from_numpy(turned).to(some.device, dtype)
        return {name: (rows @ w.to(dtype)).cpu().numpy() for name, w in matrices.items()}


def check_weights(matrices: Mapping[str, torch.Tensor], x: np.ndarray, unbiased: Arrays) -> None:
    """Raise a `UserError` if x W is not what was captured, the bias taken off: the model is another one by now.

    Of shapes (words, units of x), (units of x, units) and (words, units).
    """
    for name, captured in unbiased.items():
        made = (torch.from_numpy(x).to(matrices[name]) @ matrices[name]).cpu().numpy()
        # Half precision rounds to three digits; another model's vectors are no more alike than chance.
        if np.linalg.norm(made - captured) > 0.05 * np.linalg.norm(captured):
            raise UserError(messages.OTHER_WEIGHTS.format(name))


def spectra(matrices: Mapping[str, torch.Tensor], pairs: Sequence[str]) -> dict[tuple[str, str], float]:
    r"""Measure how wide the spectra of projections are, and how much the directions that they read overlap.

    Participation ratio, the effective number of directions, of the squared singular values:

    .. math:: \mathrm{PR} = \frac{(\sum_i \sigma_i^2)^2}{\sum_i \sigma_i^4}
                          = \frac{\lVert W \rVert^4}{\lVert W^\top W \rVert^2}

    Overlap, the RV coefficient of :math:`A = W_A W_A^\top` and B, 0 for orthogonal and 1 for the same directions:

    .. math:: \mathrm{RV} = \frac{\operatorname{tr} A B}{\sqrt{\operatorname{tr} A^2 \operatorname{tr} B^2}}
                          = \frac{\lVert W_A^\top W_B \rVert^2}{\lVert W_A^\top W_A \rVert \lVert W_B^\top W_B \rVert}

    whose mean over random rotations of one against the other is
    :math:`\sqrt{\mathrm{PR}_A \mathrm{PR}_B}/n` for an input of n units.

    Of matrices of shape (units of x, units): ``participation`` of each, from 1 to the units; ``overlap`` of each of
    `pairs`, and ``overlap_random``, its mean when directions are random.

    References
    ----------
    Robert, P. & Escoufier, Y. (1976), doi:10.2307/2347233 (RV). Gao, P. et al. (2017), doi:10.1101/214262
    (participation ratio).
    """
    with torch.inference_mode():
        units = len(next(iter(matrices.values())))
        scaled = {name: w / w.norm() for name, w in matrices.items()}
        norms = {name: float((w.T @ w).norm()) for name, w in scaled.items()}
        found = {("participation", name): 1 / norm**2 for name, norm in norms.items()}
        for a, b in pairs:
            overlap = float((scaled[a].T @ scaled[b]).norm()) ** 2
            found["overlap", a + b] = overlap / (norms[a] * norms[b])
            found["overlap_random", a + b] = 1 / (norms[a] * norms[b] * units)
    return found
