"""How often something is drawn, how precisely, and with which random numbers.

Of many words, each draw takes long, and `auto` takes fewer or coarser ones. One seed gives a generator of its own for
each thing that is drawn.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from stages.geometry.names import MANY_WORDS
from stages.pipeline.mistakes import DRAWS, least_draws
from stages.statistics.bootstrap import resample_words
from stages.statistics.permutation import Orders, draw_orders

#: What is drawn, and a place that is free. A new stream goes to the end: the earlier ones keep their numbers.
STREAMS = ("words", "labels", "bootstrap", "nulls", "", "sentences")

#: Setting → what its `auto` stands for, up to so many words and above. The README of this room has the errors.
AUTO = {
    "inference.bootstraps": (10000, 2000),
    "nulls.draws": (100, 40),
    "nulls.precision": ("double", "single"),
    "sentences.bootstraps": (1000, 250),
}


def amount(key: str, setting: str | int, words: int, alpha: float = 0.05) -> str | int:
    """Return how many draws, or how precise ones, a setting asks for.

    "auto" takes that of `AUTO`, or more where the level needs them. Of nulls, it takes the fewest from there on of
    which a two-sided p can be alpha itself: then the test has the size alpha, and not less. Such are those for which
    alpha (D + 1)/2 is a whole number.

    Examples
    --------
    >>> amount("nulls.draws", "auto", 34), amount("nulls.draws", "auto", 277), amount("nulls.draws", "auto", 34, 0.01)
    (119, 79, 199)
    """
    if setting != "auto":
        return setting
    few, many = AUTO[key]
    own = few if words <= MANY_WORDS else many
    if key == "nulls.draws":
        return round(math.ceil((own + 1) * alpha / 2 - 1e-9) * 2 / alpha) - 1
    return max(own, least_draws(key, alpha)) if key in DRAWS else own


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the generator of one stream.

    Two stages that ask for the same stream draw the same numbers: the resamples of words are the same wherever
    intervals are made. Streams are independent of one another. KeyError if there is none of this name.
    """
    children = dict(zip(STREAMS, np.random.SeedSequence(seed).spawn(len(STREAMS)), strict=True))
    return np.random.default_rng(children[name])


def draw_words(categories: Sequence[str], chosen: Any) -> tuple[np.ndarray, int]:
    """Draw the bootstrap samples that section ``inference``, `chosen`, asks for; returns those of `resample_words`."""
    resamples = amount("inference.bootstraps", chosen.bootstraps, len(categories), chosen.alpha)
    return resample_words(categories, resamples, stream(chosen.seed, "bootstrap"))


def draw_permutations(words: int, chosen: Any, name: str) -> Orders:
    """Draw the permutations that section ``inference``, `chosen`, asks for, from the stream of a name."""
    crossed = chosen.shuffles == "crossed" or (chosen.shuffles == "auto" and words > MANY_WORDS)
    return draw_orders(words, chosen.permutations, stream(chosen.seed, name), crossed)
