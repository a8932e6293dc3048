"""Lists of words as CSV files: what is right is read as it stands, every mistake is named with its line."""

from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_WORDS, InProcess
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from safetensors.numpy import load_file

from stages.artefacts.files import Tensors
from stages.artefacts.results import Results
from stages.pipeline import mistakes
from stages.pipeline.errors import UserError
from stages.pipeline.word_lists import flatten, read_words, write_words
from stages.plotting.registry import figures

GOOD = "word,category\npear,fruit\nlime,fruit\nsaw,tools\naxe,tools\nhammer,tools\n"
WORDS = {"fruit": ["pear", "lime"], "tools": ["saw", "axe", "hammer"]}

SAME = {
    "as it is": GOOD,
    "a byte order mark": "\ufeff" + GOOD,
    "Windows": GOOD.replace("\n", "\r\n"),
    "an old Mac": GOOD.replace("\n", "\r"),
    "no line end at the end": GOOD.rstrip(),
    "empty lines": GOOD.replace("\n", "\n\n"),
    "spaces around": GOOD.replace(",", " , ").replace("\n", " \n"),
    "quotes": GOOD.replace("pear", '"pear"'),
    "columns the other way round": "\n".join(",".join(reversed(x.split(","))) for x in GOOD.split("\n")),
    "a further column": "\n".join(f"{line},{i}" for i, line in enumerate(GOOD.splitlines())),
    "categories mixed": "word,category\npear,fruit\nsaw,tools\nlime,fruit\naxe,tools\nhammer,tools\n",
}


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "own.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("way", SAME)
def test_a_list_is_read_however_it_is_written(tmp_path: Path, way: str) -> None:
    assert [*read_words(written(tmp_path, SAME[way])).items()] == [*WORDS.items()]


#: What looks like something else is text.
ODD = ["NA", "null", "nan", "true", "no", "7", "1e5", "None", "N/A", "été", "a b", "x,y", 'say "so"', "木"]
LETTERS = st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"])
TEXT = st.text(LETTERS, min_size=1).map(str.strip).filter(lambda text: text and not mistakes.NO_TEXT.search(text))
LISTED = st.lists(TEXT, min_size=4, unique=True)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # of a busy machine
@given(LISTED, LISTED)
@example(ODD, ODD)
def test_what_is_written_comes_back(tmp_path_factory, first: list[str], names: list[str]) -> None:
    path = tmp_path_factory.mktemp("words") / "own.csv"
    words = {names[0]: first, names[1]: [f"{word}2" for word in first]}
    if len(set(flatten(words)[0])) == 2 * len(first):
        write_words(path, words)
        assert read_words(path) == words


NO_TEXT = "holds a character that is no text"
MISTAKES = [
    ("", "own.csv is empty: its first line must be word,category"),
    (GOOD.replace(",", "\t"), r"line 1: no column word: .*separated by '\\t' instead of a comma"),
    ("pear,fruit\nlime,fruit\n", r"line 1: no column word: .*found \['pear', 'fruit'\]"),
    ("word,word,category\na,b,c\n", "line 1: two columns word: the first line must be"),
    ("word,category\npear,fruit\nlime,fruit\n", "own.csv: 1 category, at least two are compared"),
    (GOOD + "dog,animals\n", "own.csv: the category animals has a single word"),
    (GOOD.replace("hammer,tools\n", ""), "own.csv: 2 word pairs within categories, a correlation needs three"),
    (GOOD + "\npear,fruit\n", r"own.csv: 'pear' is listed twice in fruit \(lines 2 and 8\)"),
    (GOOD + "pear,tools\n", r"'pear' is listed in fruit and in tools \(lines 2 and 7\)"),
    (GOOD + "fig\u00e9,fruit\nfige\u0301,tools\n", r"'fig\u00e9' is listed in fruit and in tools \(lines 7 and 8\)"),
    (GOOD + "fig,\u00e9\nsow,e\u0301\n", "own.csv: the category \u00e9 is there twice, in other characters"),
    (GOOD + " ,tools\n", "own.csv, line 7: the word is empty"),
    (GOOD + "fig\n", "line 7: 1 cells, the first line names 2 columns"),
    (GOOD + "x,y,fruit\n", "line 7: 3 cells, .*text with a comma in it goes in quotes"),
    (GOOD + '"fig,fruit\n', "line 7: not valid CSV: unexpected end of data"),
    (GOOD + '"fi\ng",fruit\n', rf"line 8: the word 'fi\\ng' {NO_TEXT}"),
    (GOOD + "fi\u200bg,fruit\n", rf"line 7: the word 'fi\\u200bg' {NO_TEXT}"),
    (GOOD + "fig\U000e0061,fruit\n", f"'fig\\\\U000e0061' {NO_TEXT}"),
    (GOOD + "\u3164,fruit\n", f"line 7: the word '\u3164' {NO_TEXT}"),
    (GOOD + "f\ufffdg,fruit\n", f"line 7: the word 'f\ufffdg' {NO_TEXT}"),
    ("word,category\n", "own.csv: 0 categories, at least two are compared"),
    (GOOD + ",fruit\n" * 1000, r"line 7: the word is empty; line 8: .*; and 995 more$"),
    (GOOD.encode() + "été,fruit\n".encode("latin-1"), "line 7: not UTF-8 text: save it again in that encoding"),
]


@pytest.mark.parametrize(("content", "expected"), MISTAKES)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, monkeypatch, content: str | bytes, expected: str) -> None:
    written(tmp_path, content)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=expected) as error:
        read_words(Path("own.csv"))
    assert len(str(error.value).splitlines()) == 1
    assert str(error.value).startswith("own.csv")


AFTER = "I saw the {word} yesterday."
BEFORE = "The next word is {word}"


@pytest.mark.parametrize(("template", "position"), [(BEFORE, 4), (AFTER, 3), (AFTER + " ", 3), (" {word} it is", 0)])
@pytest.mark.parametrize("multi_token", ["error", "last"])
def test_the_words_own_token_is_found_wherever_it_stands(
    tiny_stage: InProcess, template: str, position: int, multi_token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With words of different length as well; the same as its position says, and unlike the last token's."""
    monkeypatch.setattr("stages.similarity.same_rows", lambda vectors: False)  # behind the word layer 0 knows none
    words = TINY_WORDS | ({"long": ["zyzzyva", "antidisestablishmentarianism"]} if multi_token == "last" else {})
    tiny_stage.project.set(prompt__template=template, prompt__multi_token=multi_token, words=words)
    tiny_stage.log_of("check", "capture")
    found = {}
    for target in ("word", position, -1):
        tiny_stage.project.set(tokens__target=target)
        tiny_stage.log_of("similarity", "correlation")
        found[target] = load_file("data/similarity.safetensors"), Path("metrics/correlation.csv").read_text()
        record = Tensors(Path("data/similarity.safetensors")).record
        assert record["word_position"] == position
        assert (record["target"] == position) == (target != -1 or template == BEFORE)
    for target, same in ((position, True), (-1, template == BEFORE)):
        assert (found["word"][1] == found[target][1]) == same
        assert np.array_equal(found["word"][0]["q"], found[target][0]["q"]) == same


def test_a_target_that_is_not_the_words_own_token_is_told(tiny_stage: InProcess) -> None:
    tiny_stage.project.set(prompt__template=AFTER)
    said = {}
    tiny_stage.log_of("check", "capture")
    for target in ("word", 3, -1):
        tiny_stage.project.set(tokens__target=target)
        code, told = tiny_stage.run("similarity")
        assert code == (target == -1)
        said[target] = tiny_stage.log
    behind = "token -1 has the same vectors whatever the word in layer 0: choose word, its own token (3)"
    assert told == f"\nsimilarity: tokens.target: {behind}\n"
    assert "tokens.target" not in said["word"] + said[3]
    for context, told in ((2, ""), (3, "tokens.context: token 3 is the word's own, 3, or behind it: prompts do not")):
        tiny_stage.project.set(tokens__context=context)
        log = tiny_stage.log_of("correlation")
        assert log.startswith(told)
        assert ("tokens.context" in log) == bool(told)
    assert said[-1] == "tokens.target: words are compared at token 6, which is not the word's own: that is 3\n"


def test_figures_and_report_say_where_words_are_compared(tiny_stage: InProcess, monkeypatch) -> None:
    for entry in figures().values():
        monkeypatch.setattr(entry, "draw", lambda *_: Figure())
    monkeypatch.setattr("stages.similarity.same_rows", lambda vectors: False)
    aside = "words compared at token 6, not at their own, 3"
    tiny_stage.project.set(prompt__template=AFTER)
    for target in ("word", -1):
        tiny_stage.project.set(tokens__target=target)
        tiny_stage.log_of("check", "capture", "similarity", "report")
        run = Results(focus=1, context=1, bands=True, marks=True)
        marked = [name for name, entry in figures().items() if aside in entry.drawing(run)().get_suptitle()]
        assert marked == [name for name, entry in figures().items() if entry.at_target and target == -1]
        page = Path("plots/report.html").read_text(encoding="utf-8")
        assert (aside.capitalize() in page) == (target == -1)
    assert len(marked) >= 12


@pytest.mark.parametrize("positions", [[-1, 3, 1], [1]])
def test_fewer_positions_change_no_number(tiny_stage: InProcess, positions: list[int]) -> None:
    tiny = tiny_stage.project
    before = tiny.outputs()
    tiny.set(capture__positions=positions)
    tiny_stage.log_of("check", "capture", "sentences", "similarity", "correlation")
    tiny_stage.log_of("nulls", "controls", "heads")
    assert load_file(tiny.root / "data/activations.safetensors")["attn_1_v"].shape == (6, len({*positions, -1}), 16)
    captured = {"data/activations.safetensors", "data/capture.json"}
    assert {path for path, made in tiny.outputs().items() if made != before[path]} == captured
