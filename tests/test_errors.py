"""Mistakes end a stage with exit code 1 and plain words, and leave every earlier output byte for byte as it was."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, InProcess, Project


def corrupt(path: str, keep: int):
    """Make a mistake that cuts a file short."""

    def mistake(project: Project) -> None:
        file = project.root / path
        content = file.read_bytes()
        file.unlink()  # not through a link into DVC's cache
        file.write_bytes(content[:keep])

    return mistake


def setting(**values):
    return lambda project: project.set(**values)


def replaced(path: str, text: str):
    def mistake(project: Project) -> None:
        (project.root / path).unlink()
        (project.root / path).write_text(text, encoding="utf-8")

    return mistake


def own_words(text: str):
    def mistake(project: Project) -> None:
        (project.root / "own.csv").write_text(text, encoding="utf-8")
        project.set(words_file="own.csv")

    return mistake


def without(path: str):
    return lambda project: (project.root / path).unlink()


def swapped(path: str, other: str):
    def mistake(project: Project) -> None:
        (project.root / path).unlink()
        shutil.copyfile(project.root / other, project.root / path)

    return mistake


def spread(memory: dict):
    own = {"model__name": "data/models/gpt2-mini", "model__weights": "pretrained", "model__device_map": "auto"}
    return setting(**own, model__max_memory=memory)


def folder(path: str):
    def mistake(project: Project) -> None:
        (project.root / path).unlink()
        (project.root / path).mkdir()

    return mistake


LONG_WORD = f"word,category\n{'moon' * 300},a\nsun,a\npear,b\nlime,b\napple,b\n"

MISTAKES = [
    ("check", folder("params.yaml"), "params.yaml cannot be read: Is a directory"),
    ("check", setting(focus_layer=1000.0), "focus_layer: 1000.0 is not a whole number of 0 or more; write 1000"),
    ("check", setting(inference__alpha=1e-9), "inference.alpha: 1e-09 is not a number from 0.0002 to 0.5"),
    ("capture", spread({"gpu": "1GB"}), "model.max_memory: there is no device gpu on this machine, which has "),
    ("rsa", folder("data/similarity.safetensors"), "data/similarity.safetensors cannot be read: it is a folder"),
    ("rsa", swapped("data/similarity.safetensors", "data/reference.safetensors"), "its record lacks categories"),
    ("similarity", swapped("data/activations.safetensors", "data/reference.safetensors"), "its record lacks layers"),
    ("nulls", swapped("data/activations.safetensors", "data/reference.safetensors"), "its record lacks layers"),
    ("sentences", swapped("data/sentences.safetensors", "data/reference.safetensors"), "its record lacks templates"),
    (
        "capture",
        lambda p: (setting(prompt__multi_token="last")(p), replaced("data/word_list.csv", LONG_WORD)(p)),
        "tokens with 'moonmoonmoonmoonmoonmoonmoonmoonmoonmoonmoonmoonmoonmoonmoo..., the model takes 64",
    ),
    (
        "capture",
        setting(sentences__templates={"glued": "the{word}", "b": "a {word}"}),
        'single tokens with a space before {word}: "the {word}"; or choose',
    ),
    ("check", setting(similarity__metric="jaccard"), "params.yaml: similarity.metric: 'jaccard' is not known"),
    ("check", setting(words={"fruit": ["pear", 7, "lime"], "space": ["sun", "moon"]}), "word 2: 7 is not text"),
    (
        "check",
        setting(inference__permutations=19, inference__alpha=0.04),
        "params.yaml: inference.permutations: 19 is too few: inference.alpha: 0.04 needs at least 24",
    ),
    ("check", lambda p: p.replace("params.yaml", "focus_layer:", "focus_leyer:"), "did you mean focus_layer?"),
    ("check", lambda p: p.replace("params.yaml", "tokens:", "tokens: ["), "not valid YAML"),
    ("rsa", setting(figures__theme="blue"), "figures.theme: 'blue' is not known; choose one of dark, light"),
    (
        "capture",
        replaced("data/word_list.csv", "word,category\nzyzzyva,a\nmoon,a\npear,b\nqqxx,b\nlime,b\n"),
        "words of several tokens: zyz",
    ),
    ("capture", setting(focus_layer=6), "focus_layer: 6 is not a layer of this model, which has 0, 1"),
    ("capture", setting(tokens__context=9), "tokens.context: 9 is outside the prompt of 5 tokens: -5 to 4"),
    ("capture", setting(tokens__target=-6), "tokens.target: -6 is outside the prompt of 5 tokens: -5 to 4"),
    ("capture", setting(model__name="data/models/none"), "model.name: there is no folder data/models/none"),
    ("capture", setting(model__name="data"), "model.name: the folder data holds no model"),
    ("capture", setting(model__weights="pretrained"), "has no weights in safetensors format"),
    ("check", setting(words_file="none.csv"), "words_file: there is no file none.csv"),
    ("check", setting(words_file="data"), "words_file: there is no file data"),
    (
        "check",
        own_words("word;category\npear;fruit\n"),
        "own.csv, line 1: no column word: the first line must be word,",
    ),
    ("check", own_words("word,category\npear,\n"), "own.csv, line 2: the category is empty"),
    (
        "check",
        setting(words={"fruit": "pear", "space": ["sun", "moon"]}),
        "params.yaml: words.fruit: write a list, one",
    ),
    (
        "check",
        setting(capture__positions=[1, 2], tokens__target=-1),
        "capture.positions: [1, 2] lacks tokens.target, which is -1: list",
    ),
    ("capture", setting(capture__positions=[1, -1, 7]), "capture.positions: 7 is outside the prompt of 5 tokens"),
    (
        "capture",
        setting(prompt__template="The next word is{word}"),
        'single tokens with a space before {word}: prompt.template: "The next word is {word}"; or choose',
    ),
    (
        "capture",
        setting(prompt__template="{word} is next"),
        'single tokens with a space before {word}: prompt.template: " {word} is next"; or choose',
    ),
    ("capture", corrupt("data/word_list.csv", 0), "data/word_list.csv is empty"),
    ("similarity", setting(tokens__target=5), "tokens.target: 5 is outside the prompt of 5 tokens: -5 to 4"),
    ("similarity", setting(tokens__target=2), "tokens.target: token 2 has the same vectors whatever the word"),
    ("similarity", corrupt("data/activations.safetensors", 1000), "data/activations.safetensors is cut short"),
    ("similarity", corrupt("data/capture.json", 100), "data/capture.json is cut short"),
    ("correlation", setting(tokens__context=-6), "tokens.context: -6 is outside the prompt of 5 tokens"),
    ("rsa", corrupt("data/similarity.safetensors", 0), "data/similarity.safetensors is cut short or not a safetensors"),
    (
        "separability",
        without("data/similarity.safetensors"),
        "data/similarity.safetensors is not there: run",
    ),
    ("inference", corrupt("data/similarity.safetensors", 90), "data/similarity.safetensors is cut short"),
    ("controls", corrupt("data/reference.safetensors", 3), "data/reference.safetensors is cut short"),
    ("controls", setting(tokens__target=-6), "tokens.target: -6 is outside the prompt of 5 tokens"),
    ("claims", corrupt("metrics/controls.csv", 1000), "metrics/controls.csv is cut short or not a table"),
    ("figures", corrupt("metrics/inference.csv", 30), "metrics/inference.csv is cut short or not a table"),
    ("heads", corrupt("data/capture.json", 99), "data/capture.json is cut short"),
    ("heads", corrupt("data/similarity.safetensors", 99), "data/similarity.safetensors is cut short"),
    ("heads", setting(tokens__target=-6), "tokens.target: -6 is outside the prompt of 5 tokens"),
    ("heads", setting(heads__enabled="yes"), "params.yaml: heads.enabled: 'yes'"),
    ("claims", corrupt("metrics/heads.csv", 200), "metrics/heads.csv is cut short or not a table"),
    ("claims", setting(focus_layer=2), "focus_layer: 2 is not a layer of this model, which has 0, 1"),
    ("claims", corrupt("metrics/rsa.csv", 60), "metrics/rsa.csv is cut short or not a table"),
    ("figures", setting(focus_layer=7), "focus_layer: 7 is not a layer of this model"),
    ("figures", corrupt("data/context.safetensors", 99), "data/context.safetensors is cut short"),
    ("matrices", corrupt("data/similarity.safetensors", 99), "data/similarity.safetensors is cut short"),
    ("report", corrupt("metrics/claims.json", 99), "metrics/claims.json is cut short"),
    (
        "report",
        corrupt("plots/figures/fig1_masks.png", 99),
        "plots/figures/fig1_masks.png is cut short or not a figure",
    ),
    ("report", setting(focus_layer=7), "focus_layer: 7 is not a layer of this model"),
    ("report", without("plots/other_theme/fig1_masks.png"), "plots/other_theme/fig1_masks.png is not there: run"),
]


@pytest.mark.parametrize(("stage", "mistake", "expected"), MISTAKES, ids=[f"{s}: {e[:40]}" for s, _, e in MISTAKES])
def test_a_mistake_is_told_and_nothing_is_lost(tiny_stage: InProcess, stage: str, mistake, expected: str) -> None:
    mistake(tiny_stage.project)
    before = tiny_stage.project.outputs()
    code, said = tiny_stage.run(stage)
    lines = [line for line in said.splitlines() if line and "layer/s" not in line]
    assert code == 1
    assert expected in said
    assert lines[0].startswith(f"{stage}: ")
    assert len(lines) <= 2
    assert "Traceback" not in said
    assert tiny_stage.project.outputs() == before
    assert not list(tiny_stage.project.root.rglob(".*.tmp"))


def test_activations_that_are_not_finite_are_not_written(
    tiny_stage: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stages.models import load

    def broken(*arguments: object):
        model = load_model(*arguments)
        model.h[0].attn.c_attn.weight.data[0, 0] = float("inf")
        return model

    load_model = load._build
    monkeypatch.setattr(load, "_build", broken)
    before = tiny_stage.project.outputs()
    code, said = tiny_stage.run("capture")
    assert code == 1
    assert "activations of layer 0 (q) are not finite" in said
    assert tiny_stage.project.outputs() == before


@pytest.mark.skipif(os.name == "nt", reason="Windows limits no file's size")
@pytest.mark.parametrize("stage", ["capture", "similarity", "inference", "figures", "report"])
def test_a_disk_that_is_full_is_told_and_nothing_is_lost(tiny: Project, stage: str) -> None:
    """A limit on a file's size is another error than a full disk, raised at the same place: where a file is written."""
    before = tiny.outputs()
    done = tiny.run("sh", "-c", f"ulimit -f 1; exec '{sys.executable}' -m stages.{stage}", check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"{stage}: File too large"
    assert "Traceback" not in done.stderr
    assert tiny.outputs() == before
    assert not list(tiny.root.rglob(".*.tmp"))


def test_dvc_passes_the_message_on_and_keeps_the_lock(tiny: Project) -> None:
    before, lock = tiny.outputs(), (tiny.root / "dvc.lock").read_bytes()
    tiny.set(similarity__metric="jaccard")
    done = tiny.dvc("repro", check=False)
    assert done.returncode == 255
    assert "check: params.yaml: similarity.metric: 'jaccard' is not known" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert tiny.outputs() == before
    assert (tiny.root / "dvc.lock").read_bytes() == lock


#: What DVC says before any stage runs (data/README.md) → a mistake after which it does.
BEFORE_ANY_STAGE = {
    "Could not find 'words_file'": replaced("params.yaml", ""),
    "unexpected error": setting(words_file=None),
    "Cannot interpolate data of type 'list'": setting(words_file=["own.csv"]),
    "Same item(s) are defined as both a dependency and an output": setting(words_file="data"),
    "YAML file structure is corrupted": replaced("params.yaml", "model: ["),
    "is not a git repository": lambda project: shutil.rmtree(project.root / ".git"),
    "exited with 127": lambda project: project.env.update(PATH=tools(project.root.parent)),
}


def tools(folder: Path) -> str:
    """Make a folder with a shell in it, and no `python`."""
    for name in ("sh", "bash", "git"):
        if path := shutil.which(name):
            (folder / name).symlink_to(path)
    return str(folder)


@pytest.mark.parametrize("said", BEFORE_ANY_STAGE)
def test_what_dvc_says_first_is_explained(tiny: Project, said: str) -> None:
    BEFORE_ANY_STAGE[said](tiny)
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "--force"], cwd=tiny.root, env=tiny.env, capture_output=True, text=True
    )
    assert done.returncode == 255
    assert said in done.stderr
    assert f"| `{said}` |" in (ROOT / "data/README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("memory", [{}, {"cpu": "1GB"}, {"cpu": "4MB"}])
def test_a_model_is_spread_over_what_there_is(tiny_stage: InProcess, memory: dict) -> None:
    """As the stage is run: accelerate changes the mapping that it is given, and says nothing of where all fits."""
    spread(memory)(tiny_stage.project)
    assert tiny_stage.run("capture")[0] == 0


def test_a_pipeline_without_the_stage_is_told(tiny_stage: InProcess) -> None:
    replaced("dvc.yaml", "")(tiny_stage.project)
    told = "\nrsa: dvc.yaml has no stage rsa: `git restore dvc.yaml` brings it back\n"
    assert tiny_stage.run("rsa") == (1, told)


def test_of_many_mistakes_the_first_are_told(tiny_stage: InProcess) -> None:
    replaced("params.yaml", "focus_layer: 1\n")(tiny_stage.project)
    code, said = tiny_stage.run("check")
    assert (code, len(said.splitlines())) == (1, 1 + 5 + 1)
    assert said.endswith("\nand 9 more\n")


def test_a_file_in_the_place_of_a_folder_gives_way(tiny: Project) -> None:
    expected = tiny.outputs()
    shutil.rmtree(tiny.root / "plots/matrices")
    (tiny.root / "plots/matrices").write_text("mine", encoding="utf-8")
    tiny.run(sys.executable, "-m", "stages.matrices")
    assert tiny.outputs() == expected
    assert not list(tiny.root.rglob(".*.tmp"))


def test_a_failing_later_stage_leaves_gitignore_alone(tiny: Project) -> None:
    ignored = (tiny.root / ".gitignore").read_bytes()
    tiny.set(focus_layer=3)
    assert tiny.dvc("repro", check=False).returncode == 255
    assert (tiny.root / ".gitignore").read_bytes() == ignored


@pytest.mark.parametrize("stage", ["check", "capture", "claims"])
def test_help_says_what_a_stage_does_and_touches(tiny: Project, stage: str) -> None:
    said = tiny.run(sys.executable, "-m", f"stages.{stage}", "--help").stdout
    assert f"usage: python -m stages.{stage}" in said
    for path in tiny.paths(stage, "outs"):
        assert path in said
    assert "${" not in said
    assert ("the words_file" in said) == (stage == "check")


def test_an_unknown_option_is_refused(tiny: Project) -> None:
    before = tiny.outputs()
    done = tiny.run(sys.executable, "-m", "stages.rsa", "--layer", "3", check=False)
    assert done.returncode == 2
    assert "unrecognized arguments" in done.stderr
    assert tiny.outputs() == before


def test_a_stage_run_elsewhere_says_where_to_run_it(tiny: Project) -> None:
    code = "import os\nfrom stages.rsa import *\nos.chdir('data')\nrun('rsa', main, '')"
    done = tiny.run(sys.executable, "-c", code, check=False)
    assert done.returncode == 1
    assert "rsa: dvc.yaml is missing: run this in the repository's own folder" in done.stderr


def test_a_token_behind_the_word_whose_first_layer_does_not_see_it_is_told(tiny_stage: InProcess) -> None:
    tiny_stage.project.set(prompt__template="The {word} is good", tokens__target=-1, sentences__enabled=False)
    for stage in ("check", "capture", "sentences"):
        assert tiny_stage.run(stage)[0] == 0
    code, said = tiny_stage.run("similarity")
    told = "token -1 has the same vectors whatever the word in layer 0: choose word, its own token (1)"
    assert (code, said.strip()) == (1, f"similarity: tokens.target: {told}")


def test_a_layer_of_zeros_is_named_with_its_matrix(tiny_stage: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.models import load

    def zeroed(*arguments: object):
        model = build(*arguments)
        model.h[1].attn.c_attn.weight.data[:, 16:32] = 0
        return model

    build = load._build
    monkeypatch.setattr(load, "_build", zeroed)
    assert tiny_stage.run("capture")[0] == 0
    code, said = tiny_stage.run("similarity")
    told = "a vector is zero, and has no direction to compare; euclidean distances need none"
    assert (code, said) == (1, f"\nsimilarity: layer 1: k: {told}\n")


@pytest.mark.parametrize("stage", ["capture", "nulls"])
def test_too_little_memory_for_the_model_is_told(
    tiny_stage: InProcess, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    import torch

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    before = tiny_stage.project.outputs()
    for place in ("stages.models.load._build", "torch.nn.Linear.__call__", "transformers.GPT2Model.__call__"):
        with monkeypatch.context() as patch:
            patch.setattr(place, full)
            code, said = tiny_stage.run(stage)
        if code:
            told = "take fewer words at a time, model.device_map: auto, or a smaller model"
            assert (code, said) == (1, f"\n{stage}: not enough memory: {told}\n"), place
    assert tiny_stage.project.outputs() == before


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no such modes")
@pytest.mark.parametrize("path", ["data/similarity.safetensors", "metrics/rsa.csv"])
def test_a_file_that_may_not_be_read_is_no_damaged_one(tmp_path: Path, monkeypatch, path: str) -> None:
    from stages.artefacts.tables import read_table
    from stages.artefacts.tensors import open_tensors
    from stages.pipeline.errors import UserError

    def read(file: Path) -> None:
        if file.suffix == ".csv":
            read_table(file, [0])
        else:
            with open_tensors(file):
                pass

    file = tmp_path / Path(path).name
    (tmp_path / "folder" / file.name).mkdir(parents=True)
    with pytest.raises(UserError, match="cannot be read: it is a folder"):
        read(tmp_path / "folder" / file.name)
    file.write_bytes(b"")
    monkeypatch.setattr(os, "access", lambda *_: False)  # the administrator may read everything
    with pytest.raises(UserError, match="cannot be read: this user may not read it"):
        read(file)
