"""The one exception that means: the user can mend this."""

from collections.abc import Sequence

#: No more of a value is shown: it may be a whole list of words.
LONGEST = 60


class UserError(Exception):
    """A mistake of the user's, told without a traceback: what is wrong, where, and what would be right."""


def shortened(text: str) -> str:
    """Cut text that is longer than a message should be."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def some_of(found: Sequence[str], most: int, between: str = "; ") -> str:
    """List what was found; of more than `most`, the first ones and how many follow.

    Examples
    --------
    >>> some_of(["pear", "lime", "fig"], 2)
    'pear; lime; and 1 more'
    """
    rest = [f"and {len(found) - most} more"] if len(found) > most else []
    return between.join([*found[:most], *rest])
