r"""A ladder of nulls: what shared input, spectrum, shared directions, alignment and bias add to RSA and Cohen's d.

Q, K and V are linear maps of one vector, the layer's input x. The rungs, from what any map gives to what was captured:

- ``gaussian``: :math:`x G`, an independent Gaussian matrix instead of each projection;
- ``spectrum``: :math:`x R_Q W_Q, x R_K W_K, x R_V W_V` with independent random rotations: the trained singular values,
  no orientation;
- ``orientation``: :math:`x R W_Q, x R W_K, x R W_V` with one rotation: what the projections share with each other;
- ``unbiased``: :math:`x W`, aligned with the input as trained;
- ``trained``: as captured, :math:`x W + b`.

x has at most as many dimensions as there are words: :math:`x = L F_0` with orthonormal rows in :math:`F_0`. So
:math:`x R = L F`, where F is a Haar frame: the first rows of a random rotation (`haar_frames`).
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from stages.geometry.comparison import COMPARISONS, fisher_z, product_sum, unit_norm
from stages.geometry.moments import Moments, Statistics, moments_of_sets, partial_correlation, scores, similarities
from stages.geometry.names import DRAWN, MATRICES, OF_PAIRS, PLACES, RUNGS, Arrays
from stages.geometry.similarity import METRICS, Similar
from stages.pipeline.progress import join, stack
from stages.statistics.projections import factor, haar_frames, project, ranges

#: Scores of one matrix; all others are of two.
OF_MATRICES = ("d", "rsa_to_input")

#: Bytes of projections and similarities that are held at a time.
CHUNK = 2**28
#: Draws that are held at a time are at least these: the independent rung takes them from each other.
FEWEST = 8


class Choices(NamedTuple):
    """Under what the scores of draws are taken."""

    similar: Mapping[str, Similar]  # by transform
    comparisons: Sequence[str]  # keys of `COMPARISONS` besides "pearson"
    within: np.ndarray  # which pairs lie within a category: bool, shape (pairs,)


def score(
    vectors: Sequence[np.ndarray], x: np.ndarray, choices: Choices, shifts: Sequence[int] = (0,)
) -> list[Statistics]:
    """Score draws of Q, K and V, each of shape (draws, words + reference words, units), under every choice.

    Their input `x` is of shape (words + reference words, units). Returns by measure, matrix or pair, transform and
    comparison one value a draw, shape (draws,), for each of `shifts`, which say which draws belong together: with 1,
    draw i of Q, i - 1 of K and i - 2 of V. FloatingPointError if the similarities of a draw do not vary.
    """
    draws = len(vectors[0])
    # Places of the Q, K, V and x that belong together, among all geometries: those of Q, K and V, and x.
    own = [[m * draws + np.roll(np.arange(draws), m * shift) for m in range(3)] for shift in shifts]
    sets = [np.stack([*places, np.full(draws, 3 * draws)], axis=1) for places in own]
    found: list[dict] = [{} for _ in shifts]
    for transform, similar in choices.similar.items():
        values = similarities([*vectors, x[None]], similar, choices.within)
        for into, moments in zip(found, moments_of_sets(values, choices.within, *sets), strict=True):
            into |= {(*key, transform, "pearson"): scored for key, scored in _measures(*moments).items()}
        for comparison in choices.comparisons:
            units = unit_norm(COMPARISONS[comparison].features(values[:-1], METRICS[similar.metric].own))
            for into, places in zip(found, own, strict=True):
                for pair, (a, b) in PLACES.items():
                    r = product_sum(units[places[a]], units[places[b]])
                    into["rsa", pair, transform, comparison] = np.clip(r, -1, 1)
    return found


def _measures(every: Moments, within: Moments) -> Statistics:
    """Return every measure of sets of Q, K, V and their input, by measure and matrix or pair."""
    r, d = scores(every, within)
    r["rsa_gap"] = r["rsa_within"] - r["rsa_across"]
    r["rsa_gap_z"] = fisher_z(r["rsa_within"]) - fisher_z(r["rsa_across"])
    x = r["rsa"][..., 3]
    r["partial_rsa"] = partial_correlation(r["rsa"], x[..., :, None], x[..., None, :], strict=False)
    found = {("d", name): d[:, place] for place, name in enumerate(MATRICES)}
    found |= {("rsa_to_input", name): x[:, place] for place, name in enumerate(MATRICES)}
    of_pairs = {(measure, pair): table[:, *at] for pair, at in PLACES.items() for measure, table in r.items()}
    return found | of_pairs


def observed(vectors: Arrays, x: np.ndarray, choices: Choices) -> dict:
    """Score Q, K and V as they are: a draw of one; by the keys of `score`, floats."""
    (draws,) = score([vectors[name][None] for name in MATRICES], x, choices)
    return {key: values[0] for key, values in draws.items()}


def draw_rungs(
    x: np.ndarray,
    projected: Callable[[np.ndarray], Arrays],
    choices: Choices,
    draws: int,
    rng: np.random.Generator,
    look: Callable[[Arrays], Any] = lambda vectors: None,
) -> tuple[dict[str, Statistics], list]:
    """Draw the rungs ``gaussian``, ``spectrum`` and ``orientation`` in one layer, under every choice the same draws.

    Parameters
    ----------
    x : ndarray, shape (words, units)
        The layer's input at the target token; words behind those of `choices` are a reference.
    projected : callable
        Takes turned inputs x R, (draws, words, units), returns x R W of "q", "k", "v", each (draws, words, width).
    look : callable
        Is shown each block's x R W.

    Returns
    -------
    rungs : dict of str to Statistics, of shape (draws,)
        FloatingPointError if the similarities of a draw do not vary.
    seen : list
        What `look` returned, block by block.
    """
    single = any(similar.single for similar in choices.similar.values())
    root = factor(x).astype(np.float32 if single else np.float64)
    blocks, seen = [], []
    # Blocks of about equal size, none smaller than `FEWEST`.
    needed = 8 * draws * (24 * len(choices.within) + 4 * root.shape[1] * x.shape[1])
    parts = max(1, min(-(-needed // CHUNK), draws // FEWEST))
    for size in map(len, np.array_split(np.arange(draws), parts)):
        frames = haar_frames(size, root.shape[1], x.shape[1], rng, root.dtype)
        turned = projected(root.astype(frames.dtype) @ frames)
        seen.append(look(turned))
        (free,) = score([project(root, turned[name].shape[-1], size, rng) for name in MATRICES], x, choices)
        together, apart = score([*turned.values()], x, choices, shifts=(0, 1))
        blocks.append({"gaussian": free, "spectrum": apart, "orientation": together})
    return join(blocks), seen


def ladder(
    layers: Sequence[Mapping[str, Statistics]], unbiased: Sequence[Mapping], trained: Sequence[Mapping], alpha: float
) -> dict[tuple[str, ...], dict[str, np.ndarray]]:
    """Combine the rungs of all layers: means, ranges, tests, and the steps between neighbouring rungs.

    Parameters
    ----------
    layers : sequence of mapping of str to Statistics
        By layer, of `draw_rungs`.
    unbiased, trained : sequence of mapping
        By layer, of `observed`: the last two rungs. The first is what is tested: what is drawn has no bias either.
    alpha : float
        Ranges hold a new draw with probability 1 - alpha.

    Returns
    -------
    dict of (measure, matrix or pair, transform, comparison, rung or step) to dict of str to ndarray, shape (layers,)
        Of a drawn rung ``value`` (the mean), ``low``, ``high`` (where a new draw lies), ``p`` and ``p_familywise``
        (over layers and pairs, or matrices), both two-sided; of the others and of steps, whose measure ends with
        ``_step``, ``value`` alone.
    """
    tested, families = stack(unbiased), defaultdict(list)
    for key in tested:
        families[key[0], *key[2:]].append(key)
    cells, found = {}, {}
    for (measure, *_), keys in families.items():
        values = np.array([tested[key] for key in keys])
        for rung in [rung for rung in DRAWN if not (measure in OF_MATRICES and rung in OF_PAIRS)]:
            drawn = np.array([[layer[rung][key] for layer in layers] for key in keys])
            columns = {**ranges(drawn, alpha), "p": monte_carlo_p(values, drawn)}
            columns["p_familywise"] = familywise_p(values.ravel(), drawn.reshape(values.size, -1)).reshape(values.shape)
            for place, key in enumerate(keys):
                cells.setdefault(key, {})[rung] = {column: numbers[place] for column, numbers in columns.items()}
    for key, value in stack(trained).items():
        measure, *rest = key
        rungs = cells[key] | {"unbiased": {"value": tested[key]}, "trained": {"value": value}}
        found |= {(*key, rung): columns for rung, columns in rungs.items()}
        if measure in ("rsa", "d"):
            for (_, lower), (name, upper) in pairwise(rungs.items()):
                found[f"{measure}_step", *rest, RUNGS[name]] = {"value": upper["value"] - lower["value"]}
    return found


def monte_carlo_p(values: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    r"""Two-sided p of each value among D draws of its null.

    .. math:: p = \min\left(1,\; 2\,\frac{1 + \min(n_\le, n_\ge)}{D + 1}\right)

    with the numbers n of the drawn values, shape (..., D), that are at most, and at least, the value. From 2/(D + 1) to
    1; NaN where the value or a draw is undefined.

    References
    ----------
    Phipson, B. & Smyth, G. K. (2010), doi:10.2202/1544-6115.1585.
    """
    values, draws = np.asarray(values)[..., None], drawn.shape[-1]
    tail = np.minimum((drawn <= values).sum(axis=-1), (drawn >= values).sum(axis=-1))
    known = ~np.isnan(values - drawn).any(axis=-1)
    return np.where(known, np.minimum(2 * (1 + tail) / (draws + 1), 1), np.nan)


def familywise_p(values: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    r"""P of each value, two-sided, with the chance of any error in the whole family controlled.

    Deviations are in units of SD, mean and SD being those of the draws and the value together, so that under the null
    the value is exchangeable with the draws. The p of a value is its rank among the draws' largest deviations:

    .. math:: z = \frac{|t - \bar{t}|}{s}, \qquad p = \frac{1 + \#\{i : \max z_i \ge z\}}{D + 1}

    Values, shape (tests,), and draws, (tests, D), of which each column is one draw, to p, (tests,): from 1/(D + 1) to
    1; NaN where the value or a draw is undefined.

    References
    ----------
    Nichols, T. E. & Holmes, A. P. (2002), doi:10.1002/hbm.1058 (maximum statistic).
    """
    every = np.column_stack([values, drawn])
    if not (known := np.isfinite(every).all(axis=1)).all():
        found = np.full(len(values), np.nan)
        if known.any():
            found[known] = familywise_p(values[known], drawn[known])
        return found
    z = np.abs(every - every.mean(axis=1, keepdims=True)) / every.std(axis=1, ddof=1, keepdims=True)
    largest = np.sort(z[:, 1:].max(axis=0))
    at_least = len(largest) - np.searchsorted(largest, z[:, 0] * (1 - 1e-12), side="left")
    return (1 + at_least) / (1 + len(largest))
