"""Tables of numbers as CSV: a row a place in arrays of one shape, such as a layer, or a head of a layer."""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

#: Decimals of every number in a table or summary.
DECIMALS = 6


def write_grid(
    path: Path, keys: Sequence[str], names: Sequence[str], columns: Mapping[str, np.ndarray], gaps: bool = False
) -> None:
    """Write arrays of one shape as CSV, in NumPy's order.

    Parameters
    ----------
    path : Path
        Where to.
    keys : sequence of str
        A name for each axis: the first columns, which count from 0.
    names : sequence of str
        The columns that follow them.
    columns : mapping of str to ndarray
        Column → numbers, shape (layers,) for one key, (layers, heads) for two; a column that is not given stays empty.
        Empty arrays leave the header alone.
    gaps : bool
        Whether NaN is an empty cell and no error.

    Raises
    ------
    FloatingPointError
        If a number is not finite.
    """
    arrays = {name: np.asarray(values, dtype=float) for name, values in columns.items()}
    if bad := [name for name, values in arrays.items() if not (np.isfinite(values) | (gaps & np.isnan(values))).all()]:
        raise FloatingPointError(f"not a finite number in {', '.join(bad)}")
    places = np.indices(next(iter(arrays.values())).shape).reshape(len(keys), -1)
    numbers = pd.DataFrame({name: values.ravel() for name, values in arrays.items()}).reindex(columns=list(names))
    numbers = numbers.round(DECIMALS) + 0.0  # + 0.0 turns -0.0 into 0.0
    table = pd.concat([pd.DataFrame(places.T, columns=list(keys)), numbers], axis=1)
    table.to_csv(path, index=False, lineterminator="\n")


def read_csv(path: Path) -> pd.DataFrame:
    """Read a table whose cells may be empty.

    Raises
    ------
    ValueError
        If its last line is not whole: cut short, it would read as a line of empty cells.
    """
    text = path.read_text(encoding="utf-8")
    if not text.endswith("\n"):
        raise ValueError("its last line is not whole")
    return pd.read_csv(io.StringIO(text))


def read_grid(
    path: Path, keys: Sequence[str], columns: Sequence[str], optional: Sequence[str] = (), gaps: bool = False
) -> dict[str, np.ndarray]:
    """Read what `write_grid` wrote.

    Parameters
    ----------
    path : Path
    keys, columns : sequence of str
        As written.
    optional : sequence of str
        Columns that are left out if they are empty as a whole.
    gaps : bool
        Whether a cell may be empty: NaN.

    Returns
    -------
    dict of str to ndarray of float64
        The arrays as they were, rounded.

    Raises
    ------
    ValueError
        If a row or column is missing or a cell holds no number.
    """
    table = read_csv(path)
    if missing := [column for column in (*keys, *columns) if column not in table]:
        raise ValueError(f"no column {missing[0]}")
    if table.empty:
        return {column: np.empty((0,) * len(keys)) for column in columns}
    columns = [column for column in columns if column not in optional or table[column].notna().any()]
    values = table[columns].to_numpy(dtype=float)
    if not (gaps or np.isfinite(values).all()):
        raise ValueError("an empty cell")
    places = table[list(keys)].to_numpy(dtype=int).T
    shape = tuple(places.max(axis=1) + 1)
    if math.prod(shape) != len(table) or not np.array_equal(places, np.indices(shape).reshape(len(keys), -1)):
        raise ValueError(f"not a row for each {' and '.join(keys)}, in order")
    return {column: values[:, place].reshape(shape) for place, column in enumerate(columns)}
