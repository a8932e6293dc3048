"""The pipeline: one module a stage (`python -m stages.rsa` runs stage rsa), and the rooms that the stages share."""

import gc
import hashlib
import sys
from pathlib import Path
from types import TracebackType


def digest_sources(root: Path) -> dict[str, str]:
    """Return the SHA-256 of every source file of this package, by its path from the repository's `root`."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((root / "stages").rglob("*"))
        if path.suffix in {".py", ".mplstyle", ".html", ".css", ".js"}
    }


def _before_it_began(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print one line for what ends a command while it still imports; all else is an error of the code."""
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted, nothing was written", file=sys.stderr)
    elif issubclass(kind, MemoryError):
        print("not enough memory to begin, nothing was written", file=sys.stderr)
    elif isinstance(error, (PermissionError, IsADirectoryError)):
        print(f"{error.filename} cannot be read: {error.strerror}", file=sys.stderr)
    elif isinstance(error, ValueError) and str(error).startswith("Key backend"):  # as Matplotlib is imported
        print(f"the environment variable MPLBACKEND: {error}", file=sys.stderr)
    elif isinstance(error, ModuleNotFoundError) and not (error.name or "stages").startswith("stages"):
        said = f"{sys.executable} lacks {error.name}: run `. .venv/bin/activate` first, or install requirements.txt"
        print(said, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


if sys.argv[:1] == ["-m"]:  # so it is while `python -m stages.X` imports this package
    sys.excepthook = _before_it_began
    # What is imported stays: collecting garbage meanwhile would take a tenth of the time. `plain_errors` ends this.
    gc.disable()

#: Taken before any other module of this package is imported: what a stage's guard compares with at the end
#: (stages/pipeline/stage.py). Taken any later, an edit during the imports would go unnoticed.
SOURCES = digest_sources(Path(__file__).parents[1])
