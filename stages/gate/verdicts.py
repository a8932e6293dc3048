"""Metrics against those of another run: files as tables of cells, a tolerance for each, a verdict on each."""

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, RootModel

from stages.artefacts.schema import TABLES
from stages.pipeline.errors import UserError
from stages.pipeline.settings import read_checked

#: Columns that say what a row is of; in every table, whichever it is.
KEY_COLUMNS = {key for table in TABLES.values() for key in table.keys}

#: What a cell holds; None is an empty one.
Value = float | str | None


class Verdict(StrEnum):
    """How a metric compares with the base's."""

    SAME = "same"
    WITHIN = "within"
    BEYOND = "beyond"
    CHANGED = "changed"  # text
    MISSING = "missing"  # from the workspace
    NEW = "new"  # not in the base
    EMPTY = "empty"  # on one side
    NOT_A_NUMBER = "not a number"  # NaN or infinite, or text where the other side has a number


#: Verdicts that fail the gate, and those after which it cannot judge.
FAILED = {Verdict.BEYOND, Verdict.CHANGED}
UNJUDGED = {Verdict.MISSING, Verdict.NEW, Verdict.EMPTY, Verdict.NOT_A_NUMBER}


@dataclass(frozen=True)
class Cells:
    """A metrics file: its rows and columns by name, the value of each cell. JSON is one row, whose name is empty."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: Mapping[tuple[str, str], Value]


@dataclass(frozen=True)
class Judgement:
    """A metric on both sides; of a whole row, column or file that only one side has, values are its description."""

    metric: str
    base: Value
    here: Value
    verdict: Verdict
    difference: float | None = None
    tolerance: float | None = None


class Tolerances(RootModel[dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]]):
    """The content of metrics/tolerances.yaml: pattern → largest difference; the first pattern that fits counts."""

    model_config = ConfigDict(strict=True, frozen=True)

    def pattern(self, metric: str) -> str | None:
        """Return the pattern that counts for a metric; None where none fits."""
        return next((pattern for pattern in self.root if fnmatchcase(metric, pattern)), None)


def read_tolerances(path: Path) -> Tolerances:
    """Read and check the tolerances.

    Raises
    ------
    UserError
        If the file is missing, not YAML, or holds anything but patterns and numbers of 0 or more.
    """
    return read_checked(path, Tolerances, 'tolerances: a line for everything is `"*": 0.00001`')


def parse(name: str, text: str) -> Cells:
    """Take a metrics file apart.

    Parameters
    ----------
    name : str
        Its name: what it ends with, .csv or .json, says what it is.
    text : str
        Its content.

    Returns
    -------
    Cells
        Of a table, a row is named by its key columns (``layer 3 rsa qk``), or by its number where it has none. Of JSON,
        a column is the path of a leaf (``rsa_focus.measured``). ``true`` and ``false`` are text.

    Raises
    ------
    ValueError
        If it is not what it should be: not JSON, cut short, a row or column twice.
    """
    if name.endswith(".json"):
        content = json.loads(text)
        if not isinstance(content, dict):
            raise ValueError("not a JSON object")
        leaves = dict(_leaves(content))
        return Cells(("",), tuple(leaves), {("", path): value for path, value in leaves.items()})
    try:
        lines = [line for line in csv.reader(io.StringIO(text), strict=True) if line]
    except csv.Error as error:
        raise ValueError(error) from None
    if not lines:
        raise ValueError("it is empty")
    header, *body = lines
    if short := [number for number, line in enumerate(body, start=2) if len(line) != len(header)]:
        raise ValueError(f"line {short[0]} has {len(body[short[0] - 2])} cells, the header {len(header)}")
    keys = [place for place, column in enumerate(header) if column in KEY_COLUMNS]
    names = [_row([(header[k], line[k]) for k in keys]) if keys else f"row {i}" for i, line in enumerate(body)]
    for what, listed in {"row": names, "column": header}.items():
        if twice := [entry for entry in listed if listed.count(entry) > 1]:
            raise ValueError(f"{what} {twice[0]} is there twice")
    places = [place for place in range(len(header)) if place not in keys]
    return Cells(
        tuple(names),
        tuple(header[place] for place in places),
        {(row, header[p]): _value(line[p]) for row, line in zip(names, body, strict=True) for p in places},
    )


def compare(name: str, base: Cells | None, here: Cells | None, tolerances: Tolerances) -> list[Judgement]:
    """Compare a metrics file with the base's.

    Parameters
    ----------
    name : str
        The file's name, with which its metrics begin.
    base, here : Cells or None
        None where there is no such file.
    tolerances : Tolerances
        Of numbers.

    Returns
    -------
    list of Judgement
        One for each cell of both, after one for each row or column that only one of them has.

    Raises
    ------
    UserError
        If there is no tolerance for a number.
    """
    if base is None or here is None:
        return [_one_sided(name, "a file", here)]
    judgements = [
        _one_sided(f"{name} {entry}", what, entry in theirs)
        for what, ours, theirs in (("a row", base.rows, here.rows), ("a column", base.columns, here.columns))
        for entry in dict.fromkeys((*ours, *theirs))
        if (entry in ours) != (entry in theirs)
    ]
    for place, value in base.values.items():
        if place in here.values:
            metric = " ".join(filter(None, (name, *place)))
            judgements.append(_judge(metric, value, here.values[place], tolerances))
    return judgements


def unused(tolerances: Tolerances, metrics: Iterable[str]) -> list[str]:
    """List the patterns that count for no metric: misspelt, perhaps, or below one that fits more."""
    used = {tolerances.pattern(metric) for metric in metrics}
    return [pattern for pattern in tolerances.root if pattern not in used]


def _judge(metric: str, base: Value, here: Value, tolerances: Tolerances) -> Judgement:
    if base is None and here is None:
        return Judgement(metric, base, here, Verdict.SAME)
    if base is None or here is None:
        return Judgement(metric, base, here, Verdict.EMPTY)
    if isinstance(base, str) and isinstance(here, str):
        return Judgement(metric, base, here, Verdict.SAME if base == here else Verdict.CHANGED)
    if isinstance(base, str) or isinstance(here, str) or not (math.isfinite(base) and math.isfinite(here)):
        return Judgement(metric, base, here, Verdict.NOT_A_NUMBER)
    pattern = tolerances.pattern(metric)
    if pattern is None:
        raise UserError(f'no tolerance fits {metric}: end the file with a line for everything, like `"*": 0.00001`')
    tolerance = tolerances.root[pattern]
    # Numbers are rounded to 6 decimals; their binary difference is a little off, which must not decide at the limit.
    difference = round(here - base, 12)
    if difference == 0:
        return Judgement(metric, base, here, Verdict.SAME, 0.0, tolerance)
    verdict = Verdict.WITHIN if abs(difference) <= tolerance else Verdict.BEYOND
    return Judgement(metric, base, here, verdict, difference, tolerance)


def _one_sided(metric: str, what: str, is_here: object) -> Judgement:
    return Judgement(metric, None, what, Verdict.NEW) if is_here else Judgement(metric, what, None, Verdict.MISSING)


def _leaves(content: Any, path: str = "") -> Iterator[tuple[str, Value]]:
    """Walk through JSON: the path and value of every leaf."""
    if isinstance(content, (dict, list)) and content:
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(content, (bool, dict, list)):
        yield path, json.dumps(content)
    else:
        yield path, float(content) if isinstance(content, int) else content


def _row(keys: list[tuple[str, str]]) -> str:
    """Name a row: a number goes with its column's name, text says by itself what it is."""
    return " ".join(f"{column} {value}" if value.isdigit() else value for column, value in keys if value)


def _value(text: str) -> Value:
    try:
        return float(text)
    except ValueError:
        return text or None
