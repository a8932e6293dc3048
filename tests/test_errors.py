"""Mistakes end a stage with exit code 1 and plain words, and leave every earlier output byte for byte as it was."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT, InProcess, Project, assert_told, setting
from torch import nn

from stages.artefacts.files import Tensors
from stages.models import load
from stages.pipeline.errors import UserError


def cut(path: str, keep: int, then: bytes = b""):
    return lambda project: write(project, path, (project.root / path).read_bytes()[:keep] + then)


def replaced(path: str, text: str):
    return lambda project: write(project, path, text.encode())


def swapped(path: str, other: str):
    return lambda project: write(project, path, (project.root / other).read_bytes())


def write(project: Project, path: str, content: bytes) -> None:
    (project.root / path).unlink(missing_ok=True)  # not through a link into DVC's cache
    (project.root / path).write_bytes(content)


def without(path: str):
    return lambda project: (project.root / path).unlink()


def folder(path: str):
    return lambda project: ((project.root / path).unlink(), (project.root / path).mkdir())


SEVERAL_TOKENS = "word,category\n" + "".join(f"zyzzyva{i},{'ab'[i % 2]}\n" for i in range(1000))
NO_HEADS = '{"model_type": "gpt2", "n_embd": 16, "n_layer": 2, "n_head": 0}'
ACTIVATIONS, SENTENCES, SIMILARITY = (f"data/{name}.safetensors" for name in ("activations", "sentences", "similarity"))

#: What of settings is wrong by itself is test_settings's; of lists of words, test_words's.
MISTAKES = [
    ("check", folder("params.yaml"), "params.yaml cannot be read: Is a directory"),
    ("check", setting(words_file="none.csv"), "words_file: there is no file none.csv"),
    ("check", setting(words_file="data"), "words_file: data is a folder or a pipe, not a file"),
    ("check", setting(words_file="plots/../data/word_list.csv"), "word_list.csv is what this stage writes: name"),
    ("rsa", setting(figures__theme="blue"), "figures.theme: 'blue' is not known; choose one of dark, light"),
    ("capture", setting(sentences__templates={"a": "a{word}", "b": "a {word}"}), 'space before {word}: "a {word}"; or'),
    ("capture", setting(prompt__template="{word} is"), 'space before {word}: prompt.template: " {word} is"; or choose'),
    ("capture", replaced("data/word_list.csv", SEVERAL_TOKENS), "; and 900 more\nchoose other words"),
    ("capture", setting(similarity__reference_words=["sofa", "zyzzyva"]), "reference_words of several tokens: zyzzyva"),
    ("capture", setting(focus_layer=6), "focus_layer: 6 is not a layer of this model, which has 0, 1"),
    ("capture", setting(tokens__context=9), "tokens.context: 9 is outside the prompt of 5 tokens: -5 to 4"),
    ("capture", setting(capture__positions=[1, -1, 7]), "capture.positions: 7 is outside the prompt of 5 tokens"),
    ("capture", setting(model__name="~nobody-here/m"), "model.name: there is no folder ~nobody-here/m"),
    ("capture", setting(model__name="/"), "model.name: the folder / holds no model"),
    ("capture", replaced("data/models/tiny/config.json", NO_HEADS), "tiny cannot be loaded, a file of it is missing"),
    ("similarity", setting(tokens__target=5), "tokens.target: 5 is outside the prompt of 5 tokens: -5 to 4"),
    ("similarity", setting(tokens__target=2), "tokens.target: token 2 has the same vectors whatever the word"),
    ("similarity", cut(ACTIVATIONS, -10), f"{ACTIVATIONS} is cut short"),
    ("similarity", swapped(ACTIVATIONS, SIMILARITY), "its record lacks positions"),
    ("similarity", cut("data/capture.json", 100), "data/capture.json is cut short"),
    ("rsa", cut(SIMILARITY, 0), f"{SIMILARITY} is cut short or not a safetensors"),
    ("rsa", folder(SIMILARITY), f"{SIMILARITY} cannot be read: it is a folder"),
    ("rsa", swapped(SIMILARITY, SENTENCES), "its record lacks categories"),
    ("nulls", cut("data/projections.safetensors", -99, bytes(99)), "v as captured is not its input times the weights"),
    ("separability", without(SIMILARITY), f"{SIMILARITY} is not there: run `dvc repro`, which makes it or names what"),
    ("figures", cut("metrics/inference.csv", 30), "metrics/inference.csv is cut short or not a table"),
    ("report", cut("plots/figures/fig1_masks.png", 99), "plots/figures/fig1_masks.png is cut short or not a figure"),
    ("report", without("plots/other_theme/fig1_masks.png"), "plots/other_theme/fig1_masks.png is not there: run"),
    ("report", without("metrics/rsa.csv"), "metrics/rsa.csv is not there: run"),
]


@pytest.mark.parametrize(("stage", "mistake", "expected"), MISTAKES, ids=[f"{s}: {e[:40]}" for s, _, e in MISTAKES])
def test_a_mistake_is_told_and_nothing_is_lost(tiny_stage: InProcess, stage: str, mistake, expected: str) -> None:
    mistake(tiny_stage.project)
    before = tiny_stage.project.outputs()
    code, said = tiny_stage.run(stage)
    assert_told(stage, expected, code, said.lstrip())
    assert tiny_stage.project.outputs() == before
    assert not list(tiny_stage.project.root.rglob(".*.tmp"))


@pytest.mark.parametrize(
    ("bias", "stages", "told"),
    [
        (0, ("sentences", "similarity"), "k: a vector is zero, and has no direction to compare; euclidean distances"),
        (1, ("sentences", "rsa"), "a correlation is undefined: K does not vary; are its weights damaged?"),
    ],
)
def test_a_layer_of_zeros_is_named_with_its_matrix(
    tiny_stage: InProcess, monkeypatch: pytest.MonkeyPatch, bias: int, stages: tuple[str, str], told: str
) -> None:
    def without_keys(*arguments: object) -> nn.Module:
        model = build(*arguments)
        fused = model.h[1].attn.c_attn
        fused.weight.data[:, 16:32], fused.bias.data[16:32] = 0, bias
        return model

    build = load._build
    monkeypatch.setattr(load, "_build", without_keys)
    tiny_stage.log_of("capture", *(["similarity"] if bias else []))
    for stage in stages:
        code, said = tiny_stage.run(stage)
        assert (code, said[: len(told) + len(stage) + 12]) == (1, f"\n{stage}: layer 1: {told}")


@pytest.mark.skipif(os.name == "nt", reason="Windows limits no file's size")
@pytest.mark.parametrize("stage", ["capture", "similarity", "inference", "figures", "report"])
def test_a_disk_that_is_full_is_told_and_nothing_is_lost(tiny_stage: InProcess, stage: str) -> None:
    """A limit on a file's size is another error than a full disk, raised at the same place: where a file is written."""
    from resource import RLIMIT_FSIZE, getrlimit, setrlimit

    before, limits = tiny_stage.project.outputs(), getrlimit(RLIMIT_FSIZE)
    setrlimit(RLIMIT_FSIZE, (99, limits[1]))
    try:
        code, said = tiny_stage.run(stage)
    finally:
        setrlimit(RLIMIT_FSIZE, limits)
    assert (code, said.splitlines()[-1]) == (1, f"{stage}: File too large")
    assert "Traceback" not in said
    assert tiny_stage.project.outputs() == before
    assert not list(tiny_stage.project.root.rglob(".*.tmp"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"similarity__metric": "x"}, "check: params.yaml: similarity.metric: 'x' is not known"),
        ({"focus_layer": 3}, "claims: focus_layer: 3 is not a layer of this model"),
    ],
)
def test_dvc_passes_the_message_on_and_keeps_the_lock(tiny: Project, settings: dict, said: str) -> None:
    """In the first stage that runs, and in a later one: then DVC would write its .gitignore anew."""
    lock, ignored = (tiny.root / name for name in ("dvc.lock", ".gitignore"))
    before = tiny.outputs(), lock.read_bytes(), ignored.read_bytes()
    tiny.set(**settings)
    done = tiny.dvc("repro", check=False)
    assert done.returncode == 255
    assert said in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert (tiny.outputs(), ignored.read_bytes()) == (before[0], before[2])
    assert lock.read_bytes() == before[1] or "focus_layer" in settings  # the check passed, and is recorded


#: What DVC says before any stage runs (data/README.md) → a mistake after which it does.
BEFORE_ANY_STAGE = {
    "Could not find 'words_file'": replaced("params.yaml", ""),
    "unexpected error": setting(words_file=None),
    "Cannot interpolate data of type 'list'": setting(words_file=["own.csv"]),
    "Same item(s) are defined as both a dependency and an output": setting(words_file="data"),
    "YAML file structure is corrupted": replaced("params.yaml", "model: ["),
    "is not a git repository": lambda project: shutil.rmtree(project.root / ".git"),
    "exited with 127": lambda project: project.env.update(PATH=str(project.root)),
}


@pytest.mark.parametrize("said", BEFORE_ANY_STAGE)
def test_what_dvc_says_first_is_explained(tiny: Project, said: str) -> None:
    BEFORE_ANY_STAGE[said](tiny)
    pathless = {"env": tiny.env} if "127" in said else {}
    done = tiny.dvc("repro", "--force", check=False, **pathless)
    assert done.returncode == 255
    assert said in done.stderr
    assert f"| `{said}` |" in (ROOT / "data/README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("memory", [{}, {"cpu": "1GB"}, {"cpu": "4MB"}])
def test_a_model_is_spread_over_what_there_is(tiny_stage: InProcess, memory: dict) -> None:
    """As the stage is run: accelerate changes the mapping that it is given, and says nothing of where all fits."""
    own = {"model__name": "data/models/gpt2-mini", "model__weights": "pretrained", "model__device_map": "auto"}
    tiny_stage.project.set(**own, model__max_memory=memory)
    assert tiny_stage.run("capture")[0] == 0


def test_a_pipeline_without_the_stage_is_told(tiny_stage: InProcess) -> None:
    told = "\nrsa: dvc.yaml has no stage rsa: `git restore dvc.yaml` brings it back\n"
    for text in ("", "stages: {}", "stages: [rsa]", "stages: {rsa: 5}"):
        replaced("dvc.yaml", text)(tiny_stage.project)
        assert tiny_stage.run("rsa") == (1, told)


@pytest.mark.parametrize("stage", ["check", "capture"])
def test_help_says_what_a_stage_does_and_touches(tiny: Project, stage: str) -> None:
    said = tiny.run(sys.executable, "-m", f"stages.{stage}", "--help").stdout
    assert f"usage: python -m stages.{stage}" in said
    for path in tiny.paths(stage, "outs"):
        assert path in said
    assert "${" not in said
    assert ("the words_file" in said) == (stage == "check")


def test_tests_without_a_commit_say_so(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tests", tmp_path / "tests")
    env = {name: value for name, value in os.environ.items() if name != "TESTS_SUBJECT"}
    for prepare in (["git", "--version"], ["git", "init", "-q"]):
        subprocess.run(prepare, cwd=tmp_path, check=True, capture_output=True)
        command = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/test_pairs.py")
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        told = "the tests need a commit: git init && git add -A && git commit -m start\n"
        assert (done.returncode, done.stderr) == (1, told)


@pytest.mark.parametrize("place", ["stages.models.load._build", "transformers.GPT2Model.__call__"])
def test_too_little_memory_for_the_model_is_told(tiny_stage: InProcess, monkeypatch, place: str) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    before = tiny_stage.project.outputs()
    monkeypatch.setattr(place, full)
    told = "not enough memory: take fewer words at a time, model.device_map: auto, or a smaller model"
    assert tiny_stage.run("capture") == (1, f"\ncapture: {told}\n")
    assert tiny_stage.project.outputs() == before


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no such modes")
def test_a_file_that_may_not_be_read_is_no_damaged_one(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "a.safetensors").touch()
    monkeypatch.setattr(os, "access", lambda *_: False)  # the administrator may read everything
    with pytest.raises(UserError, match="cannot be read: this user may not read it"):
        Tensors(tmp_path / "a.safetensors")
