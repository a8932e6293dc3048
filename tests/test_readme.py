"""What the READMEs say of this repository is so: links, commands, settings, the tables of findings, the graph."""

import functools
import json
import re
import shlex
from itertools import groupby, pairwise
from pathlib import Path

import networkx
import pandas as pd
import pytest
from conftest import ROOT, Project
from dvc.cli.parser import get_main_parser

from stages.__main__ import POST
from stages.artefacts.schema import STATUS
from stages.artefacts.tables import read_table
from stages.findings.claims import CLAIMS, of_post
from stages.findings.evidence import TESTS
from stages.findings.summary import in_words
from stages.geometry.names import MATRICES, PAIRS
from stages.pipeline.schema import ALL_SENTENCES, OWN_SENTENCE

CARD = "data/models/gpt2-mini/README.md"
PROJECT = Project(ROOT)


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


PAGES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.md"))
OURS = [page for page in PAGES if page != CARD]
BLOCK = re.compile(r"^ *```\w*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    return BLOCK.sub("", text)


def inline(text: str) -> list[str]:
    """List what stands in backticks."""
    return re.findall(r"`([^`\n]+)`", prose(text))


@functools.cache
def anchors(path: str) -> set[str]:
    """List what GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", prose(read(path)), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    text = prose(read(page))
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src(?:set)?="([^"]+)"', text)
    links += re.findall(r"^\[[^\]]+\]: (\S+)$", text, re.MULTILINE)
    for link in links:
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.resolve().relative_to(ROOT).as_posix()), link


def test_pages_of_folders_that_people_open_are_linked() -> None:
    for folder in ("stages", "stages/compare", "stages/export", "data", "metrics", "plots", "tests"):
        assert f"({folder}/README.md)" in read("README.md")
    for room in (ROOT / "stages").glob("*/__init__.py"):
        assert f"({room.parent.name})" in read("stages/README.md")
        assert room.with_name("README.md").is_file()
    assert (ROOT / "tests/benchmarks/README.md").is_file()


def test_lines_can_be_read_in_an_editor_and_the_first_page_is_short() -> None:
    long = [line for page in OURS for line in read(page).splitlines() if len(line) > 125 and not line.startswith("|")]
    assert long == []
    lines = read("README.md").splitlines()
    assert len(lines) <= 160
    assert max(map(len, lines)) <= 120


def test_every_figure_is_shown() -> None:
    """In the reader's theme, and with a text for those who do not see it."""
    text = read("plots/README.md")
    shown = re.findall(
        r'^<picture>\n  <source media="\(prefers-color-scheme: light\)" srcset="other_theme/(.+)">\n'
        r'  <img src="figures/(.+)"\n       alt=".{20,}">\n</picture>$',
        text,
        re.MULTILINE,
    )
    assert text.count("<picture>") == len(shown)
    for folder, names in zip(("other_theme", "figures"), zip(*shown, strict=True), strict=True):
        assert {path.name for path in (ROOT / "plots" / folder).glob("*.png")} == set(names)
    assert PROJECT.setting("figures.theme") == "dark"


HOLDS = {True: "yes", False: "no", None: "–"}


def rows_under(page: str, header: str) -> list[str]:
    """List the rows of the table with a header."""
    (rows,) = re.findall(rf"^{re.escape(header)}\n\|[-|]+\n((?:\|.*\|\n)+)", read(page), re.MULTILINE)
    return rows.splitlines()


def test_tables_of_findings_are_those_of_the_committed_run() -> None:
    rows, claims = {}, json.loads(read("metrics/claims.json"))
    assert set(claims) == {*CLAIMS, *TESTS}
    for name, claim in claims.items():
        asked = CLAIMS.get(name) or TESTS[name]
        post = f"{claim['post']} | " if name in CLAIMS else ""
        rows[name] = f"| {asked.finding} | {post}{in_words(claim['measured'])} | {HOLDS[claim['holds']]} |"
    findings, questions = "| finding | the post, on GPT-2-XL | this run | holds |", "| question | this run | survives |"
    assert rows_under("metrics/README.md", findings) == [rows[name] for name in CLAIMS]
    assert rows_under("plots/README.md", questions) == [rows[name] for name in TESTS]
    some = rows_under("README.md", findings)
    assert len(some) >= 3
    assert set(some) <= set(rows.values())


def test_numbers_of_the_summary_are_those_of_the_committed_run() -> None:
    summary = json.loads(read("metrics/summary.json"))
    assert f"{summary['claims']} of the post's {len(of_post())} findings hold" in read("README.md")

    lines = read("stages/compare/README.md").splitlines()
    (header,) = [line for line in lines if re.match(r" +Experiment +rsa .* beyond$", line)]
    main = lines[lines.index(header) + 2]
    shown = dict(zip(header.split()[1:], main.split()[1:], strict=True))
    assert {name: float(value) for name, value in shown.items()} == {name: summary[name] for name in shown}
    assert set(shown) == {name for name, value in summary.items() if not isinstance(value, list)}

    twins = rows_under("plots/README.md", "| mean over layers (and pairs) | trained | untrained |")
    keys = ["qk_r", "rsa", "rsa_null", "rsa_gap", "d_q", "d_k", "d_v", "d_null"]
    trained = [float(row.split(" | ")[1]) for row in twins]
    assert trained == pytest.approx([summary[key] for key in keys], abs=0.0056)


def test_every_column_and_measure_of_a_table_is_told() -> None:
    text = read("metrics/README.md")
    told = re.findall(r"`(\w+)`", text)
    for table in (ROOT / "metrics").glob("*.csv"):
        assert f"[{table.name}]({table.name})" in text
        for measure in pd.read_csv(table).get("measure", pd.Series()).unique():
            assert any(measure == name or (name[0] == "_" and measure.endswith(name)) for name in told), measure
    for key in (*json.loads(read("metrics/summary.json")), "rsa_pearson"):
        assert f"`{key}`" in text
    statuses = rows_under("metrics/README.md", "| status | why cells are empty |")
    assert [row.split("`")[1] for row in statuses] == [*STATUS]


def commands(text: str) -> list[list[str]]:
    """Split what a page says to type, in blocks and in backticks, into commands, each as its words."""
    found = []
    for line in [*"\n".join(BLOCK.findall(text)).splitlines(), *inline(text)]:
        if re.search(r"(?:^|\s)(?:dvc|python) ", line) and not line.startswith("#SBATCH"):
            lexer = shlex.shlex(re.sub(r"^\s*- run: ", "", line), posix=True, punctuation_chars="&|;")
            lexer.whitespace_split = True
            words = [token if set(token) - set("&|;") else None for token in lexer]
            found += [list(group) for is_command, group in groupby(words, bool) if is_command]
    return [words for words in found if words[0] in {"dvc", "python"} and words[1:]]


@pytest.mark.parametrize("page", OURS)
def test_every_command_is_one(page: str) -> None:
    params = PROJECT.params
    stages = set(PROJECT.pipeline)
    parser = get_main_parser()
    for words in commands(read(page)):
        match words:
            case ["dvc", *arguments]:
                options = parser.parse_args(arguments)
                if arguments[0] == "repro":
                    assert set(options.targets) - {"NAME"} <= stages, words
                for change in getattr(options, "set_param", None) or []:
                    key = change.partition("=")[0]
                    assert key.startswith("+") or known(key, params), change
            case ["python", "-m", module, *arguments] if module.startswith("stages"):
                name = module.removeprefix("stages").removeprefix(".")
                folder = ROOT / "stages" / name
                assert name in stages or (folder / "__main__.py").is_file(), module
                source = (folder / "__main__.py").read_text(encoding="utf-8") if folder.is_dir() else '"--help"'
                for option in arguments:
                    assert not option.startswith("--") or f'"{option}"' in source or option == "--help", words
            case ["python", path, *_] if path.endswith(".py") and "/" in path:
                assert (ROOT / path).is_file(), path


def known(key: str, params: dict) -> bool:
    """Return whether params.yaml has a key, such as ``model.name``."""
    first, _, rest = key.partition(".")
    return isinstance(params, dict) and first in params and (not rest or known(rest, params[first]))


@pytest.mark.parametrize("page", OURS)
def test_every_setting_that_is_named_exists(page: str) -> None:
    params = PROJECT.params
    keys = [key[1] for code in inline(read(page)) if (key := re.match(r"([a-z_]+(?:\.[a-z_]+)+)(?:$|: |=)", code))]
    files = {".csv", ".json", ".py", ".safetensors"}
    settings = [key for key in keys if key.split(".")[0] in params and Path(key).suffix not in files]
    assert [key for key in settings if not known(key, params)] == []


def test_the_array_script_is_the_one_that_runs_on_slurm() -> None:
    scripts = [block for block in BLOCK.findall(read("stages/compare/README.md")) if "#SBATCH" in block]
    assert scripts == [read("tests/cluster/array.sh")]


def test_what_is_said_of_the_sentences_is_in_their_table() -> None:
    said = " ".join(read("plots/README.md").split())
    (alike,) = re.findall(r"in two sentences correlate at (\.\d+) or more in every layer and matrix", said)
    (near,) = re.findall(r"from two sentences differs by at most (\.\d+) from RSA within", said)
    ((layer, low, high),) = re.findall(r"Q–V in layer (\d) between (\.\d+) and (\.\d+), where the post's", said)
    table = read_table(ROOT / "metrics/sentences.csv")
    of_all = {names[:2]: cells["value"] for names, cells in table.items() if names[2] == ALL_SENTENCES}
    assert min(of_all["reliability", name].min() for name in MATRICES) >= float(alike)
    assert max(abs(of_all["rsa", pair] - of_all["rsa_across", pair]).max() for pair in PAIRS) <= float(near)
    single = {names[2]: cells["value"][int(layer)] for names, cells in table.items() if names[:2] == ("rsa", "qv")}
    del single[ALL_SENTENCES]
    assert [f"{end(single.values()):.2f}".lstrip("0") for end in (min, max)] == [low, high]
    assert max(single, key=single.get) == OWN_SENTENCE


def test_the_graph_is_that_of_the_pipeline() -> None:
    pipeline = PROJECT.pipeline
    maker = {next(iter(out)): stage for stage, entry in pipeline.items() for out in entry["outs"]}
    needed = [(dep, stage) for stage, entry in pipeline.items() for dep in entry["deps"]]
    real = networkx.DiGraph((maker[out], to) for dep, to in needed for out in maker if f"{out}/".startswith(f"{dep}/"))
    (drawing,) = [block for block in BLOCK.findall(read("stages/README.md")) if block.startswith("graph")]
    drawn = networkx.DiGraph()
    for line in drawing.splitlines()[1:]:
        sides = [re.findall(r"\w+", side) for side in line.split("-->")]
        drawn.add_edges_from((a, b) for before, after in pairwise(sides) for a in before for b in after)
    assert set(drawn) == set(pipeline)
    assert set(networkx.transitive_closure(drawn).edges) == set(networkx.transitive_closure(real).edges)
    post = drawing.partition("[The post]")[2].partition(" end\n")[0]
    assert set(re.findall(r"\w+", post)) == set(POST)
