"""Projections of words: random ones, and trained ones of inputs that are turned at random."""

from collections.abc import Sequence

import numpy as np

from stages.geometry.names import Arrays


def factor(x: np.ndarray) -> np.ndarray:
    r"""Cholesky factor of the words' Gram matrix: :math:`L` with :math:`L L^\top = x x^\top`.

    Taken from the QR decomposition :math:`x^\top = Q R` as :math:`L = R^\top`: the Gram matrix is never formed, so that
    it may be singular (more words than units, words with equal vectors). Shape (words, units) to (words, min(words,
    units)), lower triangular, float64.
    """
    return np.linalg.qr(np.asarray(x, dtype=np.float64).T, mode="r").T


def project(root: np.ndarray, width: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    r"""Draw random projections x W of words, shape (draws, words, width), by their exact law; `root` is `factor` of x.

    With independent standard normal entries in W, the columns of x W are independent and normal with covariance
    :math:`x x^\top`. So :math:`L Z`, Z standard normal, has the same distribution: words × words times words × width
    numbers instead of words × units times units × width. In the precision of `root`.

    References
    ----------
    Johnson, W. B. & Lindenstrauss, J. (1984), doi:10.1090/conm/026/737400 (why such a projection keeps geometry).
    """
    return root @ rng.standard_normal((draws, root.shape[1], width), dtype=np.float32).astype(root.dtype)


def haar_frames(draws: int, rank: int, units: int, rng: np.random.Generator, dtype: type = np.float64) -> np.ndarray:
    r"""Draw the first rows of random rotations, uniform over all (Haar): orthonormal, shape (draws, rank, units).

    Rows of a standard normal matrix G, made orthonormal by Gram and Schmidt: :math:`F = C^{-1} G` with the Cholesky
    factor C of :math:`G G^\top`. For any rotation R, G R has the law of G, and so F R that of F. The rank is at most
    the units; of `dtype`, but float64 where it is near them.

    References
    ----------
    Stewart, G. W. (1980), doi:10.1137/0717034.
    """
    if 2 * rank > units:  # nearly square: single precision would not do, and rounding leaves something to a second pass
        normal = rng.standard_normal((draws, rank, units))
        return _orthonormal(_orthonormal(normal))
    return _orthonormal(rng.standard_normal((draws, rank, units), dtype=np.float32).astype(dtype))


def _orthonormal(rows: np.ndarray) -> np.ndarray:
    """Orthonormalise rows by Gram and Schmidt, in their precision."""
    gram = np.asarray(rows @ rows.swapaxes(-1, -2), dtype=np.float64)
    return np.linalg.inv(np.linalg.cholesky(gram)).astype(rows.dtype) @ rows


def ranges(draws: np.ndarray, alpha: float) -> dict[str, np.ndarray]:
    """Return the mean of draws, and the range that holds a new draw with probability 1 - alpha.

    The ends are order statistics at (n + 1) p, of which a new draw is as likely to lie beyond as it says; NumPy's
    default, which interpolates at (n - 1) p, leaves out too many. Shape (..., draws) to (...), as "value", "low" and
    "high".
    """
    low, high = np.quantile(draws, [alpha / 2, 1 - alpha / 2], axis=-1, method="weibull")
    return {"value": draws.mean(axis=-1), "low": low, "high": high}


def project_turned(matrices: Arrays, turned: np.ndarray) -> dict[str, np.ndarray]:
    """Multiply turned inputs by a layer's weights, shape (units of x, units): x R W, one matrix product each.

    Shape (draws, words, units of x) to (draws, words, units), by matrix; in single precision if weights or inputs are,
    otherwise in double.
    """
    dtype = np.result_type(*matrices.values()) if turned.dtype == np.float64 else np.float32
    rows = turned.astype(dtype, copy=False).reshape(-1, turned.shape[-1])  # not a product for each draw
    products = {name: rows @ w.astype(dtype, copy=False) for name, w in matrices.items()}
    return {name: found.reshape(*turned.shape[:-1], -1) for name, found in products.items()}


def mismatched(matrices: Arrays, x: np.ndarray, unbiased: Arrays) -> list[str]:
    """List the matrices whose captured vectors, less their bias, are not x W.

    `matrices` are of shape (units of x, units), `x` is of shape (words, units of x), `unbiased` are of shape (words,
    units). Half precision rounds to three digits, so that a difference counts from 5 % of the vectors' norm on.
    """
    apart = {name: np.linalg.norm(x @ matrices[name] - vectors) for name, vectors in unbiased.items()}
    return [name for name, vectors in unbiased.items() if not apart[name] <= 0.05 * np.linalg.norm(vectors)]  # or NaN


def spectra(matrices: Arrays, pairs: Sequence[str]) -> dict[tuple[str, str], float]:
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
    units = len(next(iter(matrices.values())))
    scaled = {name: w / _norm(w) for name, w in matrices.items()}
    norms = {name: _norm(w.T @ w) for name, w in scaled.items()}
    found = {("participation", name): 1 / norm**2 for name, norm in norms.items()}
    for a, b in pairs:
        overlap = _norm(scaled[a].T @ scaled[b]) ** 2
        found["overlap", a + b] = overlap / (norms[a] * norms[b])
        found["overlap_random", a + b] = 1 / (norms[a] * norms[b] * units)
    return found


def _norm(matrix: np.ndarray) -> float:
    """Return the Frobenius norm, summed in double precision: millions of squares cost single precision its digits."""
    return float(np.sqrt(np.square(matrix, dtype=np.float64).sum()))
