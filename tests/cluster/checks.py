"""Checks that print a line each, and are counted."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from daemons import NoServer


class Checks:
    """What was checked so far.

    Parameters
    ----------
    lenient : bool
        Whether servers that do not start are no failure: a container may forbid what they need.

    Attributes
    ----------
    passed, failed : int
        Number of checks.
    """

    def __init__(self, lenient: bool = False) -> None:
        self.lenient = lenient
        self.passed = self.failed = 0
        self._begin = time.monotonic()

    def that(self, holds: bool, what: str, found: object = "") -> None:
        """Count a check and print its line.

        Parameters
        ----------
        holds : bool
            Whether it passed.
        what : str
            What should be so.
        found : object
            What was found instead, printed where the check failed.
        """
        self.passed += bool(holds)
        self.failed += not holds
        line = f"ok    {what}" if holds else f"FAIL  {what}: {str(found).strip()}"
        print(f"{time.monotonic() - self._begin:5.0f} s  {line}", flush=True)

    @contextmanager
    def part(self, title: str) -> Iterator[None]:
        """Name a part; what breaks it off is a failed check, and the next part runs all the same."""
        print(f"\n{title}", flush=True)
        try:
            yield
        except Exception as error:
            if self.lenient and isinstance(error, NoServer):
                return print(f"skipped: {error}", flush=True)
            self.that(False, "runs to its end", f"{type(error).__name__}: {error}")

    def summary(self) -> str:
        """Return the closing line."""
        return f"{self.passed} passed, {self.failed} failed"
