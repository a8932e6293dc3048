"""Reading and writing artefacts: tensors, tables and JSON, checked on the way in, the same bytes on every run."""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from stages.artefacts.grids import DECIMALS, read_grid, write_grid
from stages.pipeline.errors import UserError

MATRICES = ("q", "k", "v")
PAIRS = ("qk", "qv", "kv")

#: The choices that `robustness.csv` compares.
TRANSFORMS = ("none", "center", "zscore")
COMPARISONS = ("pearson", "spearman")

#: What random projections of the input to a head's width give: mean over draws, and range.
HEAD_FLOORS = tuple(f"{measure}_floor{end}" for measure in ("d", "rsa") for end in ("", "_low", "_high"))


@dataclass(frozen=True)
class Table:
    """What a table holds: its columns, and what a row is one of.

    Attributes
    ----------
    columns : tuple of str
        The numbers.
    keys : tuple of str
        The columns before them, which count a row's place from 0. Each is an axis of a column's array.
    optional : tuple of str
        Columns that may be empty as a whole.
    gaps : bool
        Whether single cells may be empty: NaN in a column's array.
    """

    columns: tuple[str, ...]
    keys: tuple[str, ...] = ("layer",)
    optional: tuple[str, ...] = ()
    gaps: bool = False


TABLES = {
    # K and V can be narrower than Q: then there is nothing to pair its units with.
    "correlation.csv": Table(
        (*PAIRS, *(f"{pair}_target" for pair in PAIRS)), optional=("qk", "qv", "qk_target", "qv_target")
    ),
    "rsa.csv": Table((*PAIRS, *(f"{pair}_{kind}" for kind in ("within", "across") for pair in PAIRS))),
    "separability.csv": Table(
        (
            *MATRICES,
            *(f"{name}_{kind}_{what}" for name in MATRICES for kind in ("within", "across") for what in ("mean", "sd")),
        )
    ),
    "robustness.csv": Table(
        (
            *(f"{pair}_{transform}_{score}" for transform in TRANSFORMS for score in COMPARISONS for pair in PAIRS),
            *(f"{name}_{transform}" for transform in TRANSFORMS for name in MATRICES),
        )
    ),
    # Without the controls there is no floor; a head whose vectors or similarities do not vary has no score.
    "heads.csv": Table((*MATRICES, *PAIRS, *HEAD_FLOORS), keys=("layer", "head"), optional=HEAD_FLOORS, gaps=True),
}


@contextmanager
def readable(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever goes wrong with a file into plain words."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path} is not there: run `dvc repro`, which makes it") from None
    except (SafetensorError, ValueError, KeyError, OSError) as error:
        reason = (str(error).strip("'") or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{path} is cut short or not a {kind} of this pipeline ({reason}):\ndelete it and run `dvc repro`"
        ) from None


def write_tensors(
    path: Path,
    tensors: Mapping[str, np.ndarray],
    record: Mapping[str, Any] | None = None,
    dtype: type[np.floating] = np.float32,
) -> None:
    """Write arrays to a safetensors file.

    Parameters
    ----------
    path : Path
        Where to.
    tensors : mapping of str to ndarray
        Name → array.
    record : mapping, optional
        What the arrays are of (words, metric, ...). It goes into the file's one metadata key, as sorted JSON: several
        keys would be written in random order.
    dtype : numpy floating type
        What the arrays are stored as.
    """
    arrays = {name: np.ascontiguousarray(array, dtype=dtype) for name, array in tensors.items()}
    save_file(arrays, path, metadata=None if record is None else _metadata(record))


def _metadata(record: Mapping[str, Any]) -> dict[str, str]:
    return {"record": json.dumps(record, sort_keys=True, ensure_ascii=False)}


class TensorWriter:
    """A safetensors file written piece by piece: memory need not hold its arrays.

    Parameters
    ----------
    path : Path
        Where to.
    shapes : mapping of str to tuple of int
        Name → shape; what is not written stays zero.
    record, dtype
        As `write_tensors`.
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
        header: dict[str, Any] = {} if record is None else {"__metadata__": _metadata(record)}
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


class Tensors:
    """An open safetensors file: arrays are read when asked for, whole or in part."""

    def __init__(self, file: Any, path: Path) -> None:
        self._file, self._path = file, path
        self.names = set(file.keys())

    def __getitem__(self, name: str) -> Any:
        """Give a lazy slice: index it (``tensors["q"][:, -1]``) for an ndarray."""
        with readable(self._path, "safetensors file"):
            if name not in self.names:
                raise KeyError(f"no tensor {name}")
            return self._file.get_slice(name)

    def shape(self, name: str) -> tuple[int, ...]:
        """Give the shape of one tensor without reading it."""
        return tuple(self[name].get_shape())

    @property
    def record(self) -> dict[str, Any]:
        """What the arrays are of, as given to `write_tensors`."""
        with readable(self._path, "safetensors file"):
            return json.loads((self._file.metadata() or {})["record"])


@contextmanager
def open_tensors(path: Path) -> Iterator[Tensors]:
    """Open a safetensors file that this pipeline wrote.

    Raises
    ------
    UserError
        If it is missing, cut short or not what it should be.
    """
    with readable(path, "safetensors file"):
        opened = safe_open(path, framework="numpy")
    with opened as file:
        yield Tensors(file, path)


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of a safetensors file that this pipeline wrote; errors as `open_tensors`."""
    with open_tensors(path) as tensors:
        return {name: tensors[name][:] for name in sorted(tensors.names)}


def read_record(path: Path) -> dict[str, Any]:
    """Read what the arrays of a safetensors file are of; errors as `open_tensors`."""
    with open_tensors(path) as tensors:
        return tensors.record


def write_table(path: Path, name: str, columns: Mapping[str, np.ndarray]) -> None:
    """Write a table of the pipeline.

    Parameters
    ----------
    path : Path
        Where to.
    name : str
        A key of `TABLES`.
    columns : mapping of str to ndarray
        The columns that `TABLES` lists, an axis for each of its keys; without a number where the stage is switched off.

    Raises
    ------
    FloatingPointError
        If a number is not finite, but for NaN where the table may have gaps.
    """
    table = TABLES[name]
    given = [column for column in table.columns if column in columns or column not in table.optional]
    try:
        write_grid(path, table.keys, table.columns, {column: columns[column] for column in given}, table.gaps)
    except FloatingPointError as error:
        raise FloatingPointError(f"{name}: {error}; nothing was written") from None


def read_table(path: Path, may_be_empty: bool = False) -> dict[str, np.ndarray]:
    """Read a table that `write_table` wrote.

    Parameters
    ----------
    path : Path
        Its file name is a key of `TABLES`.
    may_be_empty : bool
        Whether its stage can be switched off, which leaves the header.

    Returns
    -------
    dict of str to ndarray
        Column → float64, as `write_table` took it: shape (layers,) for one key, (layers, heads) for two.

    Raises
    ------
    UserError
        If the file is missing, lacks a row or a column, or holds anything but numbers.
    """
    table = TABLES[path.name]
    with readable(path, "table"):
        columns = read_grid(path, table.keys, table.columns, table.optional, table.gaps)
        if not (next(iter(columns.values())).size or may_be_empty):
            raise ValueError("no row")
    return columns


def write_json(path: Path, content: Any) -> None:
    """Write JSON, indented, floats rounded to 6 decimals.

    Raises
    ------
    FloatingPointError
        If a number is not finite.
    """
    try:
        text = json.dumps(_rounded(content), indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise FloatingPointError(f"{path.name}: a number that is not finite; nothing is written") from None
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; errors as `open_tensors`."""
    with readable(path, "JSON file"):
        return json.loads(path.read_text(encoding="utf-8"))


def _rounded(content: Any) -> Any:
    """Round every float below `content`; numpy's scalars become Python's own."""
    if isinstance(content, Mapping):
        return {key: _rounded(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_rounded(value) for value in content]
    if isinstance(content, np.generic):
        content = content.item()
    return round(content, DECIMALS) + 0.0 if isinstance(content, float) else content
