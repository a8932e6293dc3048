"""The one exception that means: the user can mend this."""

from collections.abc import Sequence


class UserError(Exception):
    """A mistake of the user's, told without a traceback: what is wrong, where, and what would be right."""


def shortened(text: str) -> str:
    """Cut what is shown of a value, which may be a whole list of words, to 60 characters."""
    return text if len(text) <= 60 else f"{text[:60]}..."


def some_of(found: Sequence[str], most: int, between: str = "; ") -> str:
    """List what was found; of more than `most`, the first ones and how many follow.

    Examples
    --------
    >>> some_of(["pear", "lime", "fig"], 2)
    'pear; lime; and 1 more'
    """
    rest = [f"and {len(found) - most} more"] if len(found) > most else []
    return between.join([*found[:most], *rest])
