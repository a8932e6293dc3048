"""Mistakes in a YAML file, in the user's words: what pydantic found, told by the schema instead of by pydantic."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

#: No more of a value is shown: it may be the whole list of words.
LONGEST = 60


def in_words(error: ValidationError, schema: type[BaseModel], raw: Any) -> list[str]:
    """Say what is wrong, a line a mistake.

    Parameters
    ----------
    error : ValidationError
        What pydantic found.
    schema : type
        The model that `raw` was held against.
    raw : Any
        The content of the file.
    """
    # The alternatives of one key (`all` or a list) are a finding each, and one mistake: the schema names them all.
    tree = schema.model_json_schema()
    return list(dict.fromkeys(_in_words(problem, tree, raw) for problem in error.errors()))


def _in_words(problem: Mapping[str, Any], schema: dict, raw: Any) -> str:
    path, node = _locate(problem["loc"], schema)
    place, value = _place(path), problem["input"]
    if "[key]" in problem["loc"]:
        place, node = f"{_place(path[:-1])}, the name of an entry", {"type": "string"}
    match problem["type"]:
        case "missing":
            return f"{place} is missing"
        case "extra_forbidden":
            known = list(_locate(path[:-1], schema)[1]["properties"])
            close = difflib.get_close_matches(str(path[-1]), known, n=1)
            return f"{place} is not a setting; {f'did you mean {close[0]}?' if close else f'known: {_listed(known)}'}"
        case "value_error":
            said = str(problem["ctx"]["error"])
            return f"{place}: {said}" if place else said
    if "anyOf" in node:  # pydantic shows what one of the alternatives did not take, which may be a part
        value = _value(raw, path)
    wanted = _wanted(node)
    if value is None:
        return f"{place} is empty: write {wanted}"
    if node.get("type") in ("array", "object"):
        return f"{place}: write {wanted}"
    if choices := node.get("enum"):
        return f"{place}: {_shown(value)} is not known; choose one of {_listed(choices)}"
    if "anyOf" in node:
        return f"{place}: {_shown(value)} is neither {wanted.replace(' or ', ' nor ', 1)}"
    hint = "; put it in quotes" if wanted == "text" and not isinstance(value, (dict, list)) else ""
    return f"{place}: {_shown(value)} is not {wanted}{hint}"


def _locate(loc: Sequence[int | str], schema: dict) -> tuple[list, dict]:
    """Follow a location of pydantic's down the JSON schema, as far as it names keys and places in lists."""
    node, path = schema, []
    for part in loc:
        if part in node.get("properties", {}):
            node = node["properties"][part]
        elif "additionalProperties" in node and part != "[key]":
            node = node["additionalProperties"] or {}
        elif "items" in node and isinstance(part, int):
            node = node["items"]
        else:
            break
        path.append(part)
        if reference := node.get("$ref"):
            node = schema["$defs"][reference.rpartition("/")[2]]
    return path, node


def _place(path: list) -> str:
    """Name a place in the file: `words.fruit, word 3` rather than `words.fruit.2`."""
    if len(path) > 1 and isinstance(path[-1], int):
        return f"{_place(path[:-1])}, word {path[-1] + 1}"
    return ".".join(map(str, path))


def _value(raw: Any, path: list) -> Any:
    for part in path:
        raw = raw[part]
    return raw


def _shown(value: Any) -> str:
    """Write a value as YAML would, text in quotes."""
    text = repr(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _wanted(node: dict) -> str:
    """Say what a place in the schema takes."""
    if "description" in node and "properties" not in node:
        return node["description"]
    match node:
        case {"properties": keys}:
            return f"its settings below it, one a line: {_listed(keys)}"
        case {"const": value}:
            return str(value)
        case {"enum": choices}:
            return f"one of {_listed(choices)}"
        case {"anyOf": alternatives}:
            return " or ".join(map(_wanted, alternatives))
        case {"type": "boolean"}:
            return "true or false"
        case {"type": "integer"}:
            return f"a whole number{_range(node)}"
        case {"type": "number"}:
            return f"a number{_range(node)}"
    return "text"


def _range(node: dict) -> str:
    low = f" of {node['minimum']} or more" if "minimum" in node else ""
    if "maximum" not in node:
        return low
    if "minimum" in node:
        return f" from {node['minimum']} to {node['maximum']}"
    return f" above {node['exclusiveMinimum']} and up to {node['maximum']}"


def _listed(names: Any) -> str:
    return ", ".join(map(str, names))
