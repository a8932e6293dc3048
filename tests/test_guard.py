"""What changes while a stage runs never ends as stale data under a green lock; what is killed runs again."""

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from conftest import ROOT, InProcess, Project, digest, remove, stages_run
from ruamel.yaml import YAML

from stages.pipeline.command import ENDS
from stages.pipeline.errors import UserError
from stages.pipeline.stage import Stage

PIPELINE = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
#: A stage's setting, and another value that passes the check.
OTHER = {
    "capture": ("prompt.template", "The word is {word}"),
    "sentences": ("sentences.bootstraps", 60),
    "similarity": ("similarity.metric", "euclidean"),
    "correlation": ("tokens.context", 2),
    "rsa": ("rsa.comparison", "spearman"),
    "inference": ("inference.seed", 1),
    "nulls": ("nulls.draws", 45),
    "controls": ("inference.alpha", 0.1),
    "heads": ("heads.enabled", False),
    "carriers": ("tokens.target", -1),
    "claims": ("focus_layer", 0),
    "figures": ("figures.theme", "light"),
    "report": ("heads.enabled", False),
}


def test_every_stage_with_settings_is_tested() -> None:
    assert set(OTHER) == {name for name, stage in PIPELINE.items() if "params" in stage}


def run_and_meanwhile(stage: str, project: Project, meanwhile) -> str:
    """Run a stage's recipe, change something before it publishes, and give what the guard says."""
    outs = project.paths(stage, "outs")
    before = {path: digest(project.root / path) for path in outs}
    module = importlib.import_module(f"stages.{stage}")
    try:
        with Stage(stage) as running:
            module.main(running)
            meanwhile()
    except UserError as error:
        said = str(error)
    else:
        said = "published"
    assert {path: digest(project.root / path) for path in outs} == before
    assert not list(project.root.rglob(".*.tmp"))
    return said


@pytest.fixture
def undrawn_stage(tiny_stage: InProcess, draw_only: Callable[..., None]) -> InProcess:
    """Stages in this process, without the seconds that the figures take: what is in them is not the point here."""
    draw_only()
    return tiny_stage


@pytest.mark.parametrize("stage", OTHER)
def test_a_setting_that_changes_meanwhile_stops_the_stage(undrawn_stage: InProcess, stage: str) -> None:
    key, value = OTHER[stage]
    change = {key.replace(".", "__"): value}
    said = run_and_meanwhile(stage, undrawn_stage.project, lambda: undrawn_stage.project.set(**change))
    assert said.splitlines() == [
        f"changed while the stage ran: {key} in params.yaml; nothing was written",
        "run `dvc repro` again",
    ]


@pytest.mark.parametrize(("stage", "kind"), [(stage, kind) for stage in PIPELINE for kind in ("source", "data")])
def test_a_file_that_changes_meanwhile_stops_the_stage(undrawn_stage: InProcess, stage: str, kind: str) -> None:
    deps = undrawn_stage.project.paths(stage, "deps")
    path = next(path for path in reversed(deps) if path.startswith("stages/") == (kind == "source"))
    if Path(path).is_dir():  # a room, or figures: any file in it counts
        path = max(Path(path).glob("*.p*")).as_posix()

    def edit() -> None:
        with Path(path).open("ab") as file:
            file.write(b"\n")

    said = run_and_meanwhile(stage, undrawn_stage.project, edit)
    assert f"changed while the stage ran: {path}; nothing was written" in said


def test_a_words_file_that_changes_meanwhile_stops_the_check(tiny_stage: InProcess) -> None:
    own = Path("own.csv")
    own.write_text("word,category\npear,fruit\nlime,fruit\nsaw,tools\naxe,tools\nhammer,tools\n", encoding="utf-8")
    tiny_stage.project.set(words_file="own.csv")
    said = run_and_meanwhile("check", tiny_stage.project, lambda: own.write_text("word,category\n", encoding="utf-8"))
    assert "changed while the stage ran: own.csv; nothing was written" in said


@pytest.mark.parametrize("stage", ["rsa", "controls"])
def test_a_setting_of_others_may_change_meanwhile(tiny_stage: InProcess, stage: str) -> None:
    before = tiny_stage.project.outputs()
    module = importlib.import_module(f"stages.{stage}")
    with Stage(stage) as running:
        module.main(running)
        tiny_stage.project.set(tokens__context=0)
    assert tiny_stage.project.outputs() == before


def test_a_setting_spoilt_meanwhile_is_named(undrawn_stage: InProcess) -> None:
    said = run_and_meanwhile("figures", undrawn_stage.project, lambda: undrawn_stage.project.set(figures__theme="blue"))
    assert "figures.theme: 'blue' is not known" in said


def test_a_module_edited_while_the_stage_imports_is_noticed(tiny: Project) -> None:
    """The digests are taken before anything else is imported: an edit during torch's two seconds counts."""
    code = (
        "import stages\n"
        "open('stages/geometry/pairs.py', 'a').write('\\n')\n"
        "import runpy; runpy.run_module('stages.rsa', run_name='__main__')"
    )
    before = tiny.outputs()
    done = tiny.run(sys.executable, "-c", code, check=False)
    assert done.returncode == 1
    assert "changed while the stage ran: stages/geometry/pairs.py" in done.stderr
    assert tiny.outputs() == before


def test_outputs_left_out_or_undeclared_are_errors_of_the_code(tiny_stage: InProcess) -> None:
    with pytest.raises(AssertionError, match=r"did not write metrics/rsa\.csv"), Stage("rsa"):
        pass
    with Stage("check") as stage:
        with pytest.raises(AssertionError, match="not among the deps"):
            stage.input("data/capture.json")
        with pytest.raises(AssertionError, match="not among the outs"):
            stage.output("data/capture.json")
        with pytest.raises(AttributeError, match="focus_layer is not among this stage's params"):
            _ = stage.settings.focus_layer
        stage.output("data/word_list.csv").write_text("", encoding="utf-8")


def test_a_folder_is_published_whole(tiny_stage: InProcess) -> None:
    """What an earlier run left in it is gone; a run that fails leaves it as it was."""
    folder = Path("plots/matrices")
    before = tiny_stage.project.outputs()["plots/matrices"]

    def fail() -> None:
        with Stage("matrices") as stage:
            (stage.folder("plots/matrices") / "new.txt").write_text("", encoding="utf-8")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert tiny_stage.project.outputs()["plots/matrices"] == before
    with Stage("matrices") as stage:
        (stage.folder("plots/matrices") / "new.txt").write_text("", encoding="utf-8")
    assert [path.name for path in folder.iterdir()] == ["new.txt"]
    assert not list(Path("plots").glob(".*.tmp"))


def test_a_folder_survives_a_kill_at_any_point_of_its_publication(tiny_stage: InProcess) -> None:
    before = tiny_stage.project.outputs()["plots/matrices"]
    new, old = Path("plots/.matrices.tmp"), Path("plots/.matrices.replaced.tmp")
    new.mkdir()
    Path("plots/matrices").rename(old)
    Stage("matrices").__enter__()  # killed between the two renames: the earlier folder comes back
    assert tiny_stage.project.outputs()["plots/matrices"] == before
    old.mkdir()
    Stage("matrices").__enter__()  # killed before the earlier folder was removed
    assert tiny_stage.project.outputs()["plots/matrices"] == before
    assert not list(Path("plots").glob(".*.tmp"))


def test_after_a_kill_between_two_renames_the_stage_runs_again(undrawn: Project) -> None:
    """All outputs are published one after the other: some are new then and some old, and the lock fits neither."""
    before = undrawn.outputs()
    undrawn.set(focus_layer=0)
    code = (
        "import os\nfrom stages.pipeline import outputs\nfrom stages.claims import *\n"
        "outputs.publish, publish = lambda path: (publish(path), os._exit(9)), outputs.publish\nrun('claims', main, '')"
    )
    assert undrawn.run(sys.executable, "-c", code, check=False, cold=True).returncode == 9
    killed = undrawn.outputs()
    changed = [path for path in undrawn.paths("claims", "outs") if killed[path] != before[path]]
    assert len(changed) == 1
    assert "claims" in undrawn.repro("claims")
    undrawn.set(focus_layer=1)  # back again: nothing of the other layer is left
    assert "claims" in undrawn.repro("claims")
    assert undrawn.outputs() == before


@pytest.mark.parametrize("number", ENDS)
def test_a_signal_between_two_renames_waits_for_the_last(
    tiny_stage: InProcess, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    from stages.pipeline import outputs

    publish, published = outputs.publish, []

    def interrupted(path: str) -> None:
        publish(path)
        published.append(path)
        signal.raise_signal(number)

    monkeypatch.setattr(outputs, "publish", interrupted)
    before = [signal.getsignal(number) for number in ENDS]
    code, said = tiny_stage.run("claims")
    assert (code, said) == (130, "\nclaims: interrupted just when all was written: run `dvc repro` again\n")
    assert published == tiny_stage.project.paths("claims", "outs")
    assert [signal.getsignal(number) for number in ENDS] == before


def test_processes_that_draw_end_with_the_stage_that_is_killed(tiny: Project) -> None:
    running = start(tiny, *STARTED[1])
    (stage,) = [
        c for c in psutil.Process(running.pid).children(recursive=True) if "stages.figures" in c.cmdline()[-1:]
    ][:1]
    drawing = stage.children(recursive=True)
    stage.kill()
    running.communicate()
    _, alive = psutil.wait_procs(drawing, timeout=20)
    assert not alive


def wait_for(path: Path, running: subprocess.Popen) -> None:
    """Wait until a stage has begun to write."""
    end = time.monotonic() + 60
    while not path.exists():
        assert running.poll() is None, running.stdout.read()
        assert time.monotonic() < end, f"{path} never came"
        time.sleep(0.002)


def start(project: Project, stage: str, temporary: str) -> subprocess.Popen:
    """Start `dvc repro --force` and wait for the stage's temporary file; drawing dots is made to take a second."""
    project.env["SECONDS_A_FIGURE"] = "0.03"
    running = project.popen(sys.executable, "-m", "dvc", "repro", "--force", "--single-item", stage)
    wait_for(project.root / temporary, running)
    return running


STARTED = [
    ("capture", "data/.activations.safetensors.tmp"),
    ("figures", "plots/.figures.tmp/fig2_activation_scatter.png"),
]


@pytest.mark.parametrize(("stage", "temporary"), STARTED)
def test_after_kill_9_a_rerun_gives_what_an_undisturbed_run_gives(undrawn: Project, stage: str, temporary: str) -> None:
    expected = undrawn.outputs()
    running = start(undrawn, stage, temporary)
    for child in psutil.Process(running.pid).children(recursive=True):
        child.kill()
    running.communicate()
    assert running.returncode != 0
    assert undrawn.outputs() == expected  # nothing was lost
    undrawn.repro("--force", "--single-item", stage)
    undrawn.repro()
    assert undrawn.outputs() == expected
    assert not list(undrawn.root.rglob(".*.tmp"))


@pytest.mark.skipif(os.name == "nt", reason="signals reach a process group in another way on Windows")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_after_an_interruption_a_rerun_gives_what_an_undisturbed_run_gives(tiny: Project, number: int) -> None:
    """Ctrl-C, a cluster's job that is cancelled, a terminal that closes: all processes get the signal."""
    expected = tiny.outputs()
    running = start(tiny, *STARTED[1])
    os.killpg(running.pid, number)
    said, _ = running.communicate()
    assert running.returncode != 0
    assert "figures: interrupted, nothing was written" in said
    assert tiny.outputs() == expected
    assert not list(tiny.root.rglob(".*.tmp"))
    tiny.repro()
    assert tiny.outputs() == expected


def test_killed_first_run_starts_over(undrawn: Project) -> None:
    expected = undrawn.outputs()
    for path in expected:
        remove(undrawn.root / path)
    undrawn.run("git", "rm", "-q", "--cached", "dvc.lock")
    (undrawn.root / "dvc.lock").unlink()
    running = undrawn.popen(sys.executable, "-m", "dvc", "repro")
    wait_for(undrawn.root / STARTED[0][1], running)
    for child in psutil.Process(running.pid).children(recursive=True):
        child.kill()
    running.communicate()
    # In real interpreters, from their first line: what one stage needs is not there by grace of another's imports.
    assert stages_run(undrawn.dvc("repro", cold=True).stdout)[0] == "capture"
    assert undrawn.outputs() == expected


def test_a_style_sheet_edited_meanwhile_stops_the_figures(undrawn_stage: InProcess) -> None:
    sheet = ("stages/plotting/dark.mplstyle", "font.size: 12", "font.size: 9")
    said = run_and_meanwhile("figures", undrawn_stage.project, lambda: undrawn_stage.project.replace(*sheet))
    assert f"changed while the stage ran: {sheet[0]}; nothing was written" in said


def test_an_edit_during_the_last_stage_of_a_real_run_is_not_lost(undrawn: Project) -> None:
    before = undrawn.outputs()
    running = start(undrawn, *STARTED[1])
    undrawn.set(focus_layer=0)
    said, _ = running.communicate()
    assert running.returncode == 255, said
    assert "figures: changed while the stage ran" in said
    assert undrawn.outputs() == before
    assert "changed" in undrawn.dvc("status").stdout
    assert "figures" in undrawn.repro()
    assert undrawn.outputs() != before
    assert undrawn.repro() == []
