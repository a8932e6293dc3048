"""Writing and reading the tables in metrics/; `stages.artefacts.schema` declares what each holds.

The post's three are wide: a row a layer, a column a number. All others have one tidy schema: keys (layer, then head or
names where a table has them), ``measure``, ``of`` (a matrix or pair), the numbers, and ``status``: why cells are empty.

In memory a wide table is columns by name, of shape (layers,): ``rsa["qk"]``. A tidy one is such columns by measure,
matrix or pair, and further names, of shape (layers,) or (layers, heads): ``inference["rsa", "qk"]["low"]``. The table
of a stage that had nothing to do is empty, and `read_reason` says why.
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
from stages.artefacts.schema import STATUS, TABLES, UNDEFINED, Table
from stages.geometry.names import PAIRS
from stages.pipeline.settings import in_short

#: Heads that are named one by one.
MOST = 5


def write_table(
    path: Path, name: str, content: Mapping[Any, Any] | str, layers: Sequence[int] | None = None, why: str = ""
) -> None:
    """Write a table, sorted by place, then in the order given, and print why it, or some of its cells, are empty.

    Parameters
    ----------
    name : str
        A key of `TABLES`.
    content : mapping or str
        As described above (of a tidy table, "value" by itself will do); or why there is nothing, `OFF` or
        `NOT_APPLICABLE`: one row with that status.
    layers : sequence of int, optional
        The layers' numbers; without them they count from 0.
    why : str
        What is printed behind the reason of each empty cell.

    Raises
    ------
    FloatingPointError
        If a number is not finite, but for NaN where single cells may be empty.
    AssertionError
        If a column is not declared, or one that is needed is missing.
    """
    table = TABLES[name]
    if isinstance(content, str):
        print(f"{name}: {table.reasons[content]}")
        sheet = pd.DataFrame({**dict.fromkeys((*table.keys, *table.labels, *table.columns), ""), "status": [content]})
    else:
        if not table.wide:  # of numbers alone
            content = {k: cells if isinstance(cells, Mapping) else {"value": cells} for k, cells in content.items()}
        parts = {(): content} if table.wide else content
        if layers is None:
            layers = range(next((len(values) for cells in parts.values() for values in cells.values()), 0))
        rows = [_rows(name, table, names, cells, layers) for names, cells in parts.items()]
        columns = {column: np.concatenate([part[column] for part in rows]) for column in rows[0]}
        sheet = pd.DataFrame(columns).sort_values([*table.places], kind="stable")
        for reason in empty_cells(name, content, layers):
            print(f"{reason}{why}")
    sheet.to_csv(path, index=False, lineterminator="\n")


def _rows(
    name: str, table: Table, names: tuple[str, ...], cells: Mapping[str, Any], layers: Sequence[int]
) -> dict[str, np.ndarray]:
    """Return the rows of some names, column by column: a row a place, in NumPy's order."""
    labels = {label: np.ravel(cells[label]) for label in table.labels}
    arrays = {column: np.asarray(values, dtype=float) for column, values in cells.items() if column not in labels}
    if wrong := (arrays.keys() - table.columns) | (table.needed(names) - arrays.keys()):  # others would vanish
        raise AssertionError(f"columns that the table does not declare, or that it lacks: {', '.join(sorted(wrong))}")
    status = table.status(names)
    gaps = status == UNDEFINED
    if bad := [c for c, values in arrays.items() if not (np.isfinite(values) | (gaps & np.isnan(values))).all()]:
        of = f" of {' '.join(names)}" if names else ""
        raise FloatingPointError(f"{name}: not a finite number in {', '.join(bad)}{of}; nothing was written")
    shape = next((values.shape for values in arrays.values()), (len(layers),))
    keys = dict(zip(table.places, zip(*product(layers, *map(range, shape[1:])), strict=True), strict=True))
    text = zip(table.text, (*names[2:], *names[:2]), strict=True)
    keys |= {column: np.full(math.prod(shape), said) for column, said in text}
    numbers = {column: rounded(arrays.get(column, np.full(shape, np.nan)).ravel()) for column in table.columns}
    why = {"status": np.where(np.isnan([*numbers.values()]).any(axis=0), status, "")}
    return keys | labels | numbers | ({} if table.wide else why)


def empty_cells(name: str, content: Mapping[Any, Any], layers: Sequence[int]) -> list[str]:
    """Return the reason of every kind of cell that is empty in this run, and need not be in another, in a line each.

    Parameters as those of `write_table`.
    """
    table = TABLES[name]
    if name == "correlation.csv" and (unpaired := [pair for pair in PAIRS if pair not in content]):
        return [f"{name}: {', '.join(unpaired)} are empty: the matrices differ in their number of units"]
    groups: dict[tuple[str, ...], list[str]] = {}
    for names, cells in () if table.wide else content.items():
        status = table.status(names)
        if status == UNDEFINED and (gaps := np.argwhere(np.isnan(cells["value"]))).size:
            places = _places(gaps, layers, table.places[-1])
            groups.setdefault((names[1], places, STATUS[status]), []).append(names[0])
    return [
        f"{name}: no {', '.join(dict.fromkeys(measures))} of {of} in {places}: {status}"
        for (of, places, status), measures in groups.items()
    ]


def _places(gaps: np.ndarray, layers: Sequence[int], kind: str) -> str:
    """Name layers, shape (gaps, 1), or their heads or ranks, shape (gaps, 2)."""
    if gaps.shape[1] == 1:
        return f"layers {in_short([layers[place] for place in gaps[:, 0]])}"
    more = f" and {len(gaps) - MOST} more" if len(gaps) > MOST else ""
    between = "H" if kind == "head" else f" {kind} "
    return ", ".join(f"L{layers[layer]}{between}{number}" for layer, number in gaps[:MOST]) + more


def read_table(path: Path, layers: Sequence[int] | None = None) -> dict[Any, Any]:
    """Read a table that `write_table` wrote; its file name is a key of `TABLES`.

    As described above, float64. A column that is empty as a whole, where that may be, is left out.

    Raises
    ------
    UserError
        If the file is missing or cut short, lacks a row or a column, has other layers than `layers` (without them:
        than those from 0), or holds anything but numbers.
    """
    table = TABLES[path.name]
    with readable(path, "table"):
        rows = _read(path, table)
        if _nothing(rows, table):
            return {}
        parts = {(): np.arange(len(rows))} if table.wide else rows.groupby([*table.text]).indices
        # Arrays, not frames: taking some rows of a frame takes a millisecond, and `nulls.csv` has 567 groups.
        places, numbers = rows[[*table.places]].to_numpy(dtype=int), rows[[*table.columns]].to_numpy(dtype=float)
        labels, found = {label: rows[label].to_numpy() for label in table.labels}, {}
        for key, some in sorted(parts.items(), key=lambda part: part[1][0]):  # as they come
            names, shape = (*key[-2:], *key[:-2]), _shape(places[some], table, layers)
            cells = {label: values[some] for label, values in labels.items()} | _numbers(numbers[some], table, names)
            found[names] = {column: values.reshape(shape) for column, values in cells.items()}
        if len({len(some) for some in parts.values()}) > 1:
            raise ValueError(f"not a row for each {' and '.join(table.keys)}")
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


def _shape(places: np.ndarray, table: Table, layers: Sequence[int] | None) -> tuple[int, ...]:
    """Return the shape of the arrays that rows at these places make."""
    first, *others = (range(most + 1) for most in places.max(axis=0))
    expected = [layers or first, *others]
    shape = tuple(map(len, expected))
    if math.prod(shape) != len(places) or not np.array_equal(places, list(product(*expected))):
        raise ValueError(f"not a row for each {' and '.join(table.places)}, in order")
    return shape


def _numbers(rows: np.ndarray, table: Table, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return the columns of some rows, but for those that are empty and not needed."""
    needed, columns = table.needed(names), zip(table.columns, rows.T, strict=True)
    kept = {column: values for column, values in columns if column in needed or not np.isnan(values).all()}
    if table.status(names) != UNDEFINED and any(np.isnan(values).any() for values in kept.values()):
        raise ValueError("an empty cell")
    return kept
