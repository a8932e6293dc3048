"""How often something is drawn, and how precisely: of many words, each draw takes long, and `auto` takes less."""

import math

#: Words above which there are many.
MANY = 100
#: Setting → what its `auto` stands for, up to so many words and above. The README of this room has the errors.
AUTO = {
    "inference.bootstraps": (10000, 2000),
    "nulls.precision": ("double", "single"),
    "sentences.bootstraps": (1000, 250),
}


def amount(key: str, setting: str | int, words: int) -> str | int:
    """Return how many draws, or how precise ones, a setting asks for.

    Parameters
    ----------
    key : str
        A key of `AUTO`.
    setting : str or int
        "auto", or what is asked for.
    words : int

    Returns
    -------
    str or int
    """
    few, many = AUTO[key]
    return (few if words <= MANY else many) if setting == "auto" else setting


def null_draws(setting: str | int, words: int, alpha: float) -> int:
    """Return how many maps are drawn for a null.

    "auto" takes the fewest from 100 (above `MANY` words from 40) of which a two-sided p can be alpha itself: then the
    test has the size alpha, and not less. Such are those for which alpha (D + 1)/2 is a whole number.

    Examples
    --------
    >>> null_draws("auto", 34, 0.05), null_draws("auto", 277, 0.05), null_draws("auto", 34, 0.01)
    (119, 79, 199)
    """
    if setting != "auto":
        return int(setting)
    least = 100 if words <= MANY else 40
    return round(math.ceil((least + 1) * alpha / 2 - 1e-9) * 2 / alpha) - 1
