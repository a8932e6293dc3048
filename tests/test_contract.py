"""What dvc.yaml declares for a stage is what the stage reads and writes: no less, and no more."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Project, copy_repository, digest
from ruamel.yaml import YAML

PIPELINE = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
STAGES = list(PIPELINE["stages"])
#: The stages that run a model: they alone import torch whatever the settings.
CAPTURING = ("capture", "nulls")
#: Keys of params.yaml below which the keys are the user's.
USERS = {"words", "sentences.templates"}
OPTIONS = {"persist": True}
OWN = "word,category\nsaw,tools\naxe,tools\nhammer,tools\ndog,animals\ncat,animals\n"


def in_git(out: str) -> bool:
    """Return whether an output is kept in Git, for people to read, or in DVC's cache."""
    return out.startswith(("metrics/", "plots/figures"))


def leaves(section: dict, prefix: str = "") -> set[str]:
    """List the keys of params.yaml; words and sentences, whose keys are the user's, count as one."""
    found = set()
    for key, value in section.items():
        name = prefix + key
        found |= leaves(value, f"{name}.") if isinstance(value, dict) and value and name not in USERS else {name}
    return found


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)


@pytest.fixture(scope="module")
def hermetic(tiny_template: Project, tmp_path_factory: pytest.TempPathFactory):
    """Run a stage in a folder that holds its declared deps, dvc.yaml, params.yaml and nothing else."""
    reports = {}

    def run(stage: str) -> tuple[Path, dict]:
        if stage not in reports:
            folder = tmp_path_factory.mktemp(stage)
            project = Project(folder)
            model = ["data/models/tiny/config.json", "data/models/tiny/tokenizer.json"] if stage in CAPTURING else []
            for path in ["dvc.yaml", "params.yaml", *model, *tiny_template.paths(stage, "deps")]:
                copy(tiny_template.root / path, folder / path)
            report = tmp_path_factory.mktemp("report") / "report.json"
            project.run(sys.executable, str(ROOT / "tests/traced_stage.py"), stage, str(report))
            reports[stage] = folder, json.loads(report.read_text(encoding="utf-8"))
        return reports[stage]

    return run


def test_the_lock_holds_the_stages_and_no_others() -> None:
    """DVC leaves a stage there that dvc.yaml has lost."""
    lock = YAML(typ="safe").load((ROOT / "dvc.lock").read_text(encoding="utf-8"))
    assert set(lock["stages"]) == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_declared_deps_are_enough_and_outs_are_what_is_written(stage: str, hermetic, tiny_template: Project) -> None:
    folder, _ = hermetic(stage)
    declared = {*tiny_template.paths(stage, "deps"), "dvc.yaml", "params.yaml"}
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    rooms = tuple(f"{path}/" for path in declared if (folder / path).is_dir())
    written = {path for path in files - declared if not path.startswith(("data/models/tiny", *rooms))}
    outs = tiny_template.paths(stage, "outs")
    assert {path for path in written if not any(path == out or path.startswith(f"{out}/") for out in outs)} == set()
    for path in outs:
        assert digest(folder / path) == digest(tiny_template.root / path) is not None, path


@pytest.mark.parametrize("stage", STAGES)
def test_what_a_stage_imports_is_declared_and_used(stage: str, hermetic, tiny_template: Project) -> None:
    """A file is a dep where it is imported; a room, as a folder, where at least a quarter of its modules are."""
    _, report = hermetic(stage)
    imported = {f"stages/{module}" for module in report["modules"]}
    declared = {path for path in tiny_template.paths(stage, "deps") if path.startswith("stages/")}
    rooms = {path for path in declared if (ROOT / path).is_dir()}
    declared -= {"stages/plotting/dark.mplstyle"}  # a style sheet of stage matrices, no module
    assert declared - rooms == {module for module in imported if Path(module).parent.as_posix() not in rooms}
    for room in rooms:
        modules = [path for path in (ROOT / room).glob("*.py") if path.name != "__init__.py"]
        assert 4 * sum(f"{room}/{path.name}" in imported for path in modules) >= len(modules), room


@pytest.mark.parametrize("stage", STAGES)
def test_declared_inputs_are_all_opened(stage: str, hermetic, tiny_template: Project) -> None:
    _, report = hermetic(stage)
    declared = {path for path in tiny_template.paths(stage, "deps") if not path.startswith("stages/")}
    embedded = {path for path in declared if path.startswith("data/models/")}  # the model's own files: another test's
    assert declared - embedded == set(report["inputs"])


@pytest.mark.parametrize("stage", STAGES)
def test_declared_params_are_those_taken(stage: str, hermetic) -> None:
    _, report = hermetic(stage)
    assert set(PIPELINE["stages"][stage].get("params", [])) == set(report["params"])


def test_capture_depends_on_the_files_of_the_embedded_model_that_it_loads(tmp_path: Path) -> None:
    """Capture runs with those files alone, and with the weights or the configuration gone it does not."""
    models = [{dep for dep in PIPELINE["stages"][stage]["deps"] if "/models/" in dep} for stage in CAPTURING]
    assert models == [models[0]] * len(CAPTURING)
    project = copy_repository(tmp_path / "repository")
    declared = project.paths("capture", "deps")
    folder = project.root / "data/models/gpt2-mini"
    for path in folder.iterdir():
        if path.relative_to(project.root).as_posix() not in declared:
            path.unlink() if path.is_file() else shutil.rmtree(path)
    assert {path.name for path in folder.iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json"}
    for stage in ("check", "capture"):
        project.run(sys.executable, "-m", f"stages.{stage}")


def test_the_check_reads_the_words_file_and_nothing_else_of_the_users(tiny_template: Project, tmp_path: Path) -> None:
    """With a list of words in a file of the user's, the declared deps are still enough."""
    project = Project(tmp_path)
    for path in ["dvc.yaml", *tiny_template.paths("check", "deps")]:
        copy(tiny_template.root / path, tmp_path / path)
    project.set(words_file="my/own.csv")
    (tmp_path / "my").mkdir()
    (tmp_path / "my/own.csv").write_text(OWN, encoding="utf-8")
    assert set(project.paths("check", "deps")) - set(tiny_template.paths("check", "deps")) == {"my/own.csv"}
    report = tmp_path / "report.json"
    project.run(sys.executable, str(ROOT / "tests/traced_stage.py"), "check", str(report))
    assert set(json.loads(report.read_text(encoding="utf-8"))["inputs"]) == {"params.yaml", "my/own.csv"}
    assert (tmp_path / "data/word_list.csv").read_text(encoding="utf-8") == OWN


def test_every_setting_is_used_by_a_stage() -> None:
    settings = leaves(YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8")))
    listed = {key for stage in PIPELINE["stages"].values() for key in stage.get("params", [])}
    # What `check` makes into one list, on which capture depends.
    assert listed | {"words", "words_file"} == settings


@pytest.mark.parametrize("stage", STAGES)
def test_stages_are_declared_alike(stage: str) -> None:
    declared = PIPELINE["stages"][stage]
    assert declared["cmd"] == f"python -m stages.{stage}"
    assert declared["desc"]
    for out in declared["outs"]:
        ((path, options),) = out.items()
        assert options == ({**OPTIONS, "cache": False} if in_git(path) else OPTIONS), path
    for kind in ("deps", "params"):
        entries = declared.get(kind, [])
        assert len(entries) == len(set(entries))


def test_what_dvc_caches_is_ignored_by_git(tiny_template: Project) -> None:
    for stage in STAGES:
        for path in tiny_template.paths(stage, "outs"):
            ignored = tiny_template.run("git", "check-ignore", "-q", "--no-index", path, check=False).returncode == 0
            assert ignored != in_git(path), path


def test_only_capture_models_and_one_function_import_torch() -> None:
    for path in (ROOT / "stages").rglob("*.py"):
        name = path.relative_to(ROOT / "stages").as_posix()
        if not name.startswith("models/") and path.stem not in CAPTURING:
            text = path.read_text(encoding="utf-8")
            if name == "statistics/device.py":  # within functions: the next test, and those of test_device.py
                text = text.replace("    import torch", "")
            assert "import torch" not in text, name
            assert "transformers" not in text, name


def test_no_other_stage_pays_for_torch(tiny_template: Project) -> None:
    """One real interpreter for all of them: what none imports together, none imports alone."""
    stages = ", ".join(f"stages.{stage}" for stage in STAGES if stage not in CAPTURING)
    code = f"import sys, {stages}; sys.exit('torch' in sys.modules)"
    assert tiny_template.run(sys.executable, "-c", code, check=False).returncode == 0


#: The rooms from the ground up: a room imports those above it in this list, never one below, and no room a stage.
FLOORS = ["pipeline", "geometry", "statistics", "artefacts", "plotting", "models", "findings", "pages"]
COMMANDS = ["compare", "export", "gate"]


def test_arrows_between_rooms_run_downwards() -> None:
    assert {path.parent.name for path in (ROOT / "stages").glob("*/__init__.py")} == {*FLOORS, *COMMANDS}
    for path in (ROOT / "stages").glob("*/*.py"):
        imported = set(
            re.findall(r"^\s*(?:from|import) stages\.?(\w*)", path.read_text(encoding="utf-8"), re.MULTILINE)
        )
        room = path.parent.name
        below = {room, *(FLOORS if room in COMMANDS else FLOORS[: FLOORS.index(room)])}
        if room == "geometry":
            below = {"geometry"}
        assert imported <= below | ({""} if path.name == "stage.py" else set()), path.name


def test_the_root_of_stages_holds_the_stages_and_nothing_else() -> None:
    assert {path.stem for path in (ROOT / "stages").glob("*.py")} == {*STAGES, "__init__", "__main__"}
