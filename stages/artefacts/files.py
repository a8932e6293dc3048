"""Reading and writing files: what goes wrong in plain words, the same rounding everywhere, JSON."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from stages.pipeline import messages
from stages.pipeline.errors import UserError

#: Decimals of every number in a table or summary.
DECIMALS = 6
#: What is raised of a file of this pipeline that is cut short.
UNREADABLE = SafetensorError, ValueError, KeyError, OSError


def rounded(values: Any) -> Any:
    """Round numbers (an array, a data frame, a float) to `DECIMALS`; + 0.0 turns -0.0 into 0.0."""
    # Python's own rounding of a float is exact where two decimals are equally near, NumPy's is not.
    return (round(values, DECIMALS) if isinstance(values, float) else np.round(values, DECIMALS)) + 0.0


@contextmanager
def readable(path: Path, kind: str, setting: str = "") -> Iterator[None]:
    """Raise a `UserError` in plain words where a file is missing, cut short or not what it should be.

    A file that a `setting` names is the user's, and is not to be deleted.
    """
    try:
        yield
    except Exception as error:
        # Of a format that others write, its reader raises whatever it meets.
        if isinstance(error, (UserError, MemoryError)) or not (setting or isinstance(error, UNREADABLE)):
            raise
        if not path.exists():
            raise UserError(messages.NOT_MADE.format(path)) from None
        if path.is_dir() or not os.access(path, os.R_OK):  # safetensors says of both that there is no file
            raise UserError((messages.IS_FOLDER if path.is_dir() else messages.FORBIDDEN).format(path)) from None
        reason = (str(error.args[0] if isinstance(error, KeyError) else error) or type(error).__name__).splitlines()[0]
        if setting:
            raise UserError(messages.NO_SUCH_KIND.format(setting, path, kind, reason)) from None
        raise UserError(messages.CUT_SHORT.format(path, kind, reason)) from None


def write_json(path: Path, content: Any) -> None:
    """Write JSON, indented, floats rounded to 6 decimals; a `FloatingPointError` if a number is not finite."""
    try:
        exact = json.dumps(content, default=np.generic.item, allow_nan=False)
    except ValueError:
        raise FloatingPointError(f"{path.name}: a number that is not finite; nothing is written") from None
    content = json.loads(exact, parse_float=lambda text: rounded(float(text)))
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; errors as `readable`."""
    with readable(path, "JSON file"):
        return json.loads(path.read_text(encoding="utf-8"))
