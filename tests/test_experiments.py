"""Experiments as the README runs them, from a fresh clone: in the workspace, with --temp, from the queue."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

from conftest import TINY_WORDS, Project, commit, digest

from stages.pipeline.settings import load


def read(project: Project, path: str, revision: str) -> str:
    return project.run("git", "show", f"{revision}:{path}").stdout


def test_in_the_workspace_beside_it_and_from_the_queue(tiny_template: Project, tmp_path: Path) -> None:
    clone = Project(tmp_path / "repository")  # what someone else gets: only what Git tracks, no cache
    tiny_template.run("git", "clone", "-q", str(tiny_template.root), str(clone.root))
    off = ("inference", "controls", "heads", "nulls", "sentences")
    clone.set(**{f"{section}__enabled": False for section in off})  # quick
    commit(clone)

    changes = "words.fruit=[pear,apple,peach]", "+words.tools=[saw,axe]", 'prompt.template="I looked at the {word}"'
    clone.dvc("exp", "run", "--name", "words", *(part for change in changes for part in ("-S", change)))
    params = clone.root / "params.yaml"
    settings = load(params)
    assert settings.prompt.template == "I looked at the {word}"
    assert [*settings.words.values()] == [TINY_WORDS["space"], ["pear", "apple", "peach"], ["saw", "axe"]]
    texts = params.read_text(encoding="utf-8"), read(clone, "params.yaml", "HEAD")
    after, before = (re.findall(r"^ *#.*", text, re.MULTILINE) for text in texts)
    assert after == before
    assert clone.repro() == []
    commit(clone)

    # --temp and the queue leave the workspace alone; apply uses what they made.
    clone.dvc("exp", "run", "--temp", "--name", "ranks", "-S", "rsa.comparison=spearman")
    grid = ("-S", "rsa.comparison=spearman,cka_debiased", "-S", "figures.theme=light")
    clone.dvc("exp", "run", "--queue", "--name", "grid", *grid)
    clone.dvc("exp", "run", "--queue", "--name", "wrong", "-S", "focus_layer=99")
    # Workers hold what they inherit until they have been idle for ten seconds: no pipe that would be waited for.
    clone.dvc("queue", "start", "-j", "2", capture_output=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    names = {"ranks", "grid-1", "grid-2"}
    # First what costs little to ask.
    while not names <= refs(clone).keys() or "Failed" not in clone.dvc("queue", "status").stdout:
        assert time.monotonic() < deadline, clone.dvc("queue", "logs", "grid-1", check=False).stdout
        time.sleep(0.5)
    clone.dvc("queue", "stop")  # workers that would wait for more
    assert clone.status() == ""
    listed = clone.run(sys.executable, "-m", "stages.compare").stdout
    assert names <= {line.split()[0] for line in listed.splitlines() if line.strip()}
    assert "failed: wrong; `dvc queue logs wrong` shows why\n" in listed

    summaries = {name: json.loads(read(clone, "metrics/summary.json", ref)) for name, ref in refs(clone).items()}
    assert summaries["ranks"]["rsa"] == summaries["grid-1"]["rsa"] != summaries["grid-2"]["rsa"]

    mine = digest(clone.root / "plots/report.html")
    clone.dvc("exp", "apply", "ranks")
    assert load(params).rsa.comparison == "spearman"
    assert digest(clone.root / "plots/report.html") != mine  # what DVC caches is changed, too
    found = json.loads((clone.root / "metrics/summary.json").read_text(encoding="utf-8"))
    assert found == summaries["ranks"]
    assert clone.repro() == []


def refs(project: Project) -> dict[str, str]:
    """Return the experiments' references by name."""
    listed = project.run("git", "for-each-ref", "--format=%(refname)", "refs/exps/*/*/*").stdout.split()
    return {Path(ref).name: ref for ref in listed}
