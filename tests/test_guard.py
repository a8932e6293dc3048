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
from conftest import InProcess, Project, digest, remove, setting

from stages.pipeline.command import ENDS
from stages.pipeline.stage import Stage


def edit(path: str, content: str = "\n") -> Callable[[Project], None]:
    def change(project: Project) -> None:
        with (project.root / path).open("a", encoding="utf-8") as file:
            file.write(content)

    return change


MEANWHILE = [
    ("rsa", setting(rsa__comparison="spearman"), "changed while the stage ran: rsa.comparison in params.yaml; nothing"),
    ("report", setting(focus_layer=0, heads__enabled=False), ": focus_layer in params.yaml, heads.enabled in params"),
    ("figures", setting(figures__theme="blue"), "figures.theme: 'blue' is not known"),
    ("check", edit("own.csv", "x\n"), "changed while the stage ran: own.csv; nothing was written"),
    ("similarity", edit("data/capture.json"), "changed while the stage ran: data/capture.json; nothing was written"),
    ("controls", edit("stages/controls.py"), "changed while the stage ran: stages/controls.py; nothing was written"),
    ("figures", edit("stages/plotting/dark.mplstyle"), "changed while the stage ran: stages/plotting/dark.mplstyle;"),
    ("figures", edit("metrics/models/new.csv"), "changed while the stage ran: metrics/models/new.csv; nothing"),
]


@pytest.mark.parametrize(("stage", "change", "expected"), MEANWHILE)
def test_what_changes_meanwhile_stops_the_stage(
    tiny_stage: InProcess, draw_only: Callable, monkeypatch, stage: str, change: Callable, expected: str
) -> None:
    draw_only()
    project = tiny_stage.project
    edit("own.csv", "word,category\npear,fruit\nlime,fruit\nsaw,tools\naxe,tools\nhammer,tools\n")(project)
    if stage == "check":
        project.set(words_file="own.csv")
    before, module = project.outputs(), importlib.import_module(f"stages.{stage}")
    main = module.main
    monkeypatch.setattr(module, "main", lambda running: (main(running), change(project)))
    code, said = tiny_stage.run(stage)
    assert code == 1
    assert expected in said
    after = project.outputs()
    assert {path: after[path] for path in project.paths(stage, "outs")}.items() <= before.items()
    assert not list(project.root.rglob(".*.tmp"))


def test_what_a_stage_does_not_use_may_change_meanwhile(tiny_stage: InProcess, draw_only: Callable[..., None]) -> None:
    draw_only()
    with Stage("figures") as running:
        importlib.import_module("stages.figures").main(running)
        setting(nulls__seed=5)(tiny_stage.project)
        for path in ("metrics/README.md", "metrics/.rsa.csv.swp", "stages/statistics/nulls.py"):
            edit(path)(tiny_stage.project)


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

    def publish(*, fails: bool) -> None:
        with Stage("matrices") as stage:
            (stage.folder("plots/matrices") / "new.txt").write_text("", encoding="utf-8")
            assert not fails

    before = digest(Path("plots/matrices"))
    with pytest.raises(AssertionError):
        publish(fails=True)
    assert digest(Path("plots/matrices")) == before
    publish(fails=False)
    assert [path.name for path in Path("plots/matrices").iterdir()] == ["new.txt"]
    remove(Path("plots/matrices"))
    Path("plots/matrices").write_text("a file in its place", encoding="utf-8")
    publish(fails=False)
    assert Path("plots/matrices/new.txt").exists()
    assert not list(Path("plots").glob(".*.tmp"))


def test_a_folder_survives_a_kill_at_any_point_of_its_publication(tiny_stage: InProcess) -> None:
    before = digest(Path("plots/matrices"))
    new, old = Path("plots/.matrices.tmp"), Path("plots/.matrices.replaced.tmp")
    new.mkdir()
    Path("plots/matrices").rename(old)
    Stage("matrices").__enter__()  # killed between the two renames: the earlier folder comes back
    assert digest(Path("plots/matrices")) == before
    old.mkdir()
    Stage("matrices").__enter__()  # killed before the earlier folder was removed
    assert digest(Path("plots/matrices")) == before
    assert not list(Path("plots").glob(".*.tmp"))


def test_after_a_kill_between_two_renames_the_stage_runs_again(tiny: Project) -> None:
    """All outputs are published one after the other: some are new then and some old, and the lock fits neither."""
    before = tiny.outputs()
    tiny.set(focus_layer=0)
    code = (
        "import os\nfrom stages.pipeline import outputs\nfrom stages.claims import *\n"
        "outputs.publish, publish = lambda path: (publish(path), os._exit(9)), outputs.publish\nrun('claims', main, '')"
    )
    assert tiny.run(sys.executable, "-c", code, check=False, cold=True).returncode == 9
    killed = tiny.outputs()
    changed = [path for path in tiny.paths("claims", "outs") if killed[path] != before[path]]
    assert len(changed) == 1
    assert "claims" in tiny.repro("claims")
    tiny.set(focus_layer=1)  # back again: nothing of the other layer is left
    assert "claims" in tiny.repro("claims")
    assert tiny.outputs() == before


@pytest.mark.parametrize("number", ENDS)
def test_a_signal_between_two_renames_waits_for_the_last(tiny_stage: InProcess, monkeypatch, number: int) -> None:
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


def start(project: Project) -> subprocess.Popen:
    """Start stage figures and wait until it has begun to draw; not drawing is made to take a second."""
    project.env["SECONDS_A_FIGURE"] = "0.03"
    return begun(project, "plots/.figures.tmp/fig2_activation_scatter.png", "--force", "--single-item", "figures")


def begun(project: Project, temporary: str, *arguments: str) -> subprocess.Popen:
    """Start `dvc repro` and wait for a temporary file."""
    running = project.popen(sys.executable, "-m", "dvc", "repro", *arguments)
    end = time.monotonic() + 60
    while not (project.root / temporary).exists():
        assert running.poll() is None, running.stdout.read()
        assert time.monotonic() < end, f"{temporary} never came"
        time.sleep(0.002)
    return running


def test_after_kill_9_drawing_ends_and_a_rerun_gives_what_an_undisturbed_run_gives(tiny: Project) -> None:
    expected = tiny.outputs()
    tiny.env["DRAWN"] = "all"
    running = start(tiny)
    children = psutil.Process(running.pid).children(recursive=True)
    stage = next(child for child in children if "stages.figures" in child.cmdline()[-1:])
    drawing = stage.children(recursive=True)
    stage.kill()
    running.communicate()
    assert running.returncode != 0
    assert drawing
    assert not psutil.wait_procs(drawing, timeout=20)[1]
    assert tiny.outputs() == expected  # nothing was lost
    del tiny.env["DRAWN"]
    tiny.repro("--force", "--single-item", "figures")
    tiny.repro()
    assert tiny.outputs() == expected
    assert not list(tiny.root.rglob(".*.tmp"))


def test_killed_first_run_starts_over(tiny: Project) -> None:
    expected = tiny.outputs()
    for path in expected:
        remove(tiny.root / path)
    tiny.run("git", "rm", "-q", "--cached", "dvc.lock")
    (tiny.root / "dvc.lock").unlink()
    running = begun(tiny, "data/.activations.safetensors.tmp")
    for child in psutil.Process(running.pid).children(recursive=True):
        child.kill()
    running.communicate()
    assert running.returncode != 0
    assert tiny.repro("correlation")[0] == "capture"
    assert {path: made for path, made in tiny.outputs().items() if made}.items() <= expected.items()
    assert (tiny.root / "metrics/correlation.csv").exists()
    assert not list(tiny.root.rglob(".*.tmp"))


@pytest.mark.skipif(os.name == "nt", reason="signals reach a process group in another way on Windows")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_after_an_interruption_a_rerun_gives_what_an_undisturbed_run_gives(tiny: Project, number: int) -> None:
    """Ctrl-C, a cluster's job that is cancelled, a terminal that closes: all processes get the signal."""
    expected = tiny.outputs()
    tiny.env["DRAWN"] = "all"
    running = start(tiny)
    os.killpg(running.pid, number)
    said, _ = running.communicate()
    assert running.returncode != 0
    assert "figures: interrupted, nothing was written" in said
    assert tiny.outputs() == expected
    assert not list(tiny.root.rglob(".*.tmp"))
    tiny.repro()
    assert tiny.outputs() == expected


def test_an_edit_during_the_last_stage_of_a_real_run_is_not_lost(tiny: Project) -> None:
    before = tiny.outputs()
    running = start(tiny)
    tiny.set(focus_layer=0)
    said, _ = running.communicate()
    assert running.returncode == 255, said
    assert "figures: changed while the stage ran" in said
    assert tiny.outputs() == before
    assert "changed" in tiny.dvc("status").stdout
    assert "figures" in tiny.repro()
    assert tiny.outputs() != before
    assert tiny.repro() == []
