"""Checks of settings, words and files, and their messages where these are put together from parts."""

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from math import ceil, comb
from operator import attrgetter, getitem
from pathlib import Path
from typing import Any

from pydantic import AfterValidator, BaseModel, ValidationError

from stages.pipeline.errors import UserError, shortened

#: Setting → who uses it, t and m: fewer than t / alpha - m draws cannot reach the level alpha. The smallest
#: p of P permutations is 1 / (P + 1), of D draws of nulls 2 / (D + 1); an interval leaves alpha / 2 out at either end.
DRAWS = {
    "inference.permutations": (("inference", "rdms"), 1, 1),
    "inference.bootstraps": (("inference", "controls", "rdms"), 2, 0),
    "nulls.draws": (("nulls",), 2, 1),
    "sentences.bootstraps": (("sentences",), 2, 0),
}
#: What a table or a log cannot hold, as tabs and line breaks, or nobody sees, as a zero-width space or a blank letter;
#: joiners and marks of emoji are seen between letters of some scripts, not beside ASCII.
NO_TEXT = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164]"
    r"|[\ud800-\udfff\ufeff\uffa0\ufff0-\uffff]|[\u200c\u200d](?![^\x00-\x7f])"
    r"|(?<![^\x00-\x7f])[\ufe00-\ufe0f\U000e0000-\U000e0fff](?!\u20e3)"
)
_HELD = "{0!r} holds a character that is no text"


def in_path(key: str, path: str, written: Iterable[str]) -> str:
    """Return what is wrong with the file that a setting names, if anything; those `written` are the stage's own."""
    if not Path(path).exists():
        return f"{key}: there is no file {path}{beside()}"
    if not Path(path).is_file():
        return f"{key}: {path} is a folder or a pipe, not a file"
    if Path(path).resolve() in {Path(own).resolve() for own in written}:
        return f"{key}: {path} is what this stage writes: name another file"
    return ""


def beside(other: str = ", or give an absolute path") -> str:
    """Return why a file of the user's is not there in an experiment beside the workspace; nothing elsewhere."""
    if ".dvc/tmp/exps/" not in Path.cwd().as_posix():
        return ""
    return f"\nwith --temp and --queue there is only what Git tracks: `git add` it{other}"


def of_file(path: str | Path, error: Exception, line: int = 0) -> UserError:
    """Return what `error` says of a file of the user's, a list of words or YAML."""
    said = getattr(error, "problem", None) or str(error)
    match error:
        case FileNotFoundError():
            return UserError(f"{path} is missing: run this in the repository's own folder")
        case OSError():
            return UserError(f"{path} cannot be read: {error.strerror}")
        case RecursionError():
            return UserError(f"{path} cannot be read: too many brackets within each other")
        case UnicodeDecodeError():
            line, said = error.object.count(b"\n", 0, error.start) + 1, "not UTF-8 text: save it again in that encoding"
        case _:
            mark = getattr(error, "problem_mark", None)
            kind = "CSV" if line else "YAML"
            line, said = mark.line + 1 if mark else line, f"not valid {kind}: {said.splitlines()[0]}"
    return UserError(f"{path}, line {line}: {said}" if line else f"{path}: {said}")


def in_header(header: Sequence[str], columns: Sequence[str]) -> str:
    """Return what is wrong with the first line of a list of words, if anything."""
    for name in columns:
        if header.count(name) != 1:
            found = f"two columns {name}" if name in header else f"no column {name}"
            other = re.search(r"[;\t|]", header[0]) if len(header) == 1 else None
            why = f"cells are separated by {other.group()!r} instead of a comma" if other else f"found {list(header)}"
            return f"{found}: the first line must be {','.join(columns)}; {why}"
    return ""


def in_row(cells: Mapping[str, str], found: int, wanted: int) -> list[str]:
    """List what is wrong with a row of a list of words: its named cells, of `found` where `wanted` are."""
    if found != wanted:
        hint = "; text with a comma in it goes in quotes" if found > wanted else ""
        return [f"{found} cells, the first line names {wanted} columns{hint}"]
    mistakes = [f"the {name} is empty" for name, cell in cells.items() if not cell]
    return mistakes + [f"the {name} {_HELD.format(cell)}" for name, cell in cells.items() if NO_TEXT.search(cell)]


def in_word_list(
    words: Mapping[str, Sequence[str]], source: str = "words", lines: Mapping[str, Sequence[int]] | None = None
) -> None:
    """Raise a `ValueError` if a list of words (category → its words) cannot be analysed.

    `source` names it: the key of params.yaml, or a file, of which `lines` are those that hold each word `as_seen`.
    """
    if len(words) < 2:
        found = f"{len(words)} categor{'y' if words else 'ies'}"
        raise ValueError(f"{source}: {found}, at least two are compared: add words of another")
    if same := _twice([*words]):
        raise ValueError(f"{source}: the category {same[0]} is there twice, in other characters that look the same")
    first: dict[str, str] = {}
    for category, word in ((category, word) for category, listed in words.items() for word in listed):
        if (seen := as_seen(word)) in first:
            where = f"twice in {category}" if first[seen] == category else f"in {first[seen]} and in {category}"
            where += f" (lines {' and '.join(map(str, lines[seen]))})" if lines else ""
            raise ValueError(f"{source}: {seen!r} is listed {where}: each word counts once")
        first[seen] = category
    for category, listed in words.items():
        if len(listed) < 2:
            found = "is empty" if not listed else "has a single word"
            raise ValueError(f"{source}: the category {category} {found}, a pair within it needs at least two")
    within = sum(comb(len(listed), 2) for listed in words.values())
    for name, pairs in {"within": within, "across": comb(len(first), 2) - within}.items():
        if pairs < 3:
            raise ValueError(f"{source}: {pairs} word pairs {name} categories, a correlation needs three: add words")


def _rule(broken: Callable[[Any], Any], said: str) -> AfterValidator:
    """Return a check of one setting. Its message is `said`: {0} is the value, {1} what `broken` finds in it."""

    def check(value: Any) -> Any:
        if found := broken(value):
            raise ValueError(said.format(value, found))
        return value

    return AfterValidator(check)


def as_seen(text: str) -> str:
    """Return the same of all texts that look the same: an é is one character, or two."""
    return unicodedata.normalize("NFC", text)


def _twice(listed: Sequence[str] | Mapping[str, str]) -> list[str]:
    texts = [as_seen(text) for text in (listed.values() if isinstance(listed, Mapping) else listed)]
    return sorted({text for text in texts if texts.count(text) > 1})


def not_called(*taken: str) -> AfterValidator:
    """Return a check of names, of which the table of results uses those `taken` otherwise."""
    said = "nothing here can be called {1[0]}: in the table of results that is something else"
    return _rule(lambda named: sorted({*taken} & set(named)), said)


TRIMMED = _rule(lambda text: not text or text != text.strip(), "{0!r} is empty or has spaces around it")
VISIBLE = _rule(NO_TEXT.search, _HELD)
VISIBLE_LINES = _rule(lambda text: NO_TEXT.search(re.sub("[\t\n]", "", text)), _HELD)
ONE_WORD = _rule(lambda text: text.count("{word}") != 1, "{0!r} must hold {{word}} exactly once, where a word goes")
SPREAD = _rule(lambda words: len(words) == 1, "a single word has no spread: list more, or none to take those below")
ONCE = _rule(_twice, "{1[0]!r} is listed twice")
NAMED_ONCE = _rule(
    lambda named: _twice([*named]), "the name {1[0]!r} is there twice, in other characters that look the same"
)


def in_model(model: Any) -> Any:
    """Refuse keys of section `model` that exclude each other."""
    if model.device_map == "auto" and model.weights == "random":
        raise ValueError("device_map: auto spreads weights as it reads them, it cannot go with weights: random")
    return model


def in_settings(settings: Any) -> Any:
    """Refuse words that cannot be analysed, settings that exclude each other, and too few draws for the level."""
    in_word_list(settings.words)
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
    alpha = settings.inference.alpha
    for key, (users, _, _) in DRAWS.items():
        draws, least = attrgetter(key)(settings), least_draws(key, alpha)
        if draws != "auto" and draws < least and any(getattr(settings, section).enabled for section in users):
            raise ValueError(f"{key}: {draws} is too few: inference.alpha: {alpha:g} needs at least {least}")
    return settings


def least_draws(key: str, alpha: float) -> int:
    """Return how many draws a setting, a key of `DRAWS`, needs for a test or interval of the level `alpha`."""
    _, tails, itself = DRAWS[key]
    return ceil(tails / alpha - 1e-9) - itself


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
    alternative = "anyOf" in node and len(path) < len(loc)  # what is wrong with one of several forms
    match problem["type"] if not alternative else "":
        case "missing":
            return f"{place} is missing: put it back, whether it is used or not"
        case "extra_forbidden" | "invalid_key":
            known = list(_locate(path[:-1], tree)[2]["properties"])
            close = difflib.get_close_matches(str(path[-1]), known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
            return f"{place} is not a setting; {hint}"
        case "value_error":
            return f"{place}: {problem['ctx']['error']}".removeprefix(": ")
    wanted = _wanted(node)
    if value is None:
        return f"{place} is empty: write {wanted}"
    if node.get("type") in ("array", "object"):
        return f"{place}: write {wanted}"
    if choices := node.get("enum"):
        return f"{place}: {_shown(value)} is not known; choose one of {', '.join(choices)}"
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
            return f"its settings below it, one a line: {', '.join(keys)}"
        case {"const": value}:
            return str(value)
        case {"enum": choices}:
            return f"one of {', '.join(choices)}"
        case {"anyOf": alternatives}:
            return " or ".join(map(_wanted, alternatives))
        case {"type": "boolean"}:
            return "true or false"
        case {"type": "integer" | "number" as kind}:
            low, high = node.get("minimum"), node.get("maximum")
            within = f" from {low} to {high}" if high is not None else f" of {low} or more" if low is not None else ""
            return ("a whole number" if kind == "integer" else "a number") + within
    return "text"
