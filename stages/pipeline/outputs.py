"""Temporary files: an output is written beside its place, and renamed when all is well."""

import shutil
from collections.abc import Iterable
from pathlib import Path


def temporary(path: str | Path) -> Path:
    """Return where an output is written until it is published."""
    return Path(path).with_name(f".{Path(path).name}.tmp")


def publish(path: str) -> None:
    """Rename what was written to `temporary` to its own name."""
    if Path(path).exists() and (Path(path).is_dir() or temporary(path).is_dir()):
        # What is there waits for the new: a folder cannot be renamed onto another, nor onto a file.
        Path(path).replace(temporary(f"{path}.replaced"))
    temporary(path).replace(path)


def sweep(paths: Iterable[str]) -> None:
    """Remove what a stage that failed, or was killed, left of its outputs; what was there before is there again."""
    for path in paths:
        earlier = temporary(f"{path}.replaced")
        if earlier.exists() and not Path(path).exists():  # killed between the two renames of a folder
            earlier.replace(path)
        for left in (temporary(path), earlier):
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink(missing_ok=True)
