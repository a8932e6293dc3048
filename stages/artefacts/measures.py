"""The long tables: a row a layer, measure, and matrix or pair; with intervals, and empty cells where there are none."""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from stages.artefacts.grids import DECIMALS, read_csv
from stages.artefacts.store import readable

#: By measure, by matrix or pair, by column: an array of shape (layers,).
Measures = Mapping[str, Mapping[str, Mapping[str, np.ndarray]]]

KEYS = ("layer", "measure", "matrix_or_pair")

#: The columns of each long table, after `KEYS`.
LONG_TABLES = {
    "inference.csv": ("value", "low", "high", "p", "p_familywise"),
    "controls.csv": ("value", "low", "high"),
}


def write_measures(path: Path, name: str, measures: Measures, undefined: Collection[str] = ()) -> None:
    """Write a long table, sorted by layer, then in the order given.

    Parameters
    ----------
    path : Path
        Where to.
    name : str
        A key of `LONG_TABLES`.
    measures : mapping
        A column that is not given stays empty; no measure at all leaves the header.
    undefined : collection of str
        Measures that may be NaN, which becomes an empty cell.

    Raises
    ------
    FloatingPointError
        If another number is not finite.
    """
    columns = LONG_TABLES[name]
    rows = []
    for order, (measure, by_name) in enumerate(measures.items()):
        for which, cells in by_name.items():
            if bad := [c for c, v in cells.items() if measure not in undefined and not np.isfinite(v).all()]:
                raise FloatingPointError(f"{name}: not a finite number in {bad[0]} of {measure}; nothing was written")
            part = pd.DataFrame({column: cells.get(column, np.nan) for column in columns}, dtype=float)
            part.insert(0, "matrix_or_pair", which)
            part.insert(0, "measure", measure)
            part.insert(0, "layer", np.arange(len(part)))
            rows.append(part.assign(order=order))
    if rows:
        table = pd.concat(rows).sort_values(["layer", "order"], kind="stable")[[*KEYS, *columns]]
        table[list(columns)] = table[list(columns)].round(DECIMALS) + 0.0  # + 0.0 turns -0.0 into 0.0
    else:
        table = pd.DataFrame(columns=[*KEYS, *columns])
    table.to_csv(path, index=False, lineterminator="\n")


def read_measures(path: Path) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Read a table that `write_measures` wrote.

    Parameters
    ----------
    path : Path
        Its file name is a key of `LONG_TABLES`.

    Returns
    -------
    dict
        By measure, by matrix or pair, by column: float64, shape (layers,), NaN where a cell is empty. Empty where the
        table holds its header only.

    Raises
    ------
    UserError
        If the file is missing, cut short, lacks a column or holds text for a number.
    """
    columns = LONG_TABLES[path.name]
    with readable(path, "table"):
        table = read_csv(path)
        if list(table.columns) != [*KEYS, *columns]:
            raise ValueError(f"the columns are not {', '.join([*KEYS, *columns])}")
        layers = table["layer"].nunique()
        found: dict[str, dict[str, dict[str, np.ndarray]]] = {}
        for (measure, which), part in table.groupby(["measure", "matrix_or_pair"], sort=False):
            if list(part["layer"]) != list(range(layers)):
                raise ValueError(f"{measure} of {which} lacks a layer")
            found.setdefault(measure, {})[which] = {column: part[column].to_numpy(dtype=float) for column in columns}
    return found


def empty_cells(inference: Measures, controls: Measures) -> list[str]:
    """Give the reason of every kind of empty cell that the two tables have, in a sentence each."""
    notes = []
    if untested := [name for name, by_name in inference.items() if _empty(by_name, "p")]:
        notes.append(f"inference.csv: p is empty for {', '.join(untested)}, which are not tested")
    if points := [name for name, by_name in inference.items() if _empty(by_name, "low")]:
        notes.append(f"inference.csv: low and high are empty for {', '.join(points)}, which have no interval")
    found = unmatched(controls)
    return notes + [
        f"controls.csv: {what}: too few pairs to match in layers {layers}" for what, layers in found.items()
    ]


def _empty(by_name: Mapping[str, Mapping[str, np.ndarray]], column: str) -> bool:
    return all(np.isnan(cells[column]).all() for cells in by_name.values())


def unmatched(controls: Measures) -> dict[str, str]:
    """List the layers of `controls.csv` in which pairs could not be matched: {"matched_first of qk": "0-3, 7"}."""
    found = {}
    for measure, by_name in controls.items():
        if measure.startswith("rsa_gap_matched_"):  # within and across are empty where their gap is
            for which, cells in by_name.items():
                if len(layers := np.flatnonzero(np.isnan(cells["value"]))):
                    found[f"{measure.removeprefix('rsa_gap_')} of {which}"] = _as_ranges(layers)
    return found


def _as_ranges(numbers: np.ndarray) -> str:
    """Write ascending whole numbers in short: 0-3, 7."""
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
