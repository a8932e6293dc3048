"""Reading and writing files: JSON, and tensors piece by piece; the same bytes on every run.

What goes wrong is told in plain words, and numbers are rounded alike everywhere.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

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


class TensorWriter:
    """A safetensors file written piece by piece: memory need not hold its arrays.

    They are of these `shapes`, by name, and of this `dtype`; what is not written stays zero. The `record` says what
    they are of (words, metric, ...). It goes into the file's one metadata key, as sorted JSON: several keys would be
    written in random order.
    """

    def __init__(
        self,
        path: Path,
        shapes: Mapping[str, tuple[int, ...]],
        record: Mapping[str, Any] | None = None,
        dtype: type[np.floating] = np.float32,
    ) -> None:
        self._dtype = np.dtype(dtype).newbyteorder("<")
        kind, size, end = f"F{8 * self._dtype.itemsize}", self._dtype.itemsize, 0
        header: dict[str, Any] = {}
        if record is not None:
            header["__metadata__"] = {"record": json.dumps(record, sort_keys=True, ensure_ascii=False)}
        for name, shape in sorted(shapes.items()):
            start, end = end, end + size * math.prod(shape)
            header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [start, end]}
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)  # the format asks for aligned data
        self._file = path.open("wb")
        self._file.write(len(text).to_bytes(8, "little") + text)
        self._file.truncate(8 + len(text) + end)
        self._offsets = {name: 8 + len(text) + header[name]["data_offsets"][0] for name in shapes}
        self._shapes = dict(shapes)

    def write(self, name: str, row: int, block: np.ndarray) -> None:
        """Write consecutive rows of an array, from `row` on: shape (rows, ...) as the array's own."""
        shape = self._shapes[name]
        if block.shape[1:] != shape[1:] or row + len(block) > shape[0]:
            raise ValueError(f"rows {row} on of shape {block.shape} do not fit {name} of shape {shape}")
        self._file.seek(self._offsets[name] + self._dtype.itemsize * row * math.prod(shape[1:]))
        self._file.write(np.ascontiguousarray(block, dtype=self._dtype).data)

    def __enter__(self) -> "TensorWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


class Tensor:
    """An array in a file, read when it is indexed: to functions that go through layers in blocks, an array.

    The file is opened anew for every read: what was read of one that stays open counts as the process's memory.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        with safe_open(path, framework="numpy") as file:
            self.shape: tuple[int, ...] = tuple(file.get_slice(name).get_shape())

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, places: Any) -> np.ndarray:
        with readable(self._path, "safetensors file"), safe_open(self._path, framework="numpy") as file:
            return file.get_slice(self._name)[places]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return it whole: NumPy would otherwise ask for one layer more than there are."""
        return np.asarray(self[:], dtype)


class _Record(dict):
    """The record of a file; where it lacks a key, the file is not the one expected."""

    def __init__(self, content: dict[str, Any], path: Path) -> None:
        super().__init__(content)
        self._path = path

    def __missing__(self, key: str) -> Any:
        with readable(self._path, "safetensors file"):
            raise KeyError(f"its record lacks {key}")


class Tensors:
    """A safetensors file with arrays `names`: ``tensors["q"]`` is a `Tensor`, ``tensors["q"][3]`` an ndarray.

    Errors as `readable`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with readable(path, "safetensors file"), safe_open(path, framework="numpy") as file:
            self.names, self._metadata = set(file.keys()), file.metadata() or {}

    def __getitem__(self, name: str) -> Tensor:
        with readable(self._path, "safetensors file"):
            if name not in self.names:
                raise KeyError(f"no tensor {name}")
            return Tensor(self._path, name)

    @cached_property
    def record(self) -> dict[str, Any]:
        """What the arrays are of, as given to `TensorWriter`."""
        with readable(self._path, "safetensors file"):
            return _Record(json.loads(self._metadata["record"]), self._path)

    @property
    def layers(self) -> list[int]:
        """The numbers of the layers that are the first axis of `data/similarity.safetensors`, as the model counts."""
        return self.record.get("layers") or list(range(len(self["q"])))
