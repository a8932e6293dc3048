"""params.yaml: every mistake is named in plain words, and what is right passes."""

import copy
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from dvc.utils.hydra import apply_overrides
from pydantic import ValidationError
from ruamel.yaml import YAML

from stages.pipeline.errors import UserError
from stages.pipeline.mistakes import in_words
from stages.pipeline.schema import Settings
from stages.pipeline.settings import check_layer, find_token, load
from stages.pipeline.word_lists import flatten
from stages.statistics.amounts import too_few
from stages.statistics.p_values import monte_carlo_p
from stages.statistics.permutation import draw_orders, permute_words

DEFAULT = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def message(tmp_path: Path, change) -> str:
    """Return what `load` says to the default settings after `change`."""
    params = copy.deepcopy(DEFAULT)
    change(params)
    with (tmp_path / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(params, file)
    with pytest.raises(UserError) as error:
        load(tmp_path / "params.yaml")
    return str(error.value).replace(str(tmp_path) + "/", "")


def put(key: str, value):
    """Make a change that sets one key."""

    def change(params: dict) -> None:
        *sections, name = key.split(".")
        for part in sections:
            params = params[part]
        params[name] = value

    return change


MISTAKES = {
    "an unknown key": (put("similarity.metrik", "cosine"), "similarity.metrik is not a setting; did you mean metric?"),
    "an unknown section": (put("colour", 1), "colour is not a setting; known: model, prompt, tokens"),
    "a key left out": (lambda p: p["model"].pop("name"), "params.yaml: model.name is missing"),
    "an unknown metric": (
        put("similarity.metric", "jaccard"),
        "similarity.metric: 'jaccard' is not known; choose one of cosine, correlation, euclidean",
    ),
    "an unknown theme": (put("figures.theme", "blue"), "choose one of dark, light"),
    "no {word}": (put("prompt.template", "The next word is"), "prompt.template: 'The next word is' must hold {word}"),
    "two {word}": (put("prompt.template", "{word} {word}"), "exactly once"),
    "a single category": (put("words", {"fruit": ["pear", "lime", "fig"]}), "1 category, at least two"),
    "no category": (put("words", {}), "0 category, at least two"),
    "an empty category": (put("words.fruit", []), "words: the category fruit is empty"),
    "a category of one word": (put("words.fruit", ["pear"]), "words: the category fruit has a single word"),
    "too few pairs within": (
        put("words", {"fruit": ["pear", "lime"], "space": ["sun", "moon"]}),
        "2 word pairs within categories, a correlation needs three",
    ),
    "a word twice": (put("words.fruit", ["pear", "lime", "pear"]), "'pear' is listed twice in fruit"),
    "a word in two categories": (put("words.fruit", ["moon", "lime"]), "'moon' is listed in space and in fruit"),
    "a number for a word": (put("words.fruit", ["pear", 7]), "words.fruit, word 2: 7 is not text; put it in quotes"),
    "true for a word": (put("words.fruit", ["pear", True]), "words.fruit, word 2: true is not text"),
    "nothing for a word": (put("words.fruit", ["pear", None]), "words.fruit, word 2 is empty: write text"),
    "a blank word": (put("words.fruit", ["pear", " "]), "words.fruit, word 2: ' ' is empty or has spaces around it"),
    "a number for a category": (put("words", {7: ["pear", "lime"], "b": ["sun", "moon"]}), "7 is not text"),
    "text for a list of words": (
        put("words.fruit", "pear"),
        "words.fruit: write a list, one word a line, each after a dash: - pear",
    ),
    "a negative layer": (put("focus_layer", -1), "focus_layer: -1 is not a whole number of 0 or more"),
    "text for a number": (put("tokens.context", "first"), "tokens.context: 'first' is not a whole number"),
    "an unknown target": (put("tokens.target", "last"), "tokens.target: 'last' is neither word nor a whole number"),
    "a number for a model": (put("model.name", 7), "model.name: 7 is not text; put it in quotes"),
    "memory in no unit": (
        put("model.max_memory", {"cpu": "much"}),
        "model.max_memory.cpu: 'much' is not an amount of memory such as 8GB",
    ),
    "memory of a GPU in no unit": (
        put("model.max_memory", {0: 20}),
        "model.max_memory.0: 20 is not an amount of memory such as 8GB",
    ),
    "a name of no device": (put("model.max_memory", {1.5: "8GB"}), "max_memory, the name of an entry: 1.5 is not text"),
    "random weights spread": (
        lambda p: p["model"].update(weights="random", device_map="auto"),
        "model: device_map: auto spreads weights as it reads them, it cannot go with weights: random",
    ),
    "a single reference word": (
        put("similarity.reference_words", ["sofa"]),
        "similarity.reference_words: a single word has no spread",
    ),
    "a reference word twice": (
        put("similarity.reference_words", ["sofa", "door", "sofa"]),
        "similarity.reference_words: 'sofa' is listed twice",
    ),
    "a number for a reference word": (
        put("similarity.reference_words", ["sofa", 7]),
        "similarity.reference_words, word 2: 7 is not text",
    ),
    "the biased estimate": (put("rsa.comparison", "cka"), "choose one of pearson, spearman, cka_debiased"),
    "too few permutations": (
        put("inference.permutations", 5),
        "inference.permutations: 5 is not a whole number from 19 to 1000000",
    ),
    "more permutations than memory holds": (
        put("inference.permutations", 10**9),
        "inference.permutations: 1000000000 is not a whole number from 19 to 1000000",
    ),
    "more resamples than memory holds": (
        put("sentences.bootstraps", 10**9),
        "sentences.bootstraps: 1000000000 is neither auto nor a whole number from 20 to 100000",
    ),
    "more draws than memory holds": (put("nulls.draws", 10**6), "neither auto nor a whole number from 20 to 10000"),
    "a seed that torch does not take": (
        put("model.seed", 2**64),
        "model.seed: 18446744073709551616 is not a whole number from 0 to 4294967295",
    ),
    "no list of words beside a file": (
        lambda p: p.pop("words") and p.update(words_file="own.csv"),
        "params.yaml: words is missing: put it back, whether it is used or not",
    ),
    "a tab in a word": (put("words.fruit", ["pear", "li\tme"]), "word 2: 'li\\tme' holds a character that is no text"),
    "a line break in a category": (
        put("words", {"a\nb": ["pear", "lime"], "c": ["sun", "moon", "star"]}),
        "'a\\nb' holds a character that is no text",
    ),
    "a level in percent": (put("inference.alpha", 5.0), "inference.alpha: 5.0 is not a number from 0.0002 to 0.5"),
    "text for a switch": (put("controls.enabled", "no"), "controls.enabled: 'no' is not true or false"),
    "a position that is no number": (
        put("capture.positions", [1, "last"]),
        "capture.positions: [1, 'last'] is neither all nor a list of whole numbers such as [1, -1]",
    ),
    "true for a position": (put("capture.positions", [True]), "capture.positions: [True] is neither all nor a list"),
    "one position, not in a list": (put("capture.positions", -1), "capture.positions: -1 is neither all nor a list"),
    "no position": (put("capture.positions", []), "capture.positions: [] is neither all nor a list"),
    "positions without the context": (
        put("capture.positions", [-1]),
        "capture.positions: [-1] lacks tokens.context, which is 1: list it as it is written there",
    ),
    "positions without the target": (
        lambda p: p["capture"].update(positions=[1, 4]) or p["tokens"].update(target=-1),
        "capture.positions: [1, 4] lacks tokens.target, which is -1",
    ),
    "text for a section": (put("tokens", 4), "tokens: write its settings below it, one a line: context, target"),
    "nothing for a section": (put("rsa", None), "rsa is empty: write its settings below it, one a line: comparison"),
    "a list for the words": (
        put("words", ["pear", "lime"]),
        "words: write a name for each category, and below it a list of its words",
    ),
    "a list for a number": (
        put("inference.seed", [1, 2]),
        "inference.seed: [1, 2] is not a whole number from 0 to 4294967295",
    ),
    "a long list for a number": (
        put("inference.seed", list(range(99))),
        "1... is not a whole number from 0 to 4294967295",
    ),
    "text for a mapping": (put("model.max_memory", "8GB"), "model.max_memory: write a mapping such as {0: 20GB, cpu:"),
    "nothing for the words file": (put("words_file", ""), "words_file: '' is empty or has spaces around it"),
    "huge figures": (put("figures.dpi", 10000), "figures.dpi: 10000 is not a whole number from 50 to 600"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(tmp_path: Path, mistake: str) -> None:
    change, expected = MISTAKES[mistake]
    said = message(tmp_path, change)
    assert expected in said
    assert len(said.splitlines()) == 1
    assert "pydantic" not in said


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
        params = copy.deepcopy(DEFAULT)
        put(key, value)(params)
        try:
            Settings.model_validate(params)
        except ValidationError as error:
            phrases = {problem["msg"].lower() for problem in error.errors() if problem["type"] != "value_error"}
            lines = in_words(error, Settings, params)
            assert lines
            for line in lines:
                assert line.startswith((key, "words", "model", "capture.positions"))
                assert "\n" not in line
                assert not [phrase for phrase in phrases if phrase in line.lower()], line
                assert "input" not in line
                assert "valid" not in line


TOO_FEW = {
    ("inference.permutations", 50, 0.01): "50 is too few: inference.alpha: 0.01 needs at least 99",
    ("inference.permutations", 99, 0.01): None,
    ("inference.permutations", 19, 0.05): None,
    ("nulls.draws", 38, 0.05): "38 is too few: inference.alpha: 0.05 needs at least 39",
    ("nulls.draws", 39, 0.05): None,
    ("nulls.draws", "auto", 0.01): None,
    ("inference.bootstraps", 39, 0.05): "39 is too few: inference.alpha: 0.05 needs at least 40",
    ("sentences.bootstraps", 30, 0.05): "30 is too few: inference.alpha: 0.05 needs at least 40",
}


@pytest.mark.parametrize(("key", "value", "alpha"), TOO_FEW)
def test_amounts_that_cannot_reach_the_level_are_told(key: str, value: object, alpha: float) -> None:
    params = copy.deepcopy(DEFAULT)
    put(key, value)(params)
    params["inference"]["alpha"] = alpha
    expected = TOO_FEW[key, value, alpha]
    found = [line for line in too_few(Settings.model_validate(params), 34) if line.startswith(key)]
    assert found == ([f"{key}: {expected}"] if expected else [])
    for section in {key.partition(".")[0], "controls"}:
        params[section]["enabled"] = False
    assert not [line for line in too_few(Settings.model_validate(params), 34) if line.startswith(key)]


def test_p_values_reach_the_level_with_what_is_needed_and_not_with_one_less() -> None:
    """The least amounts are those of the p-values that the stages compute."""
    generator = np.random.default_rng(0)
    similar = dict(zip("qkv", np.tile(generator.normal(size=21), (3, 1, 1)), strict=True))
    for draws, reached in ((99, True), (98, False)):
        tested = permute_words(similar, draw_orders(7, draws, generator, crossed=False))
        assert (min(cells["p"].min() for cells in tested.values()) <= 0.01) == reached
    for draws, reached in ((199, True), (198, False)):
        assert (monte_carlo_p(9.0, np.zeros(draws)) <= 0.01) == reached


def test_three_mistakes_are_all_named(tmp_path: Path) -> None:
    def change(params: dict) -> None:
        params["tokens"].pop("context")
        params["figures"]["theme"] = "blue"
        params["models"] = {}

    assert len(message(tmp_path, change).splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model: [", "params.yaml, line 1: not valid YAML"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "params.yaml, line 4: not valid YAML: found duplicate key"),
        ("", "params.yaml holds no settings: it must have the sections model"),
        ("- a\n", "params.yaml holds no settings"),
    ],
)
def test_broken_yaml_is_named_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        load(tmp_path / "params.yaml")
    assert expected in str(error.value)


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is missing: run this in the repository's own folder"):
        load(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_bytes(b"model: \xff\xfe")
    with pytest.raises(UserError, match="not UTF-8"):
        load(tmp_path / "params.yaml")


def test_bare_no_is_a_word_as_it_is_for_dvc(tmp_path: Path) -> None:
    """`dvc exp run -S` drops the quotes of "no": YAML 1.2, which DVC writes, reads it as text."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8").replace("- pear\n", "- no\n")
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    assert load(tmp_path / "params.yaml").words["fruit"][0] == "no"


def test_words_keep_their_order() -> None:
    assert flatten({"b": ["x", "y"], "a": ["z"]}) == (["x", "y", "z"], ["b", "b", "a"])


def test_a_focus_layer_that_the_model_lacks() -> None:
    check_layer("focus_layer", 7, range(8))
    with pytest.raises(UserError, match="focus_layer: 8 is not a layer of this model, which has 0 to 7"):
        check_layer("focus_layer", 8, range(8))
    with pytest.raises(UserError, match="focus_layer: 6 is not a layer of this model, which has 3, 7 to 9"):
        check_layer("focus_layer", 6, [3, 7, 8, 9])


def test_a_token_is_found_from_either_end() -> None:
    assert [find_token(token, 5, "tokens.target") for token in (0, 4, -1, -5)] == [0, 4, 4, 0]
    for token in (5, -6):
        with pytest.raises(UserError, match=f"tokens.target: {token} is outside the prompt of 5 tokens: -5 to 4"):
            find_token(token, 5, "tokens.target")


def test_positions_are_all_or_a_list(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    assert load(ROOT / "params.yaml").capture.positions == "all"
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    apply_overrides(tmp_path / "params.yaml", ["capture.positions=[1,-1]"])
    assert load(tmp_path / "params.yaml").capture.positions == [1, -1]


def test_positions_need_not_list_the_word_s_own(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text.replace("positions: all", "positions: [1]"), encoding="utf-8")
    settings = load(tmp_path / "params.yaml")
    assert (settings.tokens.target, settings.capture.positions) == ("word", [1])


def test_every_setting_has_a_comment() -> None:
    lines = (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines()
    for above, line in zip(["", *lines], lines, strict=False):
        if (line.rstrip().endswith(":") and line.startswith("  ")) or line.startswith("    "):
            continue  # a category, or a sentence
        if ":" in line and not line.lstrip().startswith(("#", "-")):
            assert above.lstrip().startswith("#"), line


def test_comments_survive_dvcs_rewriting(tmp_path: Path) -> None:
    """`dvc exp run -S` writes params.yaml anew; a comment behind a list would go, so the words come last."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    apply_overrides(
        tmp_path / "params.yaml", ["focus_layer=3", "words.fruit=[pear,lime,apple]", "+words.tools=[saw,axe]"]
    )
    after = (tmp_path / "params.yaml").read_text(encoding="utf-8")
    assert [line for line in after.splitlines() if "#" in line] == [line for line in text.splitlines() if "#" in line]
    settings = load(tmp_path / "params.yaml")
    assert settings.focus_layer == 3
    assert settings.words["tools"] == ["saw", "axe"]
