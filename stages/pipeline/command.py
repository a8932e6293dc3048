"""What every command does alike, the stages' among them: options and `--help`, mistakes in plain words, tables."""

import argparse
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from stages.pipeline.errors import UserError


def parser(name: str, description: str | None, epilog: str | None = None) -> argparse.ArgumentParser:
    """Return an option parser for `python -m stages.NAME` whose `--help` keeps the lines of its texts."""
    kept = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(f"python -m stages.{name}", None, description, epilog, formatter_class=kept)


@contextmanager
def plain_errors(name: str, code: int = 1, interrupted: str = "interrupted", before: str = "") -> Iterator[None]:
    """End with plain words and exit `code` after a mistake that the user can mend, with 130 after Ctrl-C.

    The words begin with the `name` of the command or stage; an empty line `before` sets them off from a log.
    """
    try:
        yield
    except (UserError, FloatingPointError) as error:
        warn(f"{before}{name}: {error}")
        sys.exit(code)
    except KeyboardInterrupt:
        warn(f"{before}{name}: {interrupted}")
        sys.exit(130)


def warn(text: str) -> None:
    """Write to stderr: bold and red in a terminal that allows it."""
    plain = not sys.stderr.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    print(text if plain else f"\033[1;31m{text}\033[0m", file=sys.stderr)


def width() -> int:
    """Return how many characters a line of a table may have: as the terminal has, or 120 in a log."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 120


def print_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], caption: str | None = None, padding: int = 1
) -> None:
    """Print a table, `width` wide at most: cells that are too long are folded."""
    from rich import box  # a tenth of a second, which stages need not wait for
    from rich.console import Console
    from rich.table import Column, Table

    columns = (Column(heading, overflow="fold") for heading in headings)
    table = Table(*columns, box=box.SIMPLE_HEAD, caption=caption, padding=(0, padding))
    for row in rows:
        table.add_row(*row)
    Console(width=width()).print(table, markup=False)
