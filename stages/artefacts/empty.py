"""Why a cell of a table in metrics/ is empty, and writing tables with a word on it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stages.artefacts.tables import write_table
from stages.geometry.names import PAIRS, Scores
from stages.pipeline.settings import in_short


def empty_cells(name: str, content: Mapping[Any, Any], layers: Sequence[int]) -> list[str]:
    """Return the reason of every kind of empty cell that a table has, in a sentence each.

    Parameters
    ----------
    name : str
        A key of `stages.artefacts.tables.TABLES`.
    content : mapping
        As that module tells.
    layers : sequence of int
        The layers' numbers.
    """
    if not content:
        return []
    reasons = REASONS.get(name, lambda content, layers: [])
    return [f"{name}: {reason}" for reason in reasons(content, layers)]


def write_told(path: Path, name: str, content: Mapping[Any, Any], layers: Sequence[int]) -> None:
    """Write a table as `write_table` does, and say why cells of it are empty."""
    for reason in empty_cells(name, content, layers):
        print(reason)
    write_table(path, name, content, layers)


def _of_correlation(columns: Mapping[str, np.ndarray], layers: Sequence[int]) -> list[str]:
    unpaired = [pair for pair in PAIRS if pair not in columns]
    return [f"{', '.join(unpaired)} are empty: the matrices differ in their number of units"] if unpaired else []


def _of_inference(scores: Scores, layers: Sequence[int]) -> list[str]:
    reasons = {
        "p": "p is empty for {}, which are not tested",
        "low": "low and high are empty for {}, which have no interval",
    }
    without = {
        column: {measure: 0 for (measure, _), cells in scores.items() if column not in cells} for column in reasons
    }
    return [reason.format(", ".join(without[column])) for column, reason in reasons.items() if without[column]]


def _of_controls(scores: Scores, layers: Sequence[int]) -> list[str]:
    # RSA within and across categories is empty where their gap is.
    gaps = {names: cells["value"] for names, cells in scores.items() if names[0].startswith("rsa_gap_matched_")}
    return [
        f"{measure.removeprefix('rsa_gap_')} of {pair}: too few pairs to match in layers {in_short(empty)}"
        for (measure, pair), values in gaps.items()
        if (empty := [layers[place] for place in np.flatnonzero(np.isnan(values))])
    ]


def _of_heads(columns: Mapping[str, np.ndarray], layers: Sequence[int], most: int = 5) -> list[str]:
    reasons = []
    for column, values in columns.items():
        if names := [f"L{layers[layer]}H{head}" for layer, head in np.argwhere(np.isnan(values))]:
            more = f" and {len(names) - most} more" if len(names) > most else ""
            reasons.append(f"{column} of {', '.join(names[:most])}{more} is empty: vectors or similarities do not vary")
    return reasons


def _of_nulls(scores: Scores, layers: Sequence[int]) -> list[str]:
    undrawn = dict.fromkeys(rung for (*_, rung), cells in scores.items() if "p" not in cells)
    return [f"low, high and p are empty for {', '.join(undrawn)}, which are not drawn"]


def _of_sentences(scores: Scores, layers: Sequence[int]) -> list[str]:
    return [
        f"rsa_corrected of {pair}: a matrix is not reliable over sentences in layers {in_short(empty)}"
        for (measure, pair, _), cells in scores.items()
        if measure == "rsa_corrected"
        and (empty := [layers[place] for place in np.flatnonzero(np.isnan(cells["value"]))])
    ]


REASONS = {
    "correlation.csv": _of_correlation,
    "inference.csv": _of_inference,
    "controls.csv": _of_controls,
    "sentences.csv": _of_sentences,
    "heads.csv": _of_heads,
    "nulls.csv": _of_nulls,
    "head_nulls.csv": _of_heads,
}
