"""Words as points in a plane: classical scaling of their distances, maps laid over each other, a clustered order."""

import numpy as np

from stages.geometry.names import MetricName
from stages.geometry.pairs import condense, square
from stages.geometry.similarity import METRICS, dissimilarity

#: Rounds in which maps are laid over their mean: more move no point by a hundredth.
ROUNDS = 20


def distances(similarity: np.ndarray, metric: MetricName) -> np.ndarray:
    r"""Turn similarities into the Euclidean distances that they come from: float64 of the same shape.

    .. math:: \delta_{ij} = \sqrt{2 (1 - s_{ij})} \text{ for cosine and correlation,} \quad
              \delta_{ij} = -s_{ij} \text{ for euclidean}

    The first is the distance of two vectors of unit length.
    """
    apart = dissimilarity(np.asarray(similarity, dtype=np.float64), metric)
    return np.sqrt(2 * apart) if METRICS[metric].bounded else apart


def classical_scaling(condensed: np.ndarray) -> np.ndarray:
    r"""Place words in the plane so that scalar products are kept as well as they can be.

    With squared distances :math:`D^{(2)}` and :math:`J = I - \mathbf{1}\mathbf{1}'/n`, the coordinates are the first
    two eigenvectors of :math:`-\tfrac12 J D^{(2)} J`, each times the root of its eigenvalue.

    Condensed distances, shape (..., pairs), to centred coordinates, (..., words, 2); their orientation is arbitrary.

    References
    ----------
    Torgerson, W. S. (1952), doi:10.1007/BF02288916. Gower, J. C. (1966), doi:10.1093/biomet/53.3-4.325.
    """
    squares = square(np.square(condensed), 0.0)
    means = squares.mean(axis=-1, keepdims=True)
    products = -0.5 * (squares - means - np.swapaxes(means, -1, -2) + means.mean(axis=-2, keepdims=True))
    values, vectors = np.linalg.eigh(products)  # ascending
    return (vectors[..., -2:] * np.sqrt(np.maximum(values[..., None, -2:], 0)))[..., ::-1]


def stress(points: np.ndarray, condensed: np.ndarray) -> np.ndarray:
    r"""Return how much the distances on a map differ from those of the words: Kruskal's stress-1.

    .. math:: \sqrt{\frac{\sum (b\,d_{ij} - \delta_{ij})^2}{\sum (b\,d_{ij})^2}}, \qquad
              b = \frac{\sum \delta_{ij}^2}{\sum d_{ij} \delta_{ij}}

    with b the scale of the map that makes it smallest. Points of shape (..., words, 2) and condensed distances of the
    words, (..., pairs), to shape (...): 0 for a map that keeps all distances, such as of words that are all the same.

    References
    ----------
    Kruskal, J. B. (1964), doi:10.1007/BF02289565.
    """
    shown = condense(np.linalg.norm(points[..., :, None, :] - points[..., None, :, :], axis=-1))
    product = (shown * condensed).sum(axis=-1)
    squares = np.square(shown).sum(axis=-1) * np.square(condensed).sum(axis=-1)
    share = np.divide(np.square(product), squares, out=np.ones_like(squares), where=squares > 0)
    return np.sqrt(np.maximum(1 - share, 0))


def lay_over(maps: np.ndarray) -> np.ndarray:
    r"""Turn, mirror and scale maps of the same words so that they lie over their mean (generalised Procrustes).

    Each map is given unit size, :math:`\sum x^2 = n`. Then, a few times, each is rotated by :math:`R = U W'`, with
    :math:`U S W'` the singular value decomposition of its product with the mean map; last, the mean's main axis is laid
    across, and signs are chosen so that the mean leans to the right and up. Centred maps, shape (..., words, 2), to the
    same shape.

    References
    ----------
    Gower, J. C. (1975), doi:10.1007/BF02291478.
    """
    shape, maps = maps.shape, maps.reshape(-1, *maps.shape[-2:])
    sizes = np.sqrt(np.square(maps).sum(axis=(1, 2), keepdims=True) / maps.shape[1])
    maps = maps / np.where(sizes > 0, sizes, 1)
    mean = maps[0]
    for _ in range(ROUNDS):
        u, _, w = np.linalg.svd(np.swapaxes(maps, 1, 2) @ mean)
        maps = maps @ (u @ w)
        mean = maps.mean(axis=0)
    axes = np.linalg.svd(mean, full_matrices=False)[2].T
    signs = np.sign((np.abs(mean @ axes) * (mean @ axes)).sum(axis=0))
    return (maps @ (axes * np.where(signs, signs, 1))).reshape(shape)


def word_maps(similarity: np.ndarray, metric: MetricName) -> tuple[np.ndarray, np.ndarray]:
    """Return maps of the words, (..., words, 2), all laid over each other, and the stress of each, (...).

    Of similarities, shape (..., pairs).
    """
    apart = distances(similarity, metric)
    maps = classical_scaling(apart)
    return lay_over(maps), stress(maps, apart)


def clustered(condensed: np.ndarray) -> np.ndarray:
    """Order words so that alike ones stand together: leaves of average linkage, the best of their orders.

    Condensed distances, shape (pairs,), to the positions of the words, shape (words,).

    References
    ----------
    Bar-Joseph, Z. et al. (2001), doi:10.1093/bioinformatics/17.suppl_1.S22 (order of leaves).
    """
    from scipy.cluster.hierarchy import leaves_list, linkage  # a third of a second, which others need not wait for

    return leaves_list(linkage(condensed, "average", optimal_ordering=True))
