"""Why single cells of a table in metrics/ are empty, in the log and in the summary's notes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stages.artefacts.schema import SINGLE, STATUS, TABLES
from stages.artefacts.tables import write_table
from stages.geometry.names import PAIRS
from stages.pipeline.settings import in_short

#: Heads that are named one by one.
MOST = 5


def empty_cells(name: str, content: Mapping[Any, Any], layers: Sequence[int]) -> list[str]:
    """Return the reason of every kind of cell that is empty in this run, and need not be in another, in a line each.

    Parameters
    ----------
    name : str
        A key of `stages.artefacts.schema.TABLES`.
    content : mapping
        As that module tells.
    layers : sequence of int
        The layers' numbers.
    """
    table = TABLES[name]
    if name == "correlation.csv" and (unpaired := [pair for pair in PAIRS if pair not in content]):
        return [f"{name}: {', '.join(unpaired)} are empty: the matrices differ in their number of units"]
    groups: dict[tuple[str, ...], list[str]] = {}
    for names, cells in () if table.wide else table.parts(content).items():
        status = table.status(names)
        if status in SINGLE and (gaps := np.argwhere(np.isnan(cells["value"]))).size:
            groups.setdefault((names[1], _places(gaps, layers), STATUS[status]), []).append(names[0])
    return [
        f"{name}: no {', '.join(measures)} of {of} in {places}: {status}"
        for (of, places, status), measures in groups.items()
    ]


def _places(gaps: np.ndarray, layers: Sequence[int]) -> str:
    """Name layers, shape (gaps, 1), or heads, shape (gaps, 2)."""
    if gaps.shape[1] == 1:
        return f"layers {in_short([layers[place] for place in gaps[:, 0]])}"
    more = f" and {len(gaps) - MOST} more" if len(gaps) > MOST else ""
    return ", ".join(f"L{layers[layer]}H{head}" for layer, head in gaps[:MOST]) + more


def write_told(path: Path, name: str, content: Mapping[Any, Any] | str, layers: Sequence[int]) -> None:
    """Write a table as `write_table` does, and print why it, or cells of it, are empty."""
    whole = isinstance(content, str)
    for reason in [f"{name}: {TABLES[name].reasons[content]}"] if whole else empty_cells(name, content, layers):
        print(reason)
    write_table(path, name, content, layers)
