"""How often something is drawn, and how precisely: of many words, each draw takes long, and `auto` takes less."""

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
