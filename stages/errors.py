"""The one exception that means: the user can mend this."""


class UserError(Exception):
    """A mistake of the user's: the message says what is wrong, where, and what would be right, in plain words.

    A stage that ends with it prints the message without a traceback and exits 1 (`stages/stage.py`).
    """
