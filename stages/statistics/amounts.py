"""How often something is drawn: of many words, each draw takes long, and `auto` takes fewer."""

#: Words above which there are many.
MANY = 100
#: Setting → what its `auto` stands for, up to so many words and above. The README of this room has the errors.
AUTO = {
    "inference.bootstraps": (10000, 2000),
    "controls.matches": (1000, 200),
    "nulls.draws": (100, 40),
    "sentences.bootstraps": (1000, 250),
}


def amount(key: str, setting: str | int, words: int) -> int:
    """Return how many draws a setting asks for.

    Parameters
    ----------
    key : str
        A key of `AUTO`.
    setting : "auto" or int
    words : int

    Returns
    -------
    int
    """
    few, many = AUTO[key]
    return (few if words <= MANY else many) if setting == "auto" else setting
