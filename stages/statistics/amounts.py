"""How often something is drawn, and how precisely: of many words, each draw takes long, and `auto` takes less."""

import math
from operator import attrgetter

from stages.pipeline.schema import Settings

#: Words above which there are many.
MANY = 100
#: Setting → what its `auto` stands for, up to so many words and above. The README of this room has the errors.
AUTO = {
    "inference.bootstraps": (10000, 2000),
    "controls.matches": (1000, 200),
    "nulls.draws": (100, 40),
    "nulls.precision": ("double", "single"),
    "sentences.bootstraps": (1000, 250),
}

#: Setting → who uses it, t and m: fewer than t / alpha - m draws cannot reach the level alpha. The smallest
#: p of P permutations is 1 / (P + 1), of D draws of nulls 2 / (D + 1); an interval leaves alpha / 2 out at either end.
NEEDED = {
    "inference.permutations": (("inference",), 1, 1),
    "inference.bootstraps": (("inference", "controls"), 2, 0),
    "nulls.draws": (("nulls",), 2, 1),
    "controls.matches": (("controls",), 2, 0),
    "sentences.bootstraps": (("sentences",), 2, 0),
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


def too_few(settings: Settings, words: int) -> list[str]:
    """List the amounts that cannot give what other settings ask for: a line each, with what would.

    Parameters
    ----------
    settings : Settings
    words : int

    Returns
    -------
    list of str
    """
    alpha, pairs, found = settings.inference.alpha, words * (words - 1) // 2, []
    for key, (users, tails, itself) in NEEDED.items():
        setting, least = attrgetter(key)(settings), math.ceil(tails / alpha - 1e-9) - itself
        draws = amount(key, setting, words) if setting == "auto" else setting
        if draws < least and any(getattr(settings, section).enabled for section in users):
            shown = f"auto draws {draws}, which" if setting == "auto" else draws
            found.append(f"{key}: {shown} is too few: inference.alpha: {alpha:g} needs at least {least}")
    if settings.controls.enabled and settings.controls.bins > pairs:
        found.append(f"controls.bins: {settings.controls.bins} bins are too many for {pairs} pairs of words")
    return found
