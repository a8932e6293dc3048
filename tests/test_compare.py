"""python -m stages.compare: layers of two runs against plain loops, words matched by name, mistakes told."""

import json
import re
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Project, assert_told, remove
from safetensors.numpy import load_file
from scipy.spatial.distance import pdist
from tensor_files import write_tensors

from stages.artefacts.schema import OFF
from stages.artefacts.tables import read_table, write_table
from stages.compare import __main__ as compare
from stages.compare import figure
from stages.compare.experiments import Experiment, packed
from stages.pipeline.errors import UserError
from stages.plotting.others import models

WORDS = ["pear", "moon", "star", "apple", "lime", "galaxy"]
RECORD = {"words": WORDS, "categories": ["any"] * len(WORDS), "metric": "cosine", "transform": "none"}


def save(path: Path, words: list[str], seed: int, count: int = 2, **record: object) -> Path:
    """Write a similarity file: each word has its own vectors, whatever its place in the list."""
    known = [*WORDS, "orbit", "sofa", "lamp"]
    vectors = np.random.default_rng(seed).normal(size=(3, 4, len(known), 5))[:, :count, [*map(known.index, words)]]
    tensors = {name: np.stack([*map(pdist, layers)]) for name, layers in zip("qkv", vectors, strict=True)}
    write_tensors(path, tensors, RECORD | {"words": words, **record})
    return path


@pytest.fixture
def run(in_process: Callable) -> Callable[..., tuple[int, str, str]]:
    return partial(in_process, compare)


def test_words_are_matched_by_name_in_any_order(tmp_path: Path, run) -> None:
    a, b = save(tmp_path / "a", WORDS, 0, count=3), save(tmp_path / "b", WORDS, 1)
    c = save(tmp_path / "c", ["orbit", *reversed(WORDS), "sofa"], 1, transform="center")
    assert run(a, b, "--out", tmp_path / "ab")[0] == 0
    code, said, _ = run(a, c, "--out", tmp_path / "ac")
    assert code == 0
    assert "6 words in common, 6 in A, 8 in B" in said
    assert "note: similarity.transform differs: none in A, center in B" in said
    table = pd.read_csv(tmp_path / "ac/compare.csv")
    pd.testing.assert_frame_equal(table, pd.read_csv(tmp_path / "ab/compare.csv"))
    assert list(table) == ["layer_a", "layer_b", "q", "k", "v"]
    first, second = load_file(a), load_file(b)
    for row in table.itertuples():
        for name in "qkv":
            expected = np.corrcoef(first[name][row.layer_a], second[name][row.layer_b])[0, 1]
            assert getattr(row, name) == pytest.approx(expected, abs=1e-6)
    assert len(table) == 3 * 2
    assert (tmp_path / "ac/compare.png").read_bytes().startswith(b"\x89PNG")


def test_chosen_matrices_the_layer_most_alike_and_the_numbers_of_a_hybrids_layers(tmp_path: Path, run) -> None:
    a, b = save(tmp_path / "a", WORDS, 0, count=3, layers=[1, 3, 7]), save(tmp_path / "b", WORDS, 1, count=4)
    code, said, _ = run(a, b, "--matrix", "v", "--out", tmp_path, "--theme", "light")
    assert code == 0
    table = pd.read_csv(tmp_path / "compare.csv").pivot(index="layer_a", columns="layer_b", values="v")
    assert (list(table.index), list(table.columns)) == ([1, 3, 7], [0, 1, 2, 3])
    rows = [line.split() for line in said.splitlines() if line.strip()[:1].isdigit() and "(layer" in line]
    for cells, (layer, scores) in zip(rows, table.iterrows(), strict=True):
        same = [f"{scores[layer]:.2f}"] if layer in scores else []
        assert cells == [str(layer), *same, f"{scores.max():.2f}", "(layer", f"{scores.idxmax()})"]


NONE = "b.safetensors holds no similarities: name a run, or its data/similarity.safetensors"
ONES = np.ones((2, 15))
#: What is said → what makes the second file.
MISTAKES = [
    ("have 3 words in common, a comparison needs 4", lambda b: save(b, ["sofa", "lamp", *WORDS[:3]], 1)),
    ("the metrics differ: cosine in ", lambda b: save(b, WORDS, 1, metric="euclidean")),
    (NONE, lambda b: write_tensors(b, {"attn_0_q": ONES})),
    (NONE, lambda b: b.write_bytes(save(b, WORDS, 1).read_bytes()[:99])),
    ("for each pair of its 6 words", lambda b: write_tensors(b, dict.fromkeys("qkv", ONES[:, :10]), RECORD)),
    ("one of its sides is constant", lambda b: write_tensors(b, dict.fromkeys("qkv", ONES), RECORD)),
    ("there is no file ", lambda b: None),
]


@pytest.mark.parametrize(("expected", "make"), MISTAKES)
def test_a_mistake_is_told_and_nothing_written(tmp_path: Path, run, expected: str, make: Callable) -> None:
    make(other := tmp_path / "b.safetensors")
    code, _, said = run(save(tmp_path / "a", WORDS, 0), other, "--out", tmp_path / "out")
    assert_told("compare", expected, code, said)
    assert not (tmp_path / "out").exists()


def test_what_it_cannot_take_is_told(tmp_path: Path, run) -> None:
    code, _, said = run("HEAD")
    assert code == 2
    assert "give two runs to compare, or none to list the experiments" in said
    a = save(tmp_path / "a", WORDS, 0)
    code, _, said = run(a, a, "--out", a / "below")
    assert_told("compare", "cannot be written", code, said)


@pytest.fixture
def tiny(tiny: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The tiny run, in whose folder the command is."""
    monkeypatch.chdir(tiny.root)
    return tiny


def test_revisions_experiments_and_files(tiny: Project, run) -> None:
    """The committed run, one more as an experiment, and the files of both; then without DVC's cache."""
    first = (tiny.root / "data/similarity.safetensors").read_bytes()
    tiny.set(model__seed=1)
    tiny.repro("similarity")
    tiny.dvc("exp", "save", "--name", "other")
    (tiny.root / "first").write_bytes(first)
    found = set()
    for names in (("HEAD", "other"), ("first", "data/similarity.safetensors")):
        assert run(*names)[2] == ""
        found.add((tiny.root / "plots/compare/compare.csv").read_bytes())
    assert len(found) == 1
    assert "plots/compare" not in tiny.run("git", "status", "--porcelain", "--untracked-files=all").stdout
    remove(tiny.root / ".dvc/cache/files/md5")
    unknown = "compare: {} is neither a file nor a Git revision or experiment"
    for name in ("nosuch", "HEAD:params.yaml", "HEAD", ""):
        code, _, said = run(*(("first", name) if name else ("", "")))
        assert code == 1
        gone = "compare: data/similarity.safetensors of HEAD is neither in DVC's cache nor in a remote"
        assert said.startswith(gone if name == "HEAD" else unknown.format(name or "an empty name"))


def test_without_runs_the_experiments_are_listed_with_their_differences(tiny: Project, run) -> None:
    assert run()[1].startswith("no experiments yet: `dvc exp run ")
    summary = tiny.root / "metrics/summary.json"
    base = json.loads(summary.read_text(encoding="utf-8"))
    tiny.set(rsa__comparison="spearman", similarity__reference_words=["sofa", "lamp"])
    summary.write_text(json.dumps(base | {"rsa": 0.123}), encoding="utf-8")
    tiny.dvc("exp", "save", "--name", "ranks")
    tiny.run("git", "checkout", "-q", ".")
    tiny.run("git", "commit", "-q", "--allow-empty", "-m", "next")  # an experiment of another commit counts
    tiny.set(rsa__comparison="cka_debiased", figures__marks=False)
    tiny.dvc("exp", "save", "--name", "debiased")
    tiny.run("git", "checkout", "-q", ".")
    tiny.dvc("exp", "run", "--queue", "--name", "queued", "-S", "focus_layer=0")
    tiny.set(figures__dpi=60)
    code, said, errors = run()
    assert (code, errors) == (0, "")
    tables = (map(str.strip, block.splitlines()) for block in re.split(r"\n\s*\n", said.strip()))
    numbers, settings, *_ = ([line for line in table if "──" not in line] for table in tables)
    runs = ["workspace", "HEAD", "debiased", "ranks"]
    assert "\nqueued: queued; `dvc queue start` runs them, unless it does already\n" in said
    assert [row.split()[0] for row in numbers[-4:]] == runs
    assert max(map(len, numbers)) <= 84  # with the minus signs of random weights; trained models fit into 80
    expected = [value for value in base.values() if isinstance(value, int | float)]
    assert [float(cell) for cell in numbers[-3].split()[1:]] == pytest.approx(expected, abs=5e-4)
    assert numbers[-1].split()[1] == "0.123"
    assert [" ".join(row.split()) for row in settings] == [
        "experiment rsa.comparison similarity.reference_words figures.dpi figures.marks",  # of three values first
        "workspace pearson none 60 true",
        "HEAD pearson none 50 true",
        "debiased cka_debiased none 50 false",
        "ranks spearman sofa, lamp 50 true",
    ]


def test_experiments_are_drawn_as_other_models_are(tiny: Project, run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the nulls of their own transform and comparison, where they have them; what lacks a table is named."""
    drawn = []
    monkeypatch.setattr(figure, "models", lambda kept: drawn.append(kept) or models(kept))
    table, root = tiny.root / "metrics/nulls.csv", tiny.root
    write_table(table, "nulls.csv", OFF)
    tiny.dvc("exp", "save", "--name", "off")
    tiny.run("git", "checkout", "-q", ".")
    for name, comparison in (("ranks", "spearman"), ("whitened", "whitened_cosine")):
        tiny.set(rsa__comparison=comparison, similarity__transform="center")
        tiny.dvc("exp", "save", "--name", name)
        tiny.run("git", "checkout", "-q", ".")
    full = read_table(table)
    tiny.set(focus_layer=0)
    table.unlink()
    code, said, errors = run("--figure", "new/grid.png")
    assert (code, errors) == (0, "")
    assert said.endswith("not in the figure, as tables of theirs are missing: workspace\nnew/grid.png written\n")
    assert (root / "new/grid.png").read_bytes().startswith(b"\x89PNG")
    (kept,) = drawn
    named = {one.name: one for one in kept}
    assert sorted(named) == ["HEAD", "off", "ranks", "whitened"]
    rsa = read_table(root / "metrics/rsa.csv")
    np.testing.assert_array_equal(named["HEAD"].rsa["qk"], rsa["qk"])
    own = {"HEAD": ("none", "pearson", "pearson"), "ranks": ("center", "spearman", "pearson")}
    for name, (transform, comparison, of_d) in own.items():
        for key, choice in {("rsa", "qv"): comparison, ("d", "k"): of_d}.items():
            expected = full[*key, transform, choice, "spectrum"]["high"]
            np.testing.assert_array_equal(named[name].nulls[*key, "spectrum"]["high"], expected)
    panels = np.reshape(models(kept).axes, (2, 2, 3)).swapaxes(1, 2).reshape(-1, 2)[:4]
    assert {above.get_title(): [bool(axis.collections) for axis in (above, below)] for above, below in panels} == {
        "HEAD": [True, True],
        "off": [False, False],
        "ranks": [True, True],
        "whitened": [False, True],
    }
    for axis in panels.ravel():  # random weights give scores below 0
        low, high = axis.get_ylim()
        assert all(low <= min(line.get_ydata()) and max(line.get_ydata()) <= high for line in axis.lines)
    refused = run("--figure", "grid.png/x.pdf"), run("HEAD", "off", "--figure", "x.png")
    assert [code for code, *_ in refused] == [2, 2]
    code, _, errors = run("--figure", "params.yaml/grid.png")
    assert (code, errors.count("\n")) == (1, 1)
    assert "compare: --figure params.yaml/grid.png: cannot be written" in errors


def test_a_hybrid_is_drawn_and_that_there_is_nothing_to_draw_is_told(tiny: Project) -> None:
    for path in (tiny.root / "metrics" / name for name in figure.TABLES):
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
        path.unlink()
        rows.replace({"layer": {"0": "1", "1": "3"}}).to_csv(path, index=False)
    run = Experiment("workspace", {}, {"similarity.transform": "none", "rsa.comparison": "pearson"})
    assert figure.scores_of(run).nulls["rsa", "qk", "spectrum"]["value"].shape == (2,)
    (tiny.root / "metrics/summary.json").unlink()
    with pytest.raises(UserError, match="nothing to draw"):
        figure.draw([run], tiny.root / "grid.png", "dark")
    assert not (tiny.root / "grid.png").exists()


def test_settings_are_divided_into_tables_that_fit() -> None:
    settings = [{"a": "1", "words": "pear, lime", "b": "1"}, {"a": "1", "words": "pear, " * 40, "b": "2"}]
    runs = [Experiment("one", {}, settings[0]), Experiment("two", {}, settings[1])]
    assert packed(runs, ["words", "b", "words"], 80) == [["words", "b"], ["words"]]
    assert packed(runs, ["words", "b"], 50) == packed(runs, ["words", "b"], 5) == [["words"], ["b"]]


def test_experiments_outside_a_repository(tmp_path: Path, run, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    no_commit = "compare: this is no Git repository with a commit: `git init && git add -A && git commit -m start`\n"
    for runs in ((), ("HEAD", "main")):
        assert run(*runs)[::2] == (1, no_commit)
        subprocess.run(["git", "init", "-q", "."], check=True)
    assert run()[::2] == (1, no_commit)
    Project(tmp_path).run("git", "commit", "-q", "--allow-empty", "-m", "start")
    assert "compare: DVC cannot list experiments: " in run()[2]


def test_in_a_shallow_clone_it_says_what_experiments_need(tiny: Project, tmp_path: Path, run, monkeypatch) -> None:
    tiny.run("git", "commit", "-q", "--allow-empty", "-m", "next")  # of a single commit nothing is cut off
    tiny.run("git", "clone", "-q", "--depth", "1", f"file://{tiny.root}", str(tmp_path / "shallow"))
    clone = Project(tmp_path / "shallow")
    monkeypatch.chdir(clone.root)
    note = "in a shallow clone `--temp` and `--queue` lose experiments: `git fetch --unshallow` first"
    assert f"\n{note}\n" in run()[1]
    clone.run("git", "fetch", "-q", "--unshallow")
    assert "shallow" not in run()[1]
