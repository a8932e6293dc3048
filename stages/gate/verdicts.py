"""Compare metrics with those of another run: files as cells, a tolerance for each number, a verdict on each cell."""

import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Any, NamedTuple

import pandas as pd
from pydantic import ConfigDict, Field, RootModel

from stages.artefacts.schema import TABLES
from stages.pipeline import messages
from stages.pipeline.errors import UserError

#: Columns that say what a row is of; in every table, whichever it is.
KEY_COLUMNS = {key for table in TABLES.values() for key in table.keys}

#: What a cell holds; None is an empty one.
Value = float | str | None
#: A metrics file: values by the names of row and column.
Cells = Mapping[tuple[str, str], Value]


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


class Judgement(NamedTuple):
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

    def unused(self, metrics: Iterable[str]) -> list[str]:
        """List the patterns that no metric uses: they are misspelt, or an earlier pattern fits first."""
        used = {self.pattern(metric) for metric in metrics}
        return [pattern for pattern in self.root if pattern not in used]


def parse(name: str, text: str) -> Cells:
    """Take a metrics file apart; its name ends with .csv or .json.

    Of a table, a row is named by its key columns (``layer 3 rsa qk``), or by its number where it has none. Of JSON,
    there is one row without a name, and a column is the path of a leaf (``rsa_focus.measured``). ``true`` and ``false``
    are text. ValueError if it is not what it should be: not JSON, cut short, a row or column twice.
    """
    if name.endswith(".json"):
        content = json.loads(text)
        if not isinstance(content, dict):
            raise ValueError("not a JSON object")
        return {("", path): value for path, value in _leaves(content)}
    if not text.endswith("\n"):
        raise ValueError("it is empty or cut short")
    lines = pd.read_csv(io.StringIO(text), header=None, dtype=str, keep_default_na=False)  # its errors are ValueErrors
    header, rows = pd.Index(lines.iloc[0]), lines[1:].set_axis(lines.iloc[0], axis=1)
    keys = [column for column in header if column in KEY_COLUMNS]
    named = [" ".join(filter(None, map(_key, keys, cells))) for cells in rows[keys].to_numpy()]
    names = named if keys else [f"row {i}" for i in range(len(rows))]
    for what, listed in {"row": pd.Index(names), "column": header}.items():
        if not listed.is_unique:
            raise ValueError(f"{what} {listed[listed.duplicated()][0]} is there twice")
    columns = rows.drop(columns=keys).to_dict("list")
    return {(row, column): _value(cells[i]) for i, row in enumerate(names) for column, cells in columns.items()}


def compare(name: str, base: Cells | None, here: Cells | None, tolerances: Tolerances) -> list[Judgement]:
    """Compare a metrics file with the base's; None where there is no such file.

    Returns a judgement for each cell of both, after one for each row or column that only one of them has. A `UserError`
    if there is no tolerance for a number.
    """
    if base is None or here is None:
        return [_one_sided(name, "a file", here is not None)]
    judgements = []
    for part, what in enumerate(("a row", "a column")):
        ours, theirs = ({place[part]: None for place in cells} for cells in (base, here))
        judgements += [
            _one_sided(f"{name} {entry}", what, entry in theirs)
            for entry in ours | theirs
            if (entry in ours) != (entry in theirs)
        ]
    for place, value in base.items():
        if place in here:
            judgements.append(_judge(" ".join(filter(None, (name, *place))), value, here[place], tolerances))
    return judgements


def _judge(metric: str, base: Value, here: Value, tolerances: Tolerances) -> Judgement:
    if base is None or here is None:
        return Judgement(metric, base, here, Verdict.SAME if base is here else Verdict.EMPTY)
    if isinstance(base, str) and isinstance(here, str):
        return Judgement(metric, base, here, Verdict.SAME if base == here else Verdict.CHANGED)
    if isinstance(base, str) or isinstance(here, str) or not (math.isfinite(base) and math.isfinite(here)):
        return Judgement(metric, base, here, Verdict.NOT_A_NUMBER)
    pattern = tolerances.pattern(metric)
    if pattern is None:
        raise UserError(messages.NO_TOLERANCE.format(metric))
    tolerance = tolerances.root[pattern]
    # Numbers are rounded to 6 decimals; their binary difference is a little off, which must not decide at the limit.
    difference = round(here - base, 12)
    verdict = Verdict.BEYOND if abs(difference) > tolerance else Verdict.WITHIN if difference else Verdict.SAME
    return Judgement(metric, base, here, verdict, difference, tolerance)


def _one_sided(metric: str, what: str, is_here: bool) -> Judgement:
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


def _key(column: str, value: str) -> str:
    """Name a row by one of its keys: text as it is, a number with its column's name."""
    return f"{column} {value}" if value.isdigit() else value


def _value(text: str) -> Value:
    try:
        return float(text)
    except ValueError:
        return text or None
