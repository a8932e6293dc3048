"""Writing and reading the tables in metrics/; `stages.artefacts.schema` declares what each holds.

The post's three are wide: a row a layer, a column a number. All others have one tidy schema: keys (layer, then head or
names where a table has them), ``measure``, ``of`` (a matrix or pair), the numbers, and ``status``: why cells are empty.

In memory a wide table is columns by name, of shape (layers,): ``rsa["qk"]``. A tidy one is such columns by measure,
matrix or pair, and further names, of shape (layers,) or (layers, heads): ``inference["rsa", "qk"]["low"]``; or, where
each has a name of its own in the code (`Table.flat`), by that: ``heads["qk"]``. The table of a stage that had nothing
to do is empty, and `read_reason` says why.
"""

import io
import math
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.artefacts.files import readable, rounded
from stages.artefacts.schema import SINGLE, TABLES, Table, check_declared


def write_table(
    path: Path, name: str, content: Mapping[Any, Any] | str, *layers: Sequence[int], table: Table | None = None
) -> None:
    """Write a table, sorted by place, then in the order given.

    Parameters
    ----------
    path : Path
        Where to.
    name : str
        Its file name, a key of `TABLES`.
    content : mapping or str
        As this module tells; or why there is nothing, `OFF` or `NOT_APPLICABLE`: one row with that status.
    *layers : sequence of int
        The numbers of the rows' layers, for each place that is one; without them a place counts from 0.
    table : Table, optional
        What it holds, where that is not in `TABLES`.

    Raises
    ------
    FloatingPointError
        If a number is not finite, but for NaN where single cells may be empty.
    AssertionError
        If a column is not declared, or one that is needed is missing.
    """
    table = table or TABLES[name]
    if isinstance(content, str):
        sheet = pd.DataFrame({**dict.fromkeys((*table.keys, *table.labels, *table.columns), ""), "status": [content]})
    else:
        rows = [_rows(name, table, names, cells, layers) for names, cells in table.parts(content).items()]
        columns = {name: np.concatenate([part[name] for part in rows]) for name in rows[0]}
        sheet = pd.DataFrame(columns).sort_values([*table.places], kind="stable")
    sheet.to_csv(path, index=False, lineterminator="\n")


def _rows(
    name: str, table: Table, names: tuple[str, ...], cells: Mapping[str, Any], layers: Sequence[Sequence[int]]
) -> dict[str, np.ndarray]:
    """Return the rows of some names, column by column: a row a place, in NumPy's order."""
    labels = {label: np.ravel(cells[label]) for label in table.labels}
    cells = {column: values for column, values in cells.items() if column not in labels}
    check_declared(cells, table.columns, table.needed(names))
    arrays, status = {column: np.asarray(values, dtype=float) for column, values in cells.items()}, table.status(names)
    gaps = status in SINGLE
    if bad := [c for c, values in arrays.items() if not (np.isfinite(values) | (gaps & np.isnan(values))).all()]:
        of = f" of {' '.join(names)}" if names else ""
        raise FloatingPointError(f"{name}: not a finite number in {', '.join(bad)}{of}; nothing was written")
    shape = next((values.shape for values in arrays.values()), tuple(map(len, layers)))
    places = product(*layers, *map(range, shape[len(layers) :]))
    keys = dict(zip(table.places, zip(*places, strict=True), strict=True))
    keys |= {
        column: np.full(math.prod(shape), text)
        for column, text in zip(table.text, (*names[2:], *names[:2]), strict=True)
    }
    numbers = {column: rounded(arrays.get(column, np.full(shape, np.nan)).ravel()) for column in table.columns}
    why = {"status": np.where(np.isnan([*numbers.values()]).any(axis=0), status, "")}
    return keys | labels | numbers | ({} if table.wide else why)


def read_table(path: Path, layers: Sequence[int] | None = None) -> dict[Any, Any]:
    """Read a table that `write_table` wrote.

    Parameters
    ----------
    path : Path
        Its file name is a key of `TABLES`.
    layers : sequence of int, optional
        The numbers that its layers must have; without them they count from 0.

    Returns
    -------
    dict
        As this module tells, float64. A column that is empty as a whole, where that may be, is left out.

    Raises
    ------
    UserError
        If the file is missing or cut short, lacks a row or a column, or holds anything but numbers.
    """
    table = TABLES[path.name]
    with readable(path, "table"):
        rows = _read(path, table)
        if _nothing(rows, table):
            return {}
        places, numbers = rows[[*table.places]].to_numpy(dtype=int), rows[[*table.columns]].to_numpy(dtype=float)
        parts = {(): np.arange(len(rows))} if table.wide else rows.groupby([*table.text]).indices
        found = {}
        for key, some in sorted(parts.items(), key=lambda part: part[1][0]):  # as they come
            names = (*key[-2:], *key[:-2])
            found[names] = _cells(places[some], numbers[some], table, names, layers)
            shape = next(iter(found[names].values())).shape if table.labels else ()
            found[names] |= {label: rows[label].to_numpy()[some].reshape(shape) for label in table.labels}
        if len({len(some) for some in parts.values()}) > 1:
            raise ValueError(f"not a row for each {' and '.join(table.keys)}")
        if table.flat:
            return {name: found[tuple(names)][column] for name, (*names, column) in table.flat.items()}
        return found[()] if table.wide else found


def read_reason(path: Path) -> str:
    """Return why a tidy table as a whole is empty; nothing where it is not. Errors as `read_table`."""
    table = TABLES[path.name]
    with readable(path, "table"):
        return _nothing(_read(path, table), table)


def _read(path: Path, table: Table) -> pd.DataFrame:
    """Read the rows of a table: text as it stands, even where it looks like a number or nothing."""
    text = path.read_text(encoding="utf-8")
    if not text.endswith("\n"):  # cut short, it would read as a line of empty cells
        raise ValueError("its last line is not whole")
    written = {} if table.wide else dict.fromkeys((*table.text, *table.labels, "status"), str)
    gaps = {column: [""] for column in table.columns}
    rows = pd.read_csv(io.StringIO(text), dtype=written, keep_default_na=False, na_values=gaps)
    if missing := [column for column in (*table.keys, *table.columns, *written) if column not in rows]:
        raise ValueError(f"no column {missing[0]}")
    if rows.empty:
        raise ValueError("no row")
    return rows


def _nothing(rows: pd.DataFrame, table: Table) -> str:
    """Return why a tidy table is empty, which has one row without keys then; nothing where it is not."""
    return table.reasons[rows["status"][0]] if not table.wide and len(rows) == 1 and not rows["measure"][0] else ""


def _cells(
    places: np.ndarray, numbers: np.ndarray, table: Table, names: tuple[str, ...], layers: Sequence[int] | None
) -> dict[str, np.ndarray]:
    """Return the columns of some names as arrays, from their rows' places and numbers."""
    needed, columns = table.needed(names), zip(table.columns, numbers.T, strict=True)
    kept = {column: values for column, values in columns if column in needed or not np.isnan(values).all()}
    if table.status(names) not in SINGLE and any(np.isnan(values).any() for values in kept.values()):
        raise ValueError("an empty cell")
    first, *others = (range(most + 1) for most in places.max(axis=0))
    expected = [layers or first, *others]
    shape = tuple(map(len, expected))
    if math.prod(shape) != len(places) or not np.array_equal(places, list(product(*expected))):
        raise ValueError(f"not a row for each {' and '.join(table.places)}, in order")
    return {column: values.reshape(shape) for column, values in kept.items()}
