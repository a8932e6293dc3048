"""How often something is drawn: of many words, each draw takes long, and `auto` takes fewer."""

#: Words above which there are many.
MANY = 100
#: Setting → what its `auto` stands for, up to so many words and above: the draws with which a p can be below 0.05, and
#: resamples with which a standard error is off by 4.5 % (1 / sqrt(2 n), as the README of this room tells).
AUTO = {"nulls.draws": (100, 40), "sentences.bootstraps": (1000, 250)}


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
