"""The tables in metrics/: what each holds, and how it is written and read.

A row of a table is one of its keys: a place (layer, as the model numbers it; head, counted from 0), and where a table
is long, names (measure, matrix or pair). In memory a table is columns by name, each an array with an axis for every
place (``rsa["qk"]`` has shape (layers,)); a long one has such columns for every combination of names
(``inference["rsa", "qk"]["low"]``).
A table of a stage that is switched off is empty.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.artefacts.files import readable, rounded
from stages.geometry.names import MATRICES, PAIRS, ROBUST_COMPARISONS, TRANSFORM_NAMES


@dataclass(frozen=True)
class Table:
    """What a table holds.

    Attributes
    ----------
    columns : tuple of str
        The numbers.
    places, names : tuple of str
        The keys before them: those that are numbers, and those that are text.
    optional : tuple of str
        Columns that may be left out; in a long table, for some of its names.
    gaps : str, optional
        Pattern of the names whose cells may be empty one by one (NaN): ``*`` for all.
    switch : str, optional
        The setting that switches its stage off, which leaves the header.
    """

    columns: tuple[str, ...]
    places: tuple[str, ...] = ("layer",)
    names: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    gaps: str | None = None
    switch: str | None = None

    @property
    def keys(self) -> list[str]:
        """The columns that say what a row is of."""
        return [*self.places, *self.names]

    def may_have_gaps(self, names: tuple[str, ...]) -> bool:
        """Return whether single cells may be empty."""
        return self.gaps is not None and fnmatchcase(" ".join(names), self.gaps)


#: The names of the tables that have a row for each layer, measure, and matrix or pair.
MEASURES = ("measure", "matrix_or_pair")

#: What projections of each head's own spectrum give in random orientation: mean over draws, and range.
HEAD_NULLS = tuple(f"{name}_null{end}" for name in (*MATRICES, *PAIRS) for end in ("", "_low", "_high"))

TABLES = {
    # K and V can be narrower than Q, and V than K: then there is nothing to pair its units with.
    "correlation.csv": Table(
        (*PAIRS, *(f"{pair}_target" for pair in PAIRS)),
        optional=(*PAIRS, *(f"{pair}_target" for pair in PAIRS)),
    ),
    "rsa.csv": Table((*PAIRS, *(f"{pair}_{kind}" for kind in ("within", "across") for pair in PAIRS))),
    "separability.csv": Table(
        (
            *MATRICES,
            *(f"{name}_{kind}_{what}" for name in MATRICES for kind in ("within", "across") for what in ("mean", "sd")),
        )
    ),
    "inference.csv": Table(
        ("value", "low", "high", "p", "p_familywise"),
        names=MEASURES,
        optional=("low", "high", "p", "p_familywise"),
        switch="inference.enabled",
    ),
    # Of some layers too few pairs within and across categories can be matched.
    "controls.csv": Table(("value", "low", "high"), names=MEASURES, gaps="*_matched_*", switch="controls.enabled"),
    "robustness.csv": Table(
        (
            *(
                f"{pair}_{transform}_{score}"
                for transform in TRANSFORM_NAMES
                for score in ROBUST_COMPARISONS
                for pair in PAIRS
            ),
            *(f"{name}_{transform}" for transform in TRANSFORM_NAMES for name in MATRICES),
        ),
        switch="controls.enabled",
    ),
    # A head whose vectors or similarities do not vary has no score.
    "heads.csv": Table((*MATRICES, *PAIRS), places=("layer", "head"), gaps="*", switch="heads.enabled"),
    "nulls.csv": Table(
        ("value", "low", "high", "p", "p_familywise"),
        names=("transform", "comparison", *MEASURES, "rung"),
        optional=("low", "high", "p", "p_familywise"),
        switch="nulls.enabled",
        gaps="*partial_rsa*",
    ),
    # Single sentences have no interval; where a matrix is not reliable at all, there is nothing to correct by.
    "sentences.csv": Table(
        ("value", "low", "high"),
        names=(*MEASURES, "sentence"),
        optional=("low", "high"),
        gaps="rsa_corrected *",
        switch="sentences.enabled",
    ),
    "spectra.csv": Table(
        (
            *(f"{name}_participation" for name in MATRICES),
            *(f"{pair}_{what}" for what in ("overlap", "overlap_random") for pair in PAIRS),
        ),
        switch="nulls.enabled",
    ),
    "head_nulls.csv": Table(HEAD_NULLS, places=("layer", "head"), gaps="*", switch="nulls.enabled"),
}


def write_table(
    path: Path, name: str, content: Mapping[Any, Any], *layers: Sequence[int], table: Table | None = None
) -> None:
    """Write a table, sorted by place, then in the order given.

    Parameters
    ----------
    path : Path
        Where to.
    name : str
        Its file name, a key of `TABLES`.
    content : mapping
        As this module tells; empty where its stage is switched off.
    *layers : sequence of int
        The numbers of the rows' layers, for each place that is one; without them a place counts from 0.
    table : Table, optional
        What it holds, where that is not in `TABLES`.

    Raises
    ------
    FloatingPointError
        If a number is not finite, but for NaN where there may be gaps.
    """
    table = table or TABLES[name]
    parts = content if table.names or (table.switch and not content) else {(): content}
    rows = [_rows(name, table, names, columns, layers) for names, columns in parts.items()]
    sheet = pd.concat(rows) if rows else pd.DataFrame(columns=[*table.keys, *table.columns])
    sheet.sort_values([*table.places], kind="stable").to_csv(path, index=False, lineterminator="\n")


def _rows(
    name: str, table: Table, names: tuple[str, ...], columns: Mapping[str, np.ndarray], layers: Sequence[Sequence[int]]
) -> pd.DataFrame:
    """Return the rows of some names: a row a place, in NumPy's order."""
    given = [column for column in table.columns if column in columns or column not in table.optional]
    arrays = {column: np.asarray(columns[column], dtype=float) for column in given}
    gaps = table.may_have_gaps(names)
    if bad := [
        column for column in given if not (np.isfinite(arrays[column]) | (gaps & np.isnan(arrays[column]))).all()
    ]:
        of = f" of {' '.join(names)}" if names else ""
        raise FloatingPointError(f"{name}: not a finite number in {', '.join(bad)}{of}; nothing was written")
    places = product(*layers, *map(range, arrays[given[0]].shape[len(layers) :]))
    keys = dict(zip(table.places, zip(*places, strict=True), strict=True)) | dict(zip(table.names, names, strict=True))
    numbers = {column: rounded(arrays[column].ravel()) if column in arrays else np.nan for column in table.columns}
    return pd.DataFrame(keys | numbers)


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
        text = path.read_text(encoding="utf-8")
        if not text.endswith("\n"):  # cut short, it would read as a line of empty cells
            raise ValueError("its last line is not whole")
        rows = pd.read_csv(io.StringIO(text))
        if missing := [column for column in (*table.keys, *table.columns) if column not in rows]:
            raise ValueError(f"no column {missing[0]}")
        if rows.empty and table.switch:
            return {}
        if rows.empty:
            raise ValueError("no row")
        places, numbers = rows[[*table.places]].to_numpy(dtype=int), rows[[*table.columns]].to_numpy(dtype=float)
        if not table.names:
            return _columns(places, numbers, table, (), layers)
        parts = sorted(rows.groupby([*table.names]).indices.items(), key=lambda part: part[1][0])  # as they come
        found = {names: _columns(places[some], numbers[some], table, names, layers) for names, some in parts}
        if len({len(some) for _, some in parts}) > 1:
            raise ValueError(f"not a row for each {' and '.join(table.keys)}")
        return found


def _columns(
    places: np.ndarray, numbers: np.ndarray, table: Table, names: tuple[str, ...], layers: Sequence[int] | None
) -> dict[str, np.ndarray]:
    """Return the columns of some names as arrays, from their rows' places and numbers."""
    kept = {
        column: values
        for column, values in zip(table.columns, numbers.T, strict=True)
        if column not in table.optional or not np.isnan(values).all()
    }
    if not (table.may_have_gaps(names) or all(np.isfinite(values).all() for values in kept.values())):
        raise ValueError("an empty cell")
    first, *others = (range(most + 1) for most in places.max(axis=0))
    expected = [layers or first, *others]
    shape = tuple(map(len, expected))
    if math.prod(shape) != len(places) or not np.array_equal(places, list(product(*expected))):
        raise ValueError(f"not a row for each {' and '.join(table.places)}, in order")
    return {column: values.reshape(shape) for column, values in kept.items()}
