"""What every command does alike, the stages' among them: options and `--help`, mistakes in plain words, tables."""

import argparse
import errno
import gc
import io
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from stages.pipeline import messages
from stages.pipeline.errors import UserError

#: What ends a command in order; Windows has no SIGHUP.
ENDS = tuple(dict.fromkeys((signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))))
#: Errors of the machine, not of the code: a disk that is full, read-only or broken, a file or folder that may not be
#: written, a file instead of a folder or the other way round, too long a name.
REFUSED = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO),
    *(errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG),
}


def parser(name: str, description: str | None, epilog: str | None = None) -> argparse.ArgumentParser:
    """Return an option parser for `python -m stages.NAME` whose `--help` keeps the lines of its texts."""
    kept = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(f"python -m stages.{name}", None, description, epilog, formatter_class=kept)


@contextmanager
def plain_errors(name: str, code: int = 1, interrupted: str = "interrupted", before: str = "") -> Iterator[None]:
    """End with plain words and exit `code` after what the user can mend, with 130 after Ctrl-C, SIGTERM or SIGHUP.

    The words begin with the `name` of the command or stage; an empty line `before` sets them off from a log. Characters
    that the console lacks are printed as their codes. Turns garbage collection on again, and exempts what was imported.
    """
    if not gc.isenabled():  # since `stages/__init__.py`
        gc.freeze()
        gc.enable()
    for which in ("stdout", "stderr"):
        if (stream := getattr(sys, which)) is None:  # a shell has closed it: `>&-`
            setattr(sys, which, io.StringIO())
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        if sys.flags.optimize > 1:
            raise UserError(messages.NO_DOCSTRINGS)
        with _interrupted_by_signals():
            yield
            sys.stdout.flush()
        return
    except (UserError, FloatingPointError) as error:
        said = str(error)
    except KeyboardInterrupt as error:
        said, code = str(error) or interrupted, 130
    except MemoryError as error:
        said = f"{messages.NO_MEMORY}: {error}".removesuffix(": ")
    except RuntimeError as error:
        if not no_memory(error):
            raise
        said = messages.NO_MEMORY_OF_TORCH
    except BrokenPipeError:  # who read it has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(code)
    except OSError as error:
        said = ": ".join(filter(None, (str(error.filename or ""), os.strerror(error.errno or 0))))
        if error.errno == errno.ENOENT and ".tmp" in said:  # of `outputs.py`
            said = messages.TWO_RUNS.format(error.filename)
        elif error.errno not in REFUSED:
            raise
    warn(f"{before}{name}: {said}")
    sys.exit(code)


def no_memory(error: BaseException) -> bool:
    """Return whether an error says that torch found too little memory; known by its text, as torch is not imported."""
    said = "out of memory|(can't allocate|not enough) memory"
    return isinstance(error, RuntimeError) and bool(re.search(said, str(error)))


@contextmanager
def signals_held(then: str) -> Iterator[None]:
    """Delay signals during a few milliseconds' work; if one came, raise ``KeyboardInterrupt(then)`` after it."""
    came = []
    ours = [number for number in ENDS if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    held = {number: signal.signal(number, lambda number, _: came.append(number)) for number in ours}
    try:
        yield
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt(then)


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP interrupt as Ctrl-C does, so that temporary files are removed; not if they are ignored."""
    own = os.getpid()

    def interrupt(number: int, _: FrameType | None) -> None:
        if os.getpid() != own:  # a process forked from this one has no files to remove
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        raise KeyboardInterrupt

    ours = [number for number in ENDS if signal.getsignal(number) is signal.SIG_DFL]
    try:
        for number in ours:
            signal.signal(number, interrupt)
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn what goes wrong with a file that the user named into plain words, which begin with `what`."""
    try:
        yield
    except OSError as error:
        raise UserError(messages.UNWRITABLE.format(what, os.strerror(error.errno) if error.errno else error)) from None


def need_commit() -> None:
    """Raise a `UserError` where there is no Git repository, or one without a commit: an archive that was unpacked."""
    from dvc.scm import SCM, SCMError  # a third of a second, which --help need not wait for

    with suppress(SCMError):
        if not SCM(".").no_commits:
            return
    raise UserError(messages.NO_COMMIT)


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
