"""The random-projection floor: what Q, K and V would show if they shared their input and nothing else."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from stages.geometry.comparison import pairwise
from stages.geometry.effects import cohens_d
from stages.geometry.names import Scores
from stages.geometry.pairs import within_category
from stages.pipeline.progress import blocks, join, stack

#: Bytes of projected vectors that are held at a time.
CHUNK = 2**25


def factor(x: np.ndarray) -> np.ndarray:
    r"""Cholesky factor of the words' Gram matrix: :math:`L` with :math:`L L^\top = x x^\top`.

    Taken from the QR decomposition :math:`x^\top = Q R` as :math:`L = R^\top`: the Gram matrix is never formed, so that
    it may be singular (more words than units, words with equal vectors).

    Parameters
    ----------
    x : ndarray, shape (words, units)

    Returns
    -------
    ndarray of float64, shape (words, min(words, units))
        Lower triangular.
    """
    return np.linalg.qr(np.asarray(x, dtype=np.float64).T, mode="r").T


def project(
    root: np.ndarray, width: int, draws: int, rng: np.random.Generator, up_to_rotation: bool = False
) -> np.ndarray:
    r"""Draw random projections x W of words by their exact law.

    With independent standard normal entries in W, the columns of x W are independent and normal with covariance
    :math:`x x^\top`. So :math:`L Z`, Z standard normal, has the same distribution: words × words times words × width
    numbers in the place of words × units times units × width.

    Where a rotation of the units does not matter, even less will do. By Bartlett's decomposition :math:`Z = A Q` with
    orthonormal rows in Q and a lower triangular A: standard normal below the diagonal, on it the roots of independent
    chi-squares with width, width - 1, ... degrees of freedom. :math:`L A` has the Gram matrices of :math:`L Z`.

    Parameters
    ----------
    root : ndarray, shape (words, rank)
        `factor` of x.
    width : int
        Units of the projection.
    draws : int
    rng : numpy.random.Generator
    up_to_rotation : bool
        Whether to draw :math:`L A`.

    Returns
    -------
    ndarray of float64, shape (draws, words, width), up to rotation (draws, words, min(rank, width))

    References
    ----------
    Johnson, W. B. & Lindenstrauss, J. (1984), doi:10.1090/conm/026/737400 (why such a projection keeps geometry).
    Bartlett, M. S. (1934), doi:10.1017/S0370164600016205.
    """
    rank = root.shape[1]
    if not up_to_rotation:
        return root @ rng.standard_normal((draws, rank, width))
    diagonal = np.arange(min(rank, width))
    lower = np.tril(rng.standard_normal((draws, rank, len(diagonal))), -1)
    lower[:, diagonal, diagonal] = np.sqrt(rng.chisquare(width - diagonal, size=(draws, len(diagonal))))
    return root @ lower


def projection_floor(
    inputs: np.ndarray,
    widths: Mapping[str, int],
    similar: Callable[[np.ndarray], np.ndarray],
    categories: Sequence[str],
    draws: int,
    alpha: float,
    rng: np.random.Generator,
    up_to_rotation: bool = False,
    chunk: int = CHUNK,
) -> Scores:
    """Return the RSA and separability of independent Gaussian projections of the layers' shared input.

    The three matrices of a draw are independent of each other and of everything that was learnt; whatever geometry
    they share is the input's. Trained scores above the range mean that training brought the matrices together, below
    it that training pulled them apart.

    Parameters
    ----------
    inputs : ndarray, shape (layers, words, units)
        x at the target token; words beyond those of `categories` are reference words for `similar`.
    widths : mapping of "q", "k", "v" to int
        Units of each projection.
    similar : callable
        Takes vectors (draws, words, units), gives condensed similarities (draws, pairs) of the words of `categories`.
    categories : sequence of str
    draws : int
        Per layer and matrix.
    alpha : float
        The ranges hold 1 - alpha of the draws.
    rng : numpy.random.Generator
    up_to_rotation : bool
        Whether a rotation of the units leaves what `similar` gives as it is; then drawing is much faster.
    chunk : int
        Bytes of projected vectors held at a time.

    Returns
    -------
    Scores
        ``rsa``, ``rsa_within``, ``rsa_across`` (Pearson) by pair and ``d`` by matrix: ``value`` (the mean of the
        draws), ``low`` and ``high``, of shape (layers,).

    Raises
    ------
    FloatingPointError
        If the similarities of a draw do not vary.
    """
    within = within_category(categories)
    step = chunk // (8 * inputs.shape[1] * sum(widths.values()))
    layers = []
    for x in inputs:
        root, parts = factor(x), []
        for part in blocks(draws, step):
            size = part.stop - part.start
            drawn = {name: similar(project(root, width, size, rng, up_to_rotation)) for name, width in widths.items()}
            parts.append(_scores(drawn, within))
        layers.append(join(parts))
    return {names: ranges(scores, alpha) for names, scores in stack(layers).items()}


def _scores(similarity: Mapping[str, np.ndarray], within: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
    """Return RSA scores and Cohen's d of every draw."""
    kinds = {"rsa": slice(None), "rsa_within": within, "rsa_across": ~within}
    return {
        **{
            (measure, pair): r
            for measure, pairs in kinds.items()
            for pair, r in pairwise({name: values[:, pairs] for name, values in similarity.items()}).items()
        },
        **{("d", name): cohens_d(values, within) for name, values in similarity.items()},
    }


def ranges(draws: np.ndarray, alpha: float) -> dict[str, np.ndarray]:
    """Return mean and central range of draws.

    Parameters
    ----------
    draws : ndarray, shape (..., draws)
    alpha : float
        The range holds 1 - alpha of them.

    Returns
    -------
    dict of "value", "low", "high" to ndarray, shape (...)
    """
    low, high = np.quantile(draws, [alpha / 2, 1 - alpha / 2], axis=-1)
    return {"value": draws.mean(axis=-1), "low": low, "high": high}
