"""What single units and directions carry: their share of the vectors, and every score without them."""

import numpy as np

from stages.geometry.moments import cohens_d, moments_of_sets, named, similarities, varies
from stages.geometry.names import WITH_INPUT, Arrays
from stages.geometry.pairs import condense
from stages.geometry.similarity import Similar, directions
from stages.geometry.transforms import deviations

#: What is left out of the vectors.
VARIANTS = ("all", "without_unit", "without_component")


def anisotropy(vectors: Arrays, similar: Similar, within: np.ndarray) -> dict[tuple[str, str, str], float]:
    r"""Return how evenly the vectors of a layer use their space, and what depends on one unit or direction.

    Vectors are of shape (words + reference words, units). By measure, matrix or pair, and variant, floats. Of the
    words' vectors as they are, variant ``all``: ``unit``, the number of the largest; ``unit_share``, its share of the
    squared length of all; ``unit_share_cosines``, its share of the cosines' variance; ``dimensions``, the participation
    ratio. For each of `VARIANTS`: ``mean_cosine`` of different words (anisotropy); and, with the metric and transform
    of `similar`, ``rsa`` (Pearson r) of each pair and Cohen's ``d`` of each matrix and of x. Left out of each is its
    own largest unit, or its own largest principal component. NaN where a score is undefined.

    Notes
    -----
    With unit vectors :math:`\hat{x}_i`, a cosine is a sum over units u, whose shares of the variance over pairs add up
    to 1; a share below 0 is one of a unit that goes against the rest:

    .. math:: s_{ij} = \sum_u c_{iju}, \quad c_{iju} = \hat{x}_{iu} \hat{x}_{ju}, \qquad
              \frac{\operatorname{cov}(c_u, s)}{\operatorname{var}(s)}

    With eigenvalues :math:`\lambda` of the covariance of the words, the effective number of dimensions is
    :math:`(\sum \lambda)^2 / \sum \lambda^2`.

    References
    ----------
    Timkey, W. & van Schijndel, M. (2021), arXiv:2109.04404 (single units). Mu, J. & Viswanath, P. (2018),
    arXiv:1702.01417 (principal components).
    """
    found, versions = {}, {variant: [] for variant in VARIANTS}
    for name in WITH_INPUT:
        full = np.asarray(vectors[name], dtype=np.float64)
        own = full[: similar.words]
        unit, share = largest_unit(own)
        component, dimensions = first_component(own)
        numbers = {"unit": unit, "unit_share": share, "unit_share_cosines": share_of_cosines(own, unit)}
        numbers["dimensions"] = dimensions
        found |= {(measure, name, "all"): float(value) for measure, value in numbers.items()}
        parts = full, np.delete(full, unit, axis=-1), full - np.outer(full @ component, component)
        for variant, part in zip(VARIANTS, parts, strict=True):
            found["mean_cosine", name, variant] = mean_cosine(part[: similar.words])
            versions[variant].append(part[None])
    for variant, parts in versions.items():
        ((every, inside),) = moments_of_sets(similarities(parts, similar, within, strict=False), within)
        r, d = every.correlations(strict=False)[0], cohens_d(every, inside, strict=False)[0]
        found |= {(*key, variant): float(value) for key, value in named({"rsa": r}, d, WITH_INPUT).items()}
    return found


def largest_unit(vectors: np.ndarray) -> tuple[int, float]:
    """Return the number of the unit with the largest sum of squares over words, and its share of that of all units.

    `vectors` are of shape (words, units).
    """
    squares = np.square(vectors).sum(axis=0)
    return int(squares.argmax()), float(squares.max() / squares.sum())


def share_of_cosines(vectors: np.ndarray, unit: int) -> float:
    """Return a unit's share of the variance of the cosines, as `anisotropy` describes; NaN where they do not vary.

    `vectors` are of shape (words, units).
    """
    rows = directions(vectors)
    cosines, own = condense(rows @ rows.T), condense(np.outer(rows[:, unit], rows[:, unit]))
    centred = cosines - cosines.mean()
    scatter = np.sum(centred * centred)
    return float(np.sum(own * centred) / scatter) if varies(scatter, np.sum(cosines * cosines), scatter) else np.nan


def mean_cosine(vectors: np.ndarray) -> float:
    r"""Return the mean cosine of different words: of n unit vectors, :math:`(|\sum_i \hat{x}_i|^2 - n) / (n(n-1))`.

    `vectors` are of shape (words, units).
    """
    rows = directions(vectors)
    return float((np.square(rows.sum(axis=0)).sum() - len(rows)) / (len(rows) * (len(rows) - 1)))


def first_component(vectors: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the largest principal component of the words, a vector of length 1, and the participation ratio of all.

    Of vectors of shape (words, units), by the products of words, or of units, whichever are fewer.
    """
    centred = deviations(vectors, -2)
    few = len(centred) < centred.shape[1]
    sizes, axes = np.linalg.eigh(centred @ centred.T if few else centred.T @ centred)
    component = centred.T @ axes[:, -1] if few else axes[:, -1]
    return component / np.linalg.norm(component), float(sizes.sum() ** 2 / np.square(sizes).sum())
