"""How often something is drawn, and how precisely: of many words, each draw takes long, and `auto` takes less."""

import math
from operator import attrgetter

from stages.pipeline.schema import Settings

#: Words above which there are many.
MANY = 100
#: Setting → what its `auto` stands for, up to so many words and above. The README of this room has the errors.
AUTO = {
    "inference.bootstraps": (10000, 2000),
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
    "sentences.bootstraps": (("sentences",), 2, 0),
}


def amount(key: str, setting: str | int, words: int, alpha: float = 0.05) -> str | int:
    """Return how many draws, or how precise ones, a setting asks for.

    Of nulls, "auto" takes the fewest from that of `AUTO` on of which a two-sided p can be alpha itself: then the test
    has the size alpha, and not less. Such are those for which alpha (D + 1)/2 is a whole number.

    Examples
    --------
    >>> amount("nulls.draws", "auto", 34), amount("nulls.draws", "auto", 277), amount("nulls.draws", "auto", 34, 0.01)
    (119, 79, 199)
    """
    if setting != "auto":
        return setting
    few, many = AUTO[key]
    own = few if words <= MANY else many
    return round(math.ceil((own + 1) * alpha / 2 - 1e-9) * 2 / alpha) - 1 if key == "nulls.draws" else own


def too_few(settings: Settings, words: int) -> list[str]:
    """List the amounts that cannot give what other settings ask for: a line each, with what would."""
    alpha, found = settings.inference.alpha, []
    for key, (users, tails, itself) in NEEDED.items():
        setting, least = attrgetter(key)(settings), math.ceil(tails / alpha - 1e-9) - itself
        own = amount(key, setting, words, alpha)
        if own < least and any(getattr(settings, section).enabled for section in users):
            shown = f"auto draws {own}, which" if setting == "auto" else own
            found.append(f"{key}: {shown} is too few: inference.alpha: {alpha:g} needs at least {least}")
    return found
