"""How often something is drawn, and how precisely: of many words, each draw takes long, and `auto` takes less."""

import math

from stages.pipeline.mistakes import DRAWS, least_draws

#: Words above which there are many.
MANY = 100
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
    own = few if words <= MANY else many
    if key == "nulls.draws":
        return round(math.ceil((own + 1) * alpha / 2 - 1e-9) * 2 / alpha) - 1
    return max(own, least_draws(key, alpha)) if key in DRAWS else own
