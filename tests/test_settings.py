"""params.yaml: every mistake is named in plain words, and what is right passes."""

import copy
from functools import reduce
from operator import getitem
from pathlib import Path

import pytest
from conftest import ROOT, parse
from pydantic import ValidationError
from ruamel.yaml import YAML

from stages.pipeline.errors import UserError
from stages.pipeline.mistakes import in_words
from stages.pipeline.schema import Settings
from stages.pipeline.settings import load
from stages.statistics.draws import amount

TEXT = (ROOT / "params.yaml").read_text(encoding="utf-8")
DEFAULT = parse(TEXT)
LEFT_OUT = object()
WORDS = {"fruit": ["pear", "lime", "fig"], "space": ["sun", "moon"]}


def changed(changes: dict) -> dict:
    """Return the default settings with other values of some keys."""
    params = copy.deepcopy(DEFAULT)
    for key, value in changes.items():
        *sections, name = key.split(".")
        section = reduce(getitem, sections, params)
        if value is LEFT_OUT:
            del section[name]
        else:
            section[name] = value
    return params


def message(tmp_path: Path, changes: dict) -> str:
    """Return what `load` says to changed settings."""
    with (tmp_path / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(changed(changes), file)
    with pytest.raises(UserError) as error:
        load(tmp_path / "params.yaml")
    return str(error.value).replace(f"{tmp_path}/", "")


MISTAKES = [
    ({"similarity.metrik": "cosine"}, "similarity.metrik is not a setting; did you mean metric?"),
    ({"colour": 1}, "colour is not a setting; known: model, prompt, tokens"),
    ({"words": LEFT_OUT, "words_file": "own.csv"}, "words is missing: put it back, whether it is used or not"),
    ({"similarity.metric": "x"}, "metric: 'x' is not known; choose one of cosine, correlation, euclidean"),
    ({"prompt.template": "{word} {word}"}, "prompt.template: '{word} {word}' must hold {word} exactly once"),
    ({"prompt.template": "a\u200bb {word}"}, "template: 'a\\u200bb {word}' holds a character that is no text"),
    ({"words": {"fruit": ["pear", "lime", "fig"]}}, "params.yaml: words: 1 category, at least two"),
    ({"words.fruit": ["pear", "lime", "pear"]}, "words: 'pear' is listed twice in fruit"),
    ({"words.fruit": ["pear", 7]}, "words.fruit, word 2: 7 is not text; put it in quotes"),
    ({"words.fruit": ["pear", None]}, "words.fruit, word 2 is empty: write text"),
    ({"words.fruit": ["pear", " "]}, "words.fruit, word 2: ' ' is empty or has spaces around it"),
    ({"words.fruit": ["pear", "li\u200dme"]}, "word 2: 'li\\u200dme' holds a character that is no text"),
    ({"words": {"a\nb": ["pear", "lime"], **WORDS}}, "'a\\nb' holds a character that is no text"),
    ({"words": {7: ["pear", "lime"], **WORDS}}, "words, the name of an entry: 7 is not text"),
    ({"words.fruit": "pear"}, "words.fruit: write a list, one word a line, each after a dash: - pear"),
    ({"words": ["pear"]}, "words: write a name for each category, and below it a list of its words"),
    ({"words_file": ""}, "words_file: '' is empty or has spaces around it"),
    ({"focus_layer": 1000.0}, "focus_layer: 1000.0 is not a whole number of 0 or more; write 1000"),
    ({"tokens.target": "last"}, "tokens.target: 'last' is neither word nor a whole number"),
    ({"model.max_memory": {0: 20}}, "model.max_memory.0: 20 is not an amount of memory such as 8GB"),
    ({"model.max_memory": "8GB"}, "model.max_memory: write a mapping such as {0: 20GB, cpu: 8GB}"),
    ({"model.weights": "random", "model.device_map": "auto"}, "model: device_map: auto spreads weights as it reads"),
    ({"similarity.reference_words": ["sofa"]}, "similarity.reference_words: a single word has no spread"),
    ({"similarity.reference_words": ["sof\u00e1", "sofa\u0301"]}, "reference_words: 'sof\u00e1' is listed twice"),
    ({"sentences.templates": ["a {word}", "b {word}"]}, "a name for each of two or more sentences, and behind it"),
    ({"sentences.templates": {"a": "a {word}"}}, "sentences.templates: write a name for each of two or more sentences"),
    ({"sentences.templates": {"a": "a {word}", "b": "b"}}, "templates.b: 'b' must hold {word} exactly once"),
    ({"sentences.templates": {"all": "a {word}", "b": "b {word}"}}, "templates: nothing here can be called all"),
    ({"sentences.templates": {"a": "a {word}", "b": "a {word}"}}, "templates: 'a {word}' is listed twice"),
    ({"inference.permutations": 5}, "inference.permutations: 5 is not a whole number from 19 to 1000000"),
    ({"nulls.draws": 10**6}, "nulls.draws: 1000000 is neither auto nor a whole number from 20 to 10000"),
    ({"inference.alpha": 5.0}, "inference.alpha: 5.0 is not a number from 0.0002 to 0.5"),
    ({"inference.seed": list(range(99))}, "1... is not a whole number from 0 to 4294967295"),
    ({"controls.enabled": "no"}, "controls.enabled: 'no' is not true or false"),
    ({"capture.positions": [1, "x"]}, "positions: [1, 'x'] is neither all nor a list of whole numbers such as [1, -1]"),
    ({"capture.positions": []}, "capture.positions: [] is neither all nor a list"),
    ({"capture.positions": [1, 4], "tokens.target": -1}, "positions: [1, 4] lacks tokens.target, which is -1: list it"),
    ({"similarity.average_sentences": True, "sentences.enabled": False}, "there is nothing to average"),
    ({"similarity.average_sentences": True, "tokens.target": -1}, "words are then compared at their own"),
    ({"tokens": 4}, "tokens: write its settings below it, one a line: context, target"),
    ({"rsa": None}, "rsa is empty: write its settings below it, one a line: comparison"),
]


@pytest.mark.parametrize(("changes", "expected"), MISTAKES)
def test_a_mistake_is_named(tmp_path: Path, changes: dict, expected: str) -> None:
    said = message(tmp_path, changes)
    assert expected in said
    assert said.startswith("params.yaml: ")
    assert len(said.splitlines()) == 1


def test_letters_that_need_a_joiner_are_text() -> None:
    """Persian words, Hindi ones and emoji hold what is refused beside ASCII."""
    words = ["می\u200cخواهم", "क्\u200dष", "👩\u200d🚀", "❤\ufe0f", "1\ufe0f\u20e3"]
    Settings.model_validate(changed({"words.fruit": words}))


VALUES = [None, True, 7, -0.5, float("nan"), "", "x", [], [1], [["x"]], {}, {"x": 1}, {7: ["x"]}, {1.5: None}]


def keys(section: dict, prefix: str = "") -> list[str]:
    """List every key, sections among them."""
    found = []
    for key, value in section.items():
        found += [f"{prefix}{key}", *(keys(value, f"{prefix}{key}.") if isinstance(value, dict) else [])]
    return found


@pytest.mark.parametrize("key", keys(DEFAULT))
def test_whatever_stands_for_a_setting_no_phrase_of_pydantic_s_is_printed(key: str) -> None:
    """A line a mistake, and it names the key; what is wanted is told by the schema, whatever the kind of mistake."""
    for value in VALUES:
        params = changed({key: value})
        try:
            Settings.model_validate(params)
        except ValidationError as error:
            phrases = {problem["msg"].lower() for problem in error.errors() if problem["type"] != "value_error"}
            lines = in_words(error, Settings, params)
            assert lines
            for line in lines:
                assert line.startswith((key, "words", "model", "capture.positions", "inference", "nulls", "sentences"))
                assert "\n" not in line
                assert not [phrase for phrase in {*phrases, "input", "valid"} if phrase in line.lower()], line


@pytest.mark.parametrize(
    ("key", "too_few", "alpha", "least", "users"),
    [
        ("inference.permutations", 98, 0.01, 99, ["inference", "rdms"]),
        ("nulls.draws", 38, 0.05, 39, ["nulls"]),
        ("inference.bootstraps", 39, 0.05, 40, ["inference", "controls", "rdms"]),
        ("sentences.bootstraps", 30, 0.05, 40, ["sentences"]),
    ],
)
def test_draws_that_cannot_reach_the_level_are_told(
    tmp_path: Path, key: str, too_few: int, alpha: float, least: int, users: list[str]
) -> None:
    changes = {key: too_few, "inference.alpha": alpha}
    said = f"params.yaml: {key}: {too_few} is too few: inference.alpha: {alpha} needs at least {least}"
    assert message(tmp_path, changes) == said
    Settings.model_validate(changed({**changes, key: least}))
    off = {f"{section}.enabled": False for section in users}
    assert message(tmp_path, {**changes, **off, f"{users[-1]}.enabled": True}) == said
    Settings.model_validate(changed({**changes, **off}))
    if "permutations" not in key:
        assert amount(key, "auto", 277, 0.0002) >= 9999  # auto is never too few


def test_all_mistakes_are_named_up_to_five(tmp_path: Path) -> None:
    three = {"tokens.context": LEFT_OUT, "figures.theme": "blue", "models": {}}
    assert len(message(tmp_path, three).splitlines()) == 3
    (tmp_path / "params.yaml").write_text("focus_layer: 1\n", encoding="utf-8")
    with pytest.raises(UserError) as error:
        load(tmp_path / "params.yaml")
    assert str(error.value).splitlines()[5:] == ["and 10 more"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"model: [", "params.yaml, line 1: not valid YAML"),
        (b"a: 1\nb:\n  c: 1\n  c: 2\n", "params.yaml, line 4: not valid YAML: found duplicate key"),
        (b"a: " + b"[" * 30000, "params.yaml cannot be read: too many brackets within each other"),
        (b"focus_layer: 2020-13-45", "params.yaml: not valid YAML: month must be in 1..12"),
        (b"a: !!int x", "params.yaml: not valid YAML: invalid literal for int"),
        (b"", "params.yaml holds no settings: it must have the sections model"),
        (b"a: 1\nmodel: \xff\xfe", "params.yaml, line 2: not UTF-8 text: save it again in that encoding"),
        (None, "params.yaml is missing: run this in the repository's own folder"),
    ],
)
def test_a_file_that_is_no_yaml_is_told(tmp_path: Path, content: bytes | None, expected: str) -> None:
    if content is not None:
        (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(UserError) as error:
        load(tmp_path / "params.yaml")
    assert expected in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_bare_no_is_a_word_as_it_is_for_dvc(tmp_path: Path) -> None:
    """`dvc exp run -S` drops the quotes of "no": YAML 1.2, which DVC writes, reads it as text."""
    (tmp_path / "params.yaml").write_text(TEXT.replace("- pear\n", "- no\n"), encoding="utf-8")
    assert load(tmp_path / "params.yaml").words["fruit"][0] == "no"


def test_every_setting_has_a_comment() -> None:
    lines = TEXT.splitlines()
    for above, line in zip(["", *lines], lines, strict=False):
        if (line.rstrip().endswith(":") and line.startswith("  ")) or line.startswith("    "):
            continue  # a category, or a sentence
        if ":" in line and not line.lstrip().startswith(("#", "-")):
            assert above.lstrip().startswith("#"), line
