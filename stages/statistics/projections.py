"""Random maps of words: Gaussian projections, and the frames of random rotations."""

import numpy as np


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
