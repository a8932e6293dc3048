"""Mistakes in settings, in the user's words: of one setting, of two together, and what pydantic finds."""

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import reduce
from operator import getitem
from typing import Any

from pydantic import BaseModel, ValidationError

from stages.pipeline.errors import shortened
from stages.pipeline.word_lists import NO_TEXT, check_words


def no_text(text: str) -> str:
    """Refuse text that is empty, has spaces around it or does not stand on one line."""
    if not text.strip() or text != text.strip():
        raise ValueError(f"{text!r} is empty or has spaces around it")
    if NO_TEXT.search(text):
        raise ValueError(f"{text!r} holds a character that is no text")
    return text


def no_word(template: str) -> str:
    """Refuse a sentence without a place for the word."""
    if template.count("{word}") != 1:
        raise ValueError(f"{template!r} must hold {{word}} exactly once, where each word is put in")
    return template


def in_reference_words(words: list[str]) -> list[str]:
    """Refuse a list that has no spread, or a word twice."""
    if len(words) == 1:
        raise ValueError("a single word has no spread: list more, or none to take the words of the analysis")
    return _once(words)


def in_sentences(templates: dict[str, str], taken: Collection[str]) -> dict[str, str]:
    """Refuse names that are `taken`, as the table of results uses them otherwise, and a sentence twice."""
    if both := set(taken) & set(templates):
        raise ValueError(f"a sentence cannot be called {min(both)}: the table of results does so otherwise")
    _once(list(templates.values()))
    return templates


def in_model(model: Any) -> None:
    """Refuse keys of section `model` that exclude each other."""
    if model.device_map == "auto" and model.weights == "random":
        raise ValueError("device_map: auto spreads weights as it reads them, it cannot go with weights: random")


def in_settings(settings: Any) -> None:
    """Refuse words that cannot be analysed, and settings that exclude each other."""
    check_words(settings.words)
    target, kept = settings.tokens.target, settings.capture.positions
    if settings.similarity.average_sentences and not settings.sentences.enabled:
        raise ValueError("similarity.average_sentences: there is nothing to average, sentences.enabled is false")
    if settings.similarity.average_sentences and target != "word":
        raise ValueError("similarity.average_sentences: words are then compared at their own: tokens.target: word")
    for name, token in settings.tokens:
        if kept != "all" and token != "word" and token not in kept:  # the word's own token is always kept
            raise ValueError(
                f"capture.positions: {kept} lacks tokens.{name}, which is {token}: list it as it is written there"
            )


def _once(listed: list[str]) -> list[str]:
    if twice := sorted({text for text in listed if listed.count(text) > 1}):
        raise ValueError(f"{twice[0]!r} is listed twice")
    return listed


def in_words(error: ValidationError, schema: type[BaseModel], raw: Any) -> list[str]:
    """Return a line for each mistake that pydantic found when it validated `raw`, a file's content, by `schema`."""
    tree = schema.model_json_schema()
    # The alternatives of one key (`all` or a list) are a finding each, and one mistake: the schema names them all.
    return list(dict.fromkeys(_in_words(problem, tree, raw) for problem in error.errors()))


def _in_words(problem: Mapping[str, Any], tree: dict, raw: Any) -> str:
    loc, value = problem["loc"], problem["input"]
    path, place, node = _locate(loc, tree)
    if "[key]" in loc:
        place, node = f"{_locate(loc[: loc.index('[key]') - 1], tree)[1]}, the name of an entry", {"type": "string"}
    match problem["type"]:
        case "missing":
            return f"{place} is missing: put it back, whether it is used or not"
        case "extra_forbidden" | "invalid_key":
            known = list(_locate(path[:-1], tree)[2]["properties"])
            close = difflib.get_close_matches(str(path[-1]), known, n=1)
            return f"{place} is not a setting; {f'did you mean {close[0]}?' if close else f'known: {_listed(known)}'}"
        case "value_error":
            return f"{place}: {problem['ctx']['error']}".removeprefix(": ")
    wanted = _wanted(node)
    if value is None:
        return f"{place} is empty: write {wanted}"
    if node.get("type") in ("array", "object"):
        return f"{place}: write {wanted}"
    if choices := node.get("enum"):
        return f"{place}: {_shown(value)} is not known; choose one of {_listed(choices)}"
    if "anyOf" in node:  # the input is what one of the alternatives did not take, which may be a part of the value
        value = reduce(getitem, path, raw)
        return f"{place}: {_shown(value)} is neither {wanted.replace(' or ', ' nor ', 1)}"
    hint = "; put it in quotes" if wanted == "text" and not isinstance(value, (dict, list)) else ""
    if node.get("type") == "integer" and isinstance(value, float) and value.is_integer():
        hint = f"; write {value:.0f}"
    return f"{place}: {_shown(value)} is not {wanted}{hint}"


def _locate(loc: Sequence[int | str], tree: dict) -> tuple[list, str, dict]:
    """Follow a location of pydantic's down the JSON schema `tree`, as far as it names keys and places in lists.

    Return the path, its name for the user (`words.fruit, word 3`), and the schema there.
    """
    path, place, node = [], "", tree
    for part in loc:
        if "items" in node and isinstance(part, int):
            place, node = f"{place}, word {part + 1}", node["items"]
        elif part in (keys := node.get("properties", {})) or "additionalProperties" in node:
            place, node = f"{place}.{part}".removeprefix("."), keys.get(part) or node["additionalProperties"] or {}
        else:
            break
        path.append(part)
        if reference := node.get("$ref"):
            node = tree["$defs"][reference.rpartition("/")[2]]
    return path, place, node


def _shown(value: Any) -> str:
    """Write a value as YAML would, text in quotes."""
    text = repr(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return shortened(text)


def _wanted(node: dict) -> str:
    """Return in words what a place in the schema takes."""
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
    return f" from {node['minimum']} to {node['maximum']}" if "maximum" in node else low


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(map(str, names))
