"""Checks that print a line each, and are counted."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Checks:
    """What was checked so far."""

    def __init__(self) -> None:
        self.passed = self.failed = 0
        self._begin = time.monotonic()

    def that(self, holds: bool, what: str, found: object = "") -> None:
        """Count a check and print what should be so; where it is not, what was found instead."""
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
            self.that(False, "runs to its end", f"{type(error).__name__}: {error}")
