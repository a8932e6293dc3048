r"""A ladder of nulls: what shared input, spectrum, shared directions, alignment and bias add to RSA and Cohen's d.

Q, K and V are linear maps of one vector, the layer's input x. The rungs, from what any map gives to what was captured:

- ``gaussian``: :math:`x G`, an independent Gaussian matrix in the place of each projection;
- ``spectrum``: :math:`x R_Q W_Q, x R_K W_K, x R_V W_V` with independent random rotations: the trained singular values,
  no orientation;
- ``orientation``: :math:`x R W_Q, x R W_K, x R W_V` with one rotation: what the projections share with each other;
- ``unbiased``: :math:`x W`, aligned with the input as trained;
- ``trained``: as captured, :math:`x W + b`.

x has at most as many dimensions as there are words: :math:`x = L F_0` with orthonormal rows in :math:`F_0`. So
:math:`x R = L F`, where F is a Haar frame: the first rows of a random rotation (`haar_frames`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stages.geometry.agreement import moments_of_vectors
from stages.geometry.moments import Scored, moments, scores
from stages.geometry.names import MATRICES, PAIRS, PLACES
from stages.geometry.similarity import Similar
from stages.pipeline.progress import join, stack
from stages.statistics.p_values import familywise_p, monte_carlo_p
from stages.statistics.projections import factor, haar_frames, project, ranges

#: The rungs that are drawn, in their order; of Cohen's d, which is of one matrix, there is no third.
DRAWN = ("gaussian", "spectrum", "orientation")
#: What the step to each rung from the one below it means.
STEPS = {"spectrum": "narrow spectrum", "orientation": "shared directions", "unbiased": "alignment", "trained": "bias"}

#: Bytes of projections that are held at a time. Similarities count eight times what they would take if they were kept:
#: of large blocks, nearly all time would go into pairing draws with each other.
CHUNK = 2**28
#: Draws that are held at a time are at least these: the independent rung pairs them with each other.
FEWEST = 8

#: By measure and matrix or pair (``draws["rsa", "qk"]``): one value a draw, shape (draws,).
Draws = Mapping[tuple[str, str], np.ndarray]


def paired_scores(similarity: Mapping[str, np.ndarray], within: np.ndarray) -> Draws:
    """Score Q, K and V that belong together.

    Parameters
    ----------
    similarity : mapping of "q", "k", "v" to ndarray, shape (draws, pairs)
    within : ndarray of bool, shape (pairs,)
        Which pairs lie within a category.

    Returns
    -------
    dict of (measure, name) to ndarray, shape (draws,)
        ``rsa``, ``rsa_within``, ``rsa_across`` (Pearson) by pair of matrices, ``d`` by matrix.
    """
    values = np.stack([similarity[name] for name in MATRICES], axis=1)
    every = moments(values)
    return joint(scores(every, moments(values, within, every.centre)))


def joint(scored: Scored) -> Draws:
    """Take the scores of draws, each of them a set of Q, K and V; as `paired_scores`."""
    return _taken(scored, [(slice(None), place) for place in range(len(MATRICES))])


def paired(scored: Scored, apart: int = 0) -> Draws:
    """Take draws of Q, K and V that belong together: draw i of Q with i - 1 of K and i - 2 of V, if 1 `apart`.

    Parameters
    ----------
    scored : Scored
        Of one set: all draws of Q, then of K, then of V.
    apart : int
        By how many draws matrices are shifted against each other.

    Returns
    -------
    dict of (measure, name) to ndarray, shape (draws,)
        As `paired_scores`.
    """
    draws = scored.d.size // len(MATRICES)
    return _taken(scored, [(0, m * draws + (np.arange(draws) - apart * m) % draws) for m in range(len(MATRICES))])


def _taken(scored: Scored, places: Sequence[tuple]) -> Draws:
    """Take the scores of Q, K and V where they stand: set and place of each."""
    found = {
        (measure, pair): r[*places[a], places[b][1]]
        for measure, r in scored.r.items()
        for pair, (a, b) in zip(PAIRS, PLACES, strict=True)
    }
    return found | {("d", name): scored.d[place] for name, place in zip(MATRICES, places, strict=True)}


def crossed(scored: Scored) -> Draws:
    """Take each draw of a matrix with every *other* draw of the second: draws i and j are independent for i ≠ j.

    All pairs i ≠ j of D frames make a two-sample U-statistic. Pairs that share a frame are correlated, so that it is
    not worth D (D - 1) draws: of the variance over D independent draws the mean keeps the part that one frame alone
    decides, and loses nearly all of what only the two together do (Hoeffding 1948, doi:10.1214/aoms/1177730196).

    Parameters
    ----------
    scored : Scored
        As `paired`.

    Returns
    -------
    dict of (measure, name) to ndarray
        As `paired_scores`; shape (draws × (draws - 1),) by pair, (draws,) by matrix.
    """
    draws = scored.d.size // len(MATRICES)
    own, other = np.split(np.arange(scored.d.size), len(MATRICES)), ~np.eye(draws, dtype=bool)
    found = {
        (measure, pair): r[np.ix_(own[a], own[b])][other]
        for measure, (r,) in scored.r.items()
        for pair, (a, b) in zip(PAIRS, PLACES, strict=True)
    }
    return found | {("d", name): scored.d[0, place] for name, place in zip(MATRICES, own, strict=True)}


@dataclass(frozen=True)
class Rung:
    """The draws of one rung in one layer.

    Attributes
    ----------
    values : mapping of (measure, name) to ndarray
        What means, ranges and p are taken of.
    joint : mapping of (measure, name) to ndarray, shape (draws,)
        One value a draw, those of all pairs or matrices drawn together: for the family-wise p.
    """

    values: Draws
    joint: Draws


def draw_rungs(
    x: np.ndarray,
    projected: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    similar: Similar,
    within: np.ndarray,
    draws: int,
    rng: np.random.Generator,
    up_to_rotation: bool,
    look: Callable[[Mapping[str, np.ndarray]], None] = lambda vectors: None,
    chunk: int = CHUNK,
) -> dict[str, Rung]:
    """Draw the rungs ``gaussian``, ``spectrum`` and ``orientation`` in one layer.

    Parameters
    ----------
    x : ndarray, shape (words, units)
        The layer's input at the target token; words behind those of `within` are a reference for `similar`.
    projected : callable
        Takes turned inputs x R, shape (draws, words, units), gives x R W of "q", "k", "v", shape (draws, words, width).
    similar : Similar
    within : ndarray of bool, shape (pairs,)
    draws : int
    rng : numpy.random.Generator
    up_to_rotation : bool
        Whether a rotation of the units leaves what `similar` gives as it is; much is then faster.
    look : callable
        Is shown each block's x R W: "q", "k", "v", shape (draws, words, width).
    chunk : int
        Decides how many draws make a block.

    Returns
    -------
    dict of str to Rung

    Raises
    ------
    FloatingPointError
        If the similarities of a draw do not vary.
    """
    root = factor(x).astype(np.float32 if similar.single else np.float64)
    blocks: list[dict[str, tuple[Draws, Draws]]] = []
    # Blocks of about equal size, none smaller than `FEWEST`.
    needed = 8 * draws * (24 * len(within) + 4 * root.shape[1] * x.shape[1])
    parts = max(1, min(-(-needed // chunk), draws // FEWEST))
    for size in map(len, np.array_split(np.arange(draws), parts)):
        frames = haar_frames(size, root.shape[1], x.shape[1], rng, root.dtype)
        turned = projected(root.astype(frames.dtype) @ frames)
        gaussian = [project(root, turned[name].shape[-1], size, rng, up_to_rotation) for name in MATRICES]
        look(turned)
        free = joint(scores(*moments_of_vectors(gaussian, similar, within, sets=size)))
        shared = scores(*moments_of_vectors([*turned.values()], similar, within))
        found = {rung: (own, own) for rung, own in (("gaussian", free), ("orientation", paired(shared)))}
        blocks.append(found | {"spectrum": (crossed(shared), paired(shared, apart=1))})
    return {rung: Rung(*(join(parts) for parts in zip(*(b[rung] for b in blocks), strict=True))) for rung in DRAWN}


def ladder(
    drawn: Sequence[Mapping[str, Rung]], unbiased: Draws, trained: Draws, draws: int, alpha: float
) -> dict[tuple[str, str, str], dict[str, np.ndarray]]:
    """Put the rungs of all layers together: means, ranges, tests, and the steps between neighbouring rungs.

    Parameters
    ----------
    drawn : sequence of mapping of str to Rung
        By layer, by rung.
    unbiased, trained : mapping of (measure, name) to ndarray, shape (layers,)
        Scores of the last two rungs. The tests are of `unbiased`: the drawn rungs have no bias either.
    draws : int
    alpha : float
        Ranges hold 1 - alpha of the draws.

    Returns
    -------
    dict of (measure, matrix or pair, rung or step) to dict of str to ndarray, shape (layers,)
        Of a drawn rung ``value`` (the mean), ``low``, ``high`` (the range of the draws, not an interval), ``p`` and,
        for ``rsa`` and ``d``, ``p_familywise`` (over layers and pairs, or matrices); of the others and of steps,
        whose measure ends with ``_step``, ``value`` alone.
    """
    found: dict[tuple[str, str, str], dict[str, np.ndarray]] = {}
    for (measure, name), value in trained.items():
        rungs = DRAWN if measure != "d" else DRAWN[:2]
        for rung in rungs:
            values = [layer[rung].values[measure, name] for layer in drawn]
            cells = stack([ranges(v, alpha) for v in values])
            both = zip(unbiased[measure, name], values, strict=True)
            found[measure, name, rung] = cells | {"p": np.array([monte_carlo_p(t, v, draws) for t, v in both])}
        found[measure, name, "unbiased"] = {"value": unbiased[measure, name]}
        found[measure, name, "trained"] = {"value": value}
        for lower, upper in pairwise((*rungs, "unbiased", "trained")):
            difference = found[measure, name, upper]["value"] - found[measure, name, lower]["value"]
            found[f"{measure}_step", name, STEPS[upper]] = {"value": difference}
    for measure, names in {"rsa": PAIRS, "d": MATRICES}.items():
        for rung in DRAWN if measure != "d" else DRAWN[:2]:
            joint = np.stack([layer[rung].joint[measure, name] for name in names for layer in drawn])
            p = familywise_p(np.concatenate([unbiased[measure, name] for name in names]), joint)
            for name, part in zip(names, np.split(p, len(names)), strict=True):
                found[measure, name, rung]["p_familywise"] = part
    return found
