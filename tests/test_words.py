"""Lists of words as CSV files: what is right is read as it stands, every mistake is named with its line."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, TINY_WORDS, InProcess, Project
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import load_file

from stages.artefacts.tensors import read_record
from stages.pipeline.errors import UserError
from stages.pipeline.word_lists import flatten, read_words, write_words
from stages.plotting.parallel import Drawing
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
    words = read_words(written(tmp_path, SAME[way]))
    assert words == WORDS
    assert list(words) == ["fruit", "tools"]


def test_what_looks_like_something_else_stays_text(tmp_path: Path) -> None:
    odd = ["NA", "null", "nan", "true", "no", "7", "1e5", "None", "N/A", "été", "a b", "x,y", 'say "so"', "木"]
    write_words(tmp_path / "own.csv", {"NA": odd, "7": ["pear", "lime"]})
    assert read_words(tmp_path / "own.csv") == {"NA": odd, "7": ["pear", "lime"]}


LISTED = st.lists(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1).map(str.strip).filter(bool),
    min_size=4,
    unique=True,
)


@given(LISTED, LISTED)
def test_what_is_written_comes_back(
    tmp_path_factory: pytest.TempPathFactory, first: list[str], names: list[str]
) -> None:
    path = tmp_path_factory.mktemp("words") / "own.csv"
    words = {names[0]: [f"{word}1" for word in first], names[1]: [f"{word}2" for word in first]}
    if len(set(flatten(words)[0])) == 2 * len(first):
        write_words(path, words)
        assert read_words(path) == words


MISTAKES = {
    "empty": ("", "own.csv is empty: its first line must be word,category"),
    "semicolons": (GOOD.replace(",", ";"), "own.csv, line 1: no column word: .*separated by ';' instead of a comma"),
    "tabs": (GOOD.replace(",", "\t"), r"line 1: no column word: .*separated by '\\t' instead of a comma"),
    "no header": ("pear,fruit\nlime,fruit\n", r"line 1: no column word: .*found \['pear', 'fruit'\]"),
    "no category": ("word,kind\npear,fruit\n", "line 1: no column category: the first line must be word,category"),
    "two columns of words": ("word,word,category\na,b,c\n", "line 1: two columns word: the first line must be"),
    "capitals": ("Word,Category\n", "line 1: no column word"),
    "no word": ("word,category\n", "own.csv: 0 category, at least two are compared"),
    "one category": ("word,category\npear,fruit\nlime,fruit\n", "own.csv: 1 category, at least two are compared"),
    "a category of one word": (GOOD + "dog,animals\n", "own.csv: the category animals has a single word"),
    "few pairs": (GOOD.replace("hammer,tools\n", ""), "own.csv: 2 word pairs within categories, a correlation needs"),
    "a word twice": (GOOD + "\npear,fruit\n", r"own.csv: 'pear' is listed twice in fruit \(lines 2 and 8\)"),
    "in two categories": (GOOD + "pear,tools\n", r"'pear' is listed in fruit and in tools \(lines 2 and 7\)"),
    "three times": (GOOD + "pear,tools\npear,fruit\n", r"\(lines 2 and 7 and 8\)"),
    "an empty word": (GOOD + " ,tools\n", "own.csv, line 7: the word is empty"),
    "an empty category": (GOOD + "fig,\n", "own.csv, line 7: the category is empty"),
    "a cell too few": (GOOD + "fig\n", "line 7: 1 cells, the first line names 2 columns"),
    "a comma in a word": (GOOD + "x,y,fruit\n", "line 7: 3 cells, .*text with a comma in it goes in quotes"),
    "an open quote": (GOOD + '"fig,fruit\n', "line 7: not valid CSV: unexpected end of data"),
    "a line break in a word": (
        GOOD + '"fi\ng",fruit\n',
        r"line 8: the word 'fi\\ng' holds a character that is no text",
    ),
    "Latin-1": (GOOD.encode() + "été,fruit\n".encode("latin-1"), "line 7: not UTF-8 text: save it as CSV"),
    "UTF-16": (GOOD.encode("utf-16"), "line 1: not UTF-8 text"),
    "a spreadsheet": (b"PK\x03\x04\x14\x00\xd8\xff", "not UTF-8 text"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    content, expected = MISTAKES[mistake]
    written(tmp_path, content)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=expected) as error:
        read_words(Path("own.csv"))
    assert len(str(error.value).splitlines()) == 1
    assert str(error.value).startswith("own.csv")


def test_of_many_mistakes_the_first_are_told(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD + ",fruit\n" * 1000)
    with pytest.raises(UserError, match=r"line 7: the word is empty; line 8: .*; and 995 more$"):
        read_words(path)


def test_the_words_of_the_embedded_model_are_a_list_as_they_stand() -> None:
    words = read_words(ROOT / "data/models/gpt2-mini/words.csv")
    assert (len(words), sum(map(len, words.values()))) == (17, 277)


def test_of_many_words_of_several_tokens_the_first_are_told(tiny_stage: InProcess) -> None:
    rows = "".join(f"zyzzyva{i},{'ab'[i % 2]}\n" for i in range(1000))
    (tiny_stage.project.root / "own.csv").write_text("word,category\n" + rows, encoding="utf-8")
    tiny_stage.project.set(words_file="own.csv")
    assert tiny_stage.run("check")[0] == 0
    code, said = tiny_stage.run("capture")
    assert code == 1
    assert "words of several tokens: zyzzyva0 = " in said
    assert "; and 900 more\nchoose other words" in said


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
    for stage in ("check", "capture"):
        assert tiny_stage.run(stage)[0] == 0
    found = {}
    for target in ("word", position, -1):
        tiny_stage.project.set(tokens__target=target)
        for stage in ("similarity", "correlation"):
            assert tiny_stage.run(stage)[0] == 0
        found[target] = load_file("data/similarity.safetensors"), Path("metrics/correlation.csv").read_text()
        record = read_record(Path("data/similarity.safetensors"))
        assert record["word_position"] == position
        assert (record["target"] == position) == (target != -1 or template == BEFORE)
    for target, same in ((position, True), (-1, template == BEFORE)):
        assert (found["word"][1] == found[target][1]) == same
        assert np.array_equal(found["word"][0]["q"], found[target][0]["q"]) == same


def test_a_target_that_is_not_the_words_own_token_is_told(tiny_stage: InProcess) -> None:
    tiny_stage.project.set(prompt__template=AFTER)
    said = {}
    for stage in ("check", "capture"):
        assert tiny_stage.run(stage)[0] == 0
    for target in ("word", 3, -1):
        tiny_stage.project.set(tokens__target=target)
        assert tiny_stage.run("similarity")[0] == (target == -1)  # behind the word layer 0 knows no word
        said[target] = tiny_stage.log
    assert "tokens.target" not in said["word"] + said[3]
    for context, told in ((2, ""), (3, "tokens.context: token 3 is the word's own, 3, or behind it: prompts do not")):
        tiny_stage.project.set(tokens__context=context)
        assert tiny_stage.run("correlation")[0] == 0
        assert tiny_stage.log.startswith(told)
        assert ("tokens.context" in tiny_stage.log) == bool(told)
    assert said[-1] == "tokens.target: words are compared at token 6, which is not the word's own: that is 3\n"


def test_figures_and_report_say_where_words_are_compared(
    tiny_stage: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles = []

    def note_titles(drawings: Sequence[Drawing]) -> None:
        titles.append({drawing.path.stem: drawing.draw().get_suptitle() for drawing in drawings[: len(figures())]})
        for drawing in drawings:
            Image.new("L", (1, 1)).save(drawing.path, "png")

    monkeypatch.setattr("stages.figures.draw_all", note_titles)
    monkeypatch.setattr("stages.similarity.same_rows", lambda vectors: False)
    aside = "words compared at token 6, not at their own, 3"
    tiny_stage.project.set(prompt__template=AFTER)
    pages = []
    for target in ("word", -1):
        tiny_stage.project.set(tokens__target=target)
        for stage in ("check", "capture", "similarity", "figures", "report"):
            assert tiny_stage.run(stage)[0] == 0
        pages.append(Path("plots/report.html").read_text(encoding="utf-8"))
    plain, marked = titles
    assert not any(aside in title for title in plain.values())
    names = [name for name, title in marked.items() if aside in title]
    assert names == [name for name, entry in figures().items() if entry.at_target]
    assert len(names) >= 12
    assert [aside.capitalize() in page for page in pages] == [False, True]


def numbers(project: Project) -> dict:
    """Digest what holds numbers: not what was captured, and not the report, which lists the settings."""
    others = {*(f"data/{name}" for name in ("activations.safetensors", "reference.safetensors", "capture.json"))}
    return {path: digest for path, digest in project.outputs().items() if path not in {*others, "plots/report.html"}}


@pytest.mark.parametrize("positions", [[-1, 3, 1], [1]])
def test_fewer_positions_change_no_number(tiny_stage: InProcess, positions: list[int]) -> None:
    tiny = tiny_stage.project
    before = numbers(tiny)
    tiny.set(capture__positions=positions)
    tiny_stage.run_all("check", "capture", "sentences", "similarity", "correlation")
    tiny_stage.run_all("nulls", "controls", "heads", "carriers")
    assert load_file(tiny.root / "data/activations.safetensors")["attn_1_v"].shape == (6, len({*positions, -1}), 16)
    assert numbers(tiny) == before
