"""Experiments as the README runs them, from a fresh clone: in the workspace, with --temp, from the queue."""

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from conftest import Project, commit, digest

from stages.pipeline.settings import load


@pytest.fixture(scope="module")
def clone(tiny_template: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """What someone else gets: only what Git tracks, no cache; quick settings are committed."""
    root = tmp_path_factory.mktemp("experiments") / "repository"
    tiny_template.run("git", "clone", "-q", str(tiny_template.root), str(root))
    project = Project(root)
    off = ("inference", "controls", "heads", "nulls", "sentences")
    project.set(**{f"{section}__enabled": False for section in off})
    commit(project)
    return project


def comments(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.lstrip().startswith("#")]


def read(project: Project, path: str, revision: str) -> str:
    return project.run("git", "show", f"{revision}:{path}").stdout


def test_in_the_workspace_settings_change_and_comments_survive(clone: Project) -> None:
    before = (clone.root / "params.yaml").read_text(encoding="utf-8")
    changes = ["words.fruit=[pear,apple,peach]", "+words.furniture=[sofa,lamp]", "focus_layer=0"]
    changes.append('prompt.template="I looked at the {word}"')
    clone.dvc("exp", "run", "--name", "words", *(part for change in changes for part in ("-S", change)), "capture")
    after = (clone.root / "params.yaml").read_text(encoding="utf-8")
    assert comments(after) == comments(before)
    settings = load(clone.root / "params.yaml")
    assert settings.words["fruit"] == ["pear", "apple", "peach"]
    assert settings.words["furniture"] == ["sofa", "lamp"]
    assert settings.prompt.template == "I looked at the {word}"
    record = json.loads((clone.root / "data/capture.json").read_text(encoding="utf-8"))
    assert len(record["words"]) == 8
    assert clone.repro("capture") == []

    clone.run("git", "restore", ".")  # what the README says leads back
    assert (clone.root / "params.yaml").read_text(encoding="utf-8") == before


def test_beside_the_workspace_and_from_the_queue(clone: Project) -> None:
    """--temp and the queue leave the workspace alone; apply and branch use what they made."""
    clone.repro()
    commit(clone)
    clone.dvc("exp", "run", "--temp", "--name", "ranks", "-S", "rsa.comparison=spearman")
    grid = ("-S", "rsa.comparison=spearman,cka_debiased", "-S", "figures.theme=light")
    clone.dvc("exp", "run", "--queue", "--name", "grid", *grid)
    clone.dvc("exp", "run", "--queue", "--name", "wrong", "-S", "focus_layer=99")
    # Workers hold what they inherit until they have been idle for ten seconds: no pipe that would be waited for.
    clone.dvc("queue", "start", "-j", "2", capture_output=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    names = {"ranks", "grid-1", "grid-2"}
    # First what costs little to ask.
    while not names <= dict(refs(clone)).keys() or "Failed" not in clone.dvc("queue", "status").stdout:
        assert time.monotonic() < deadline, clone.dvc("queue", "logs", "grid-1", check=False).stdout
        time.sleep(0.5)
    end_workers(clone)
    assert clone.status() == ""
    listed = clone.run(sys.executable, "-m", "stages.compare").stdout
    assert names <= {line.split()[0] for line in listed.splitlines() if line.strip()}
    assert "failed: wrong; `dvc queue logs wrong` shows why\n" in listed

    summaries = {name: json.loads(read(clone, "metrics/summary.json", f"refs/exps/{ref}")) for name, ref in refs(clone)}
    assert summaries["ranks"]["rsa"] == summaries["grid-1"]["rsa"] != summaries["grid-2"]["rsa"]

    mine = digest(clone.root / "plots/report.html")
    clone.dvc("exp", "apply", "ranks")
    assert load(clone.root / "params.yaml").rsa.comparison == "spearman"
    assert digest(clone.root / "plots/report.html") != mine  # what DVC caches is changed, too
    found = json.loads((clone.root / "metrics/summary.json").read_text(encoding="utf-8"))
    assert found == summaries["ranks"]
    assert clone.repro() == []

    clone.dvc("exp", "branch", "grid-2", "try/cka")
    assert "comparison: cka_debiased" in read(clone, "params.yaml", "try/cka")
    assert comments(read(clone, "params.yaml", "try/cka")) == comments(read(clone, "params.yaml", "HEAD"))


def end_workers(project: Project) -> None:
    """End what `dvc queue start` leaves: it would wait for more work."""
    for process in psutil.process_iter(["cmdline"]):
        with contextlib.suppress(psutil.Error):
            if "queue-worker" in (process.info["cmdline"] or ()) and project.root.is_relative_to(process.cwd()):
                process.kill()


def refs(project: Project) -> list[tuple[str, str]]:
    """List experiments: name, and reference below refs/exps/."""
    listed = project.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").stdout.split()
    found = [Path(name.removeprefix("refs/exps/")) for name in listed]
    return [(path.name, path.as_posix()) for path in found if len(path.parts) == 3]
