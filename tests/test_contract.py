"""What dvc.yaml declares for a stage is what the stage reads and writes: no less, and no more."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Project, copy, digest, parse

from stages.__main__ import POST
from stages.pipeline.settings import by_key, load

PIPELINE = Project(ROOT).pipeline
STAGES = list(PIPELINE)
#: The stage that runs a model: it alone imports torch, whatever the settings.
CAPTURING = "capture"
KEYS = set(by_key(load(ROOT / "params.yaml")))


def in_git(out: str) -> bool:
    """Return whether an output is kept in Git, for people to read, or in DVC's cache."""
    return out.startswith(("metrics/", "plots/figures", "plots/other_theme"))


def within(path: str, folder: str) -> bool:
    """Return whether a path is that of a file or folder, or of what is in it."""
    return f"{path}/".startswith(f"{folder}/")


def keys_of(param: str) -> set[str]:
    """List the settings that an entry of a stage's params stands for: a key, or a section's keys."""
    return {key for key in KEYS if key == param or key.startswith(f"{param}.")}


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_lock_holds_the_stages_and_no_others() -> None:
    """DVC leaves a stage there that dvc.yaml has lost."""
    assert set(parse((ROOT / "dvc.lock").read_text(encoding="utf-8"))["stages"]) == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_what_is_declared_is_what_is_used(stage: str, tiny_template: Project, tmp_path: Path) -> None:
    """Run in a folder that holds the declared deps and what every stage needs; every dep and most params are used.

    Rooms are deps as folders; the files of a package that hold a docstring alone are none.
    """
    folder, deps, outs = tmp_path / "run", *(tiny_template.paths(stage, kind) for kind in ("deps", "outs"))
    model = ["data/models/tiny/config.json", "data/models/tiny/tokenizer.json"] if stage == CAPTURING else []
    packages = [path.relative_to(ROOT).as_posix() for path in (ROOT / "stages").rglob("__init__.py")]
    for path in ["dvc.yaml", "params.yaml", *packages, *model, *deps]:
        source, target = tiny_template.root / path, folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target, dirs_exist_ok=True) if source.is_dir() else shutil.copyfile(source, target)
    before = files(folder)
    # From a real interpreter's first line: what a stage needs is not there by grace of what the warm one has imported.
    # But where torch is, whose import takes three seconds.
    traced = (sys.executable, str(ROOT / "tests/traced_stage.py"), stage, str(tmp_path / "report.json"))
    Project(folder).run(*traced, cold=stage != CAPTURING)
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [path for path in files(folder) - before if not any(within(path, out) for out in outs)] == []
    for path in outs:
        assert digest(folder / path) == digest(tiny_template.root / path) is not None, path

    imported = {f"stages/{module}" for module in report["modules"] if not module.endswith("__init__.py")}
    code = [path for path in deps if path.startswith("stages/")]
    inputs = [path for path in deps if not path.startswith(("stages/", "data/models/"))]
    assert [path for path in imported if not any(within(path, dep) for dep in code)] == []
    assert stage not in POST or not any(path.startswith("stages/statistics/") for path in imported)
    assert report["torch"] == (stage == CAPTURING)
    for declared, used in ((code, imported), (inputs, report["inputs"])):
        assert [dep for dep in declared if not any(within(path, dep) for path in used)] == []

    taken = set(report["params"])
    params = {param: keys_of(param) for param in PIPELINE[stage].get("params", [])}
    listed = set().union(*params.values())
    if stage == "report":  # it shows them all
        assert listed == KEYS - {"words"}
    else:
        assert taken <= listed
        assert [param for param, keys in params.items() if 2 * len(keys & taken) <= len(keys)] == []


def test_capture_depends_on_the_files_of_the_embedded_model_that_it_loads(embedded: Project, tmp_path: Path) -> None:
    """Capture runs without what DVC is told to ignore of them, and does not run again when that is gone."""
    ignored = [line[1:] for line in (ROOT / ".dvcignore").read_text().splitlines() if line.startswith("/data/models/")]
    project = copy(embedded, tmp_path / "repository")
    for path in [*ignored, "data/models/gpt2-mini/README.md"]:
        (project.root / path).unlink()
    assert project.repro("capture") == []
    assert project.repro("--force", "--single-item", "capture") == ["capture"]


def test_every_setting_is_used_by_a_stage_other_than_the_report() -> None:
    listed = [param for name, stage in PIPELINE.items() if name != "report" for param in stage.get("params", [])]
    # What `check` makes into one list, on which capture depends.
    assert set().union(*map(keys_of, listed)) | {"words", "words_file"} == KEYS


@pytest.mark.parametrize("stage", STAGES)
def test_stages_are_declared_alike(stage: str) -> None:
    declared = PIPELINE[stage]
    assert declared["cmd"] == f"python -m stages.{stage}"
    assert declared["desc"]
    for out in declared["outs"]:
        ((path, options),) = out.items()
        assert options == ({"persist": True, "cache": False} if in_git(path) else {"persist": True}), path
    for kind in ("deps", "params"):
        entries = declared.get(kind, [])
        assert len(entries) == len(set(entries))


def test_what_dvc_caches_is_ignored_by_git(tiny_template: Project) -> None:
    for stage in STAGES:
        for path in tiny_template.paths(stage, "outs"):
            ignored = tiny_template.run("git", "check-ignore", "-q", "--no-index", path, check=False).returncode == 0
            assert ignored != in_git(path), path


#: The rooms from the ground up: a room imports those above it in this list, never one below, and no room a stage.
FLOORS = ["geometry", "pipeline", "statistics", "artefacts", "plotting", "models", "findings", "pages"]
COMMANDS = ["compare", "export", "gate"]


def test_arrows_between_rooms_run_downwards() -> None:
    assert {path.parent.name for path in (ROOT / "stages").glob("*/__init__.py")} == {*FLOORS, *COMMANDS}
    for path in (ROOT / "stages").glob("*/*.py"):
        text, room = path.read_text(encoding="utf-8"), path.parent.name
        imported = set(re.findall(r"^\s*(?:from|import) stages\.?(\w*)", text, re.MULTILINE))
        below = {room, *(FLOORS if room in COMMANDS else FLOORS[: FLOORS.index(room)])}
        assert imported <= below | ({""} if path.name == "stage.py" else set()), path.name
        if room not in {"models", *COMMANDS}:
            assert not re.search("import (torch|transformers)|from (torch|transformers)", text), path


def test_the_root_of_stages_holds_stages_and_no_others() -> None:
    assert {path.stem for path in (ROOT / "stages").glob("*.py")} == {*STAGES, "__init__", "__main__"}
