r"""Moments of similarities over word pairs, from which every score follows.

With weights w of the pairs, and for geometries a and b their similarities s:

.. math:: n = \sum_p w_p, \qquad S_a = \sum_p w_p s_{ap}, \qquad P_{ab} = \sum_p w_p s_{ap} s_{bp}

Measured once, every pair weighs 1. In a bootstrap sample a pair weighs the product of its words' counts. With a word
left out, its pairs weigh 0. RSA, Cohen's d, means and SDs are functions of these sums alone.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stages.geometry.names import LABELS, PLACES, Arrays
from stages.geometry.similarity import METRICS, Similar

#: Spread, relative to the root mean square, below which numbers count as constant. Rounding float32 activations moves a
#: cosine near 1 by some 1e-14; a matrix that hardly tells words apart (cosines from 0.9999998 to 1) still does. In
#: single precision, similarities are rounded to 6e-8: of those that vary by 1e-4 a millionth of the variance is noise.
NOISE = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-4}
#: Share of the sum of squares about the centre below which scatter is what rounding has left.
ROUNDING = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-6}
DOUBLE = np.dtype(np.float64)
#: Bytes of similarities that are summed at a time.
BLOCK = 2**22

#: Numbers by measure, by matrix or pair, and by further names: an array each.
Statistics = dict[tuple[str, ...], np.ndarray]


def varies(scatter: np.ndarray, lengths: np.ndarray, squares: np.ndarray, precision: np.dtype = DOUBLE) -> np.ndarray:
    """Return where numbers vary by more than rounding, and are finite: the one rule for all scores.

    From sums of squares, all of shape (...): about the mean (`scatter`), of the numbers as they are (`lengths`), and
    about the centre that `scatter` was computed from (`squares`).
    """
    return scatter > np.maximum(NOISE[precision] ** 2 * lengths, ROUNDING[precision] * squares)


def undefined(name: str) -> str:
    """Return why a correlation is undefined: which side of it, if that has a name, is constant."""
    constant = f"{LABELS.get(name, name)} does not vary; are its weights damaged?" if name else ""
    return f"a correlation is undefined: {constant or 'one of its sides is constant'}"


@dataclass(frozen=True)
class Moments:
    """Sums over word pairs of g geometries, with any axes before them."""

    n: np.ndarray  # sum of the weights, shape (...): how many pairs, copies counted
    sums: np.ndarray  # of the similarities less `centre`, shape (..., g)
    products: np.ndarray  # of two similarities, each less its centre, shape (..., g, g)
    centre: np.ndarray  # near each geometry's mean, shape (..., g): far from 0, sums of squares lose digits
    precision: np.dtype = DOUBLE  # of the similarities
    names: Sequence[str] = ()  # of the geometries, if they have any, for messages

    def __sub__(self, other: "Moments") -> "Moments":
        """Leave out a part of the pairs, about the same centre."""
        rest = (self.n - other.n, self.sums - other.sums, self.products - other.products)
        return Moments(*rest, self.centre, self.precision, self.names)

    @property
    def means(self) -> np.ndarray:
        """Weighted means, shape (..., g)."""
        return self.centre + self.sums / self.n[..., None]

    @cached_property
    def scatter(self) -> np.ndarray:
        """Sums of products of deviations from the means, shape (..., g, g)."""
        return self.products - self.sums[..., :, None] * self.sums[..., None, :] / self.n[..., None, None]

    @property
    def squares(self) -> np.ndarray:
        """Sums of squares about the centre, shape (..., g)."""
        return np.diagonal(self.products, axis1=-2, axis2=-1)

    @property
    def lengths(self) -> np.ndarray:
        """Sums of squares of the similarities as they are, shape (..., g)."""
        return self.squares + 2 * self.centre * self.sums + self.n[..., None] * np.square(self.centre)

    @cached_property
    def varies(self) -> np.ndarray:
        """Where similarities vary, shape (..., g)."""
        return varies(np.diagonal(self.scatter, axis1=-2, axis2=-1), self.lengths, self.squares, self.precision)

    def correlations(self, strict: bool = True) -> np.ndarray:
        r"""Pearson correlations of all pairs of geometries, shape (..., g, g), from -1 to 1.

        .. math:: r_{ab} = \frac{C_{ab}}{\sqrt{C_{aa} C_{bb}}}, \qquad C_{ab} = P_{ab} - \frac{S_a S_b}{n}

        FloatingPointError where similarities do not vary; NaN if not `strict`.
        """
        if strict and not self.varies.all():
            flat = np.flatnonzero(~self.varies.reshape(-1, self.varies.shape[-1]).all(axis=0))
            raise FloatingPointError(undefined(self.names[flat[0]] if self.names else ""))
        norms = np.sqrt(np.where(self.varies, np.diagonal(self.scatter, axis1=-2, axis2=-1), np.nan))
        return np.clip(self.scatter / (norms[..., :, None] * norms[..., None, :]), -1, 1)


def cohens_d(every: Moments, within: Moments, strict: bool = True) -> np.ndarray:
    r"""Cohen's d of pairs within against pairs across categories, with the pooled SD.

    .. math:: d = \frac{\bar{w} - \bar{a}}{s}, \qquad
              s^2 = \frac{P - S_w^2/n_w - S_a^2/n_a}{n_w + n_a - 2}

    From moments over all pairs, and over those within categories, whose products are not used: float64, shape (..., g),
    in standard deviations, positive where pairs within a category are more alike. Similarities that vary neither within
    nor across are a FloatingPointError, or NaN if not `strict`.

    References
    ----------
    Cohen, J. (1988). Statistical Power Analysis for the Behavioral Sciences, 2nd ed.
    """
    inside, outside = within.n[..., None], (every.n - within.n)[..., None]
    sums_across = every.sums - within.sums
    pooled = every.squares - np.square(within.sums) / inside - np.square(sums_across) / outside
    known = varies(pooled, every.lengths, every.squares, every.precision)
    if strict and not known.all():
        raise FloatingPointError("Cohen's d is undefined: the similarities do not vary")
    spread = np.sqrt(np.where(known, pooled, np.nan) / (inside + outside - 2))
    return (within.sums / inside - sums_across / outside) / spread


def partial_correlation(ab: np.ndarray, ax: np.ndarray, bx: np.ndarray, strict: bool = True) -> np.ndarray:
    r"""Correlation of a and b with what x explains linearly taken out of both.

    .. math:: r_{ab \cdot x} = \frac{r_{ab} - r_{ax} r_{bx}}{\sqrt{(1 - r_{ax}^2)(1 - r_{bx}^2)}}

    Equal to the correlation of the residuals of a and b, each regressed on x. Takes Pearson correlations; float64 of
    their shape. If a or b is a linear function of x, nothing is left to correlate: FloatingPointError, or NaN if not
    `strict`.

    Examples
    --------
    >>> float(partial_correlation(np.array(0.5), np.array(0.5), np.array(0.5)).round(3))
    0.333
    """
    left = (1 - np.square(ax)) * (1 - np.square(bx))
    known = varies(left, 1, 1)
    if strict and not np.all(known):
        raise FloatingPointError("partial RSA is undefined: the similarities of a matrix are those of its input")
    return np.clip((ab - ax * bx) / np.sqrt(np.where(known, left, np.nan)), -1, 1)


def moments_of_sets(values: np.ndarray, within: np.ndarray, *sets: np.ndarray) -> list[tuple[Moments, Moments]]:
    """Sum over pairs that all weigh 1, for many geometries, of which some are compared with each other.

    Parameters
    ----------
    values : ndarray, shape (geometries, pairs)
        In single precision their products are, too; sums are always double.
    within : ndarray of bool, shape (pairs,)
    *sets : ndarray of int, shape (sets, g)
        Which g geometries are compared with each other, set by set; all by default, as one set.

    Returns
    -------
    list of (every, within), both Moments of shape (sets,)
        For each of `sets`: over all pairs, and over those within categories.
    """
    sets = sets or (np.arange(len(values))[None],)
    centre, size = values.mean(axis=1, keepdims=True), max(1, BLOCK // values[:, 0].nbytes)
    summed: list[tuple[list, list]] = [([], []) for _ in sets]  # block by block: n, sums and products, of both kinds
    for start in range(0, len(within), size):
        piece = values[:, start : start + size] - centre
        inside = np.compress(within[start : start + size], piece, axis=1)
        for kinds, chosen in zip(summed, sets, strict=True):
            for kind, some in zip(kinds, (piece[chosen], inside[chosen]), strict=True):
                products = (some @ some.swapaxes(-1, -2)).astype(np.float64)
                kind.append((np.full(len(some), float(some.shape[-1])), some.sum(-1, dtype=np.float64), products))
    found = []
    for kinds, chosen in zip(summed, sets, strict=True):
        own = centre[chosen, 0].astype(np.float64), values.dtype
        every, inside = (Moments(*map(sum, zip(*parts, strict=True)), *own) for parts in kinds)
        found.append((every, inside))
    return found


def similarities(
    vectors: Sequence[np.ndarray], similar: Similar, within: np.ndarray, strict: bool = True
) -> np.ndarray:
    """Return the similarities of geometries as `Similar.many`, in single precision where that is enough.

    Shapes (draws, words + reference words, units) become (all draws, pairs). Single precision does where `similar`
    says so, of cosines and correlations, if all of them vary enough for it, within categories,
    across, and over all pairs. (Distances may lose more: what is subtracted there is much larger than they are.)
    """
    if similar.single and METRICS[similar.metric].bounded:
        with suppress(FloatingPointError):
            found = similar.many(vectors, dtype=np.float32)
            ((every, inside),) = moments_of_sets(found, within, np.arange(len(found))[:, None])
            if all(kind.varies.all() for kind in (every, inside, every - inside)):
                return found
            del found
    return similar.many(vectors, strict)


def scores(every: Moments, within: Moments, strict: bool = True) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the post's scores of g geometries, each compared with each; errors as `Moments`.

    RSA (Pearson) over all pairs and by kind, shape (..., g, g): ``rsa``, ``rsa_within``, ``rsa_across``; and Cohen's d,
    shape (..., g).
    """
    kinds = {"rsa": every, "rsa_within": within, "rsa_across": every - within}
    return {name: kind.correlations(strict) for name, kind in kinds.items()}, cohens_d(every, within, strict)


def named(r: Arrays, d: np.ndarray, names: Sequence[str]) -> Statistics:
    """Name `scores`: r by measure and pair of Q, K and V, which come first among `names`; d by each of these.

    From shapes (..., g, g) of r and (..., g) of d to shape (...) of each.
    """
    found = {(measure, pair): table[..., *place] for measure, table in r.items() for pair, place in PLACES.items()}
    return found | {("d", name): d[..., place] for place, name in enumerate(names)}
