"""The settings of a run: params.yaml, read and checked; and those that only a captured run can check."""

import re
from collections.abc import Callable, Sequence
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML, YAMLError

from stages.pipeline import messages, mistakes
from stages.pipeline.errors import UserError, some_of
from stages.pipeline.schema import Section, Settings

PARAMS = Path("params.yaml")

Checked = TypeVar("Checked", bound=BaseModel)


def read_yaml(path: str | Path) -> Any:
    """Read a YAML file as DVC does (YAML 1.2: a bare ``no`` is text, a bare ``7`` is not).

    A `UserError`, which names the line, if the file cannot be read or is not YAML.
    """
    for pure in (False, True):  # the parser in C is five times as fast, the one in Python names the right line
        try:
            text = Path(path).read_text(encoding="utf-8")
            depths = accumulate((1 if bracket in "[{" else -1 for bracket in re.findall(r"[][{}]", text)), initial=0)
            if max(depths) > 100:  # brackets within each other, at which the parser in C would end the process
                raise RecursionError
            return YAML(typ="safe", pure=pure).load(text)
        except (OSError, ValueError, LookupError, YAMLError, RecursionError) as error:  # as of the date 2020-13-45
            mistake = error
    raise mistakes.of_file(path, mistake)


def read_checked(path: str | Path, schema: type[Checked], what: str) -> Checked:
    """Read a YAML file and check it against a schema; where it is empty or a list, `what` it should hold is told.

    A `UserError` as `read_yaml`; or one line a mistake: the key, what is wrong with it, what would be right.
    """
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise UserError(messages.NO_CONTENT.format(path, what))
    try:
        return schema.model_validate(raw)
    except ValidationError as error:
        lines = [f"{path}: {line}" for line in mistakes.in_words(error, schema, raw)]
        raise UserError(some_of(lines, 5, "\n")) from None


def load(path: str | Path = PARAMS) -> Settings:
    """Read and check the settings: frozen, every key present and of its type; errors as `read_checked`."""
    return read_checked(path, Settings, f"settings: it must have the sections {', '.join(Settings.model_fields)}")


def by_key(settings: Settings) -> dict[str, Any]:
    """Return every setting by its key, such as ``model.name``."""
    found = {}
    for name, value in settings:
        found |= {f"{name}.{key}": inner for key, inner in value} if isinstance(value, Section) else {name: value}
    return found


def written(value: Any) -> str:
    """Write a setting's value for a reader."""
    if isinstance(value, dict):
        return "; ".join(f"{key}: {written(entry)}" for key, entry in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def check_layer(setting: str, layer: int, layers: Sequence[int], of: str = "this model") -> None:
    """Raise a `UserError` if a layer is not among those captured."""
    if layer not in layers:
        raise UserError(messages.NO_LAYER.format(setting, layer, of, in_short(layers)))


def find_token(token: int, length: int, setting: str) -> int:
    """Return the place of a token in a prompt of `length` tokens, counted from 0.

    A `UserError` if the prompt has no such token; `setting` is the key of params.yaml that chose it.
    """
    if not -length <= token < length:
        raise UserError(messages.NO_TOKEN.format(setting, token, length, -length, length - 1))
    return token % length


def check_ahead(ahead: Callable[[str], Any], layers: Sequence[int], length: int) -> None:
    """Refuse settings of later stages that do not fit a model's layers and its prompt of `length` tokens.

    `ahead` returns the value of a key; errors as `check_layer` and `find_token`.
    """
    check_layer("focus_layer", ahead("focus_layer"), layers)
    for key in ("tokens.context", "tokens.target"):
        if (token := ahead(key)) != "word":
            find_token(token, length, key)


def in_short(numbers: Sequence[int]) -> str:
    """Write ascending whole numbers in short.

    Examples
    --------
    >>> in_short([0, 1, 2, 3, 7, 9, 10])
    '0 to 3, 7, 9, 10'
    """
    runs = [[number for _, number in run] for _, run in groupby(enumerate(numbers), lambda at: at[1] - at[0])]
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)
