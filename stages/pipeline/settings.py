"""The settings of a run: params.yaml, read and checked; and the two that only a captured run can check."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML, YAMLError

from stages.pipeline.errors import UserError
from stages.pipeline.mistakes import in_words
from stages.pipeline.schema import Settings

PARAMS = Path("params.yaml")

Checked = TypeVar("Checked", bound=BaseModel)


def read_yaml(path: str | Path) -> Any:
    """Read a YAML file as DVC does (YAML 1.2: a bare ``no`` is text, a bare ``7`` is not).

    Raises
    ------
    UserError
        If the file is missing or not YAML; the message names the line.
    """
    try:
        return YAML(typ="safe").load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run this in the repository's own folder") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text: save it again in that encoding") from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}") from None


def read_checked(path: str | Path, schema: type[Checked], what: str) -> Checked:
    """Read a YAML file and check it against a schema; where it is empty or a list, `what` it should hold is told.

    Raises
    ------
    UserError
        As `read_yaml`; or one line a mistake: the key, what is wrong with it, what would be right.
    """
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise UserError(f"{path} holds no {what}")
    try:
        return schema.model_validate(raw)
    except ValidationError as error:
        raise UserError("\n".join(f"{path}: {line}" for line in in_words(error, schema, raw))) from None


def load(path: str | Path = PARAMS) -> Settings:
    """Read and check the settings: frozen, every key present and of its type; errors as `read_checked`."""
    return read_checked(path, Settings, f"settings: it must have the sections {', '.join(Settings.model_fields)}")


def check_focus_layer(focus_layer: int, layers: int) -> None:
    """Raise a `UserError` if the model has no layer `focus_layer`; only a captured run knows how many it has."""
    if focus_layer >= layers:
        raise UserError(f"focus_layer: {focus_layer} is not a layer of this model, which has 0 to {layers - 1}")


def find_token(token: int, length: int, setting: str) -> int:
    """Return the place of a token in a prompt of `length` tokens, counted from 0; only a captured run knows the length.

    Raises
    ------
    UserError
        If the prompt has no such token; `setting` is the key of params.yaml that chose it.
    """
    if not -length <= token < length:
        raise UserError(f"{setting}: {token} is outside the prompt of {length} tokens: {-length} to {length - 1}")
    return token % length
