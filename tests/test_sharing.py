"""Runs on several machines: data through a folder, work without the model, a grid that is split."""

import csv
import io
import json
import sys
from pathlib import Path

from conftest import Project, digest, remove


def clone(source: Path, target: Path, remote: Path) -> Project:
    """Clone a repository; where its data are goes into the configuration that Git does not track."""
    machine = Project(target)
    Project(source).run("git", "clone", "-q", str(source), str(target))
    # What `dvc remote add --local --default shared REMOTE` writes, without waiting for it; `push` runs it for real.
    text = f"[core]\n    remote = shared\n['remote \"shared\"']\n    url = {remote}\n"
    (target / ".dvc/config.local").write_text(text, encoding="utf-8")
    return machine


def push(machine: Project, folder: Path) -> None:
    machine.dvc("remote", "add", "--local", "--default", "shared", str(folder))
    machine.dvc("push")


def without_model(machine: Project) -> Project:
    """A machine that has neither weights nor tokenizer."""
    for path in (machine.root / "data/models").iterdir():
        remove(path)
    return machine


def test_data_go_through_a_folder_and_come_back(tiny: Project, tmp_path: Path) -> None:
    """Push to a folder; pull from it; compare with it; change an analysis where there is no model."""
    folder = tmp_path / "shared"
    push(tiny, folder)

    reader = clone(tiny.root, tmp_path / "reader", folder)
    # Nothing is pulled yet: the similarities of a revision come from the remote by themselves.
    compared = reader.run(sys.executable, "-m", "stages.compare", "HEAD", "HEAD")
    assert "6 words in common" in compared.stdout
    assert not (reader.root / "data/similarity.safetensors").exists()
    reader.dvc("pull")
    assert reader.outputs() == tiny.outputs()
    assert reader.repro() == []

    analyst = without_model(clone(tiny.root, tmp_path / "analyst", folder))
    assert analyst.repro("--pull", "--allow-missing") == []
    analyst.run("git", "restore", "data/models/gpt2-mini")  # what settings of others name is there, the model is not
    analyst.set(similarity__transform="center")
    assert set(analyst.repro("--pull", "--allow-missing", "rsa", "nulls")) == {"check", "similarity", "rsa", "nulls"}
    assert digest(analyst.root / "metrics/rsa.csv") != digest(tiny.root / "metrics/rsa.csv")
    assert str(folder) not in analyst.run("git", "diff", "--", ".dvc", "dvc.yaml", "dvc.lock").stdout
    assert ".dvc" not in analyst.run("git", "status", "--porcelain").stdout


def test_a_grid_split_over_machines_is_collected(tiny: Project) -> None:
    """Two clones without the model run an experiment each and push it; a third pulls both and sees their numbers."""
    home = tiny.root.parent
    bare, store = home / "bare.git", home / "store"
    tiny.run("git", "clone", "-q", "--bare", str(tiny.root), str(bare))
    push(tiny, store)
    found = {}
    for measure in ("spearman", "cka_debiased"):
        machine = without_model(clone(bare, home / measure, store))
        name, change = f"measure-{measure}", f"rsa.comparison={measure}"
        machine.dvc("exp", "run", "--pull", "--allow-missing", "--name", name, "-S", change, "claims")
        machine.dvc("exp", "push", "origin", name)
        found[name] = json.loads((machine.root / "metrics/summary.json").read_text(encoding="utf-8"))

    desk = clone(bare, home / "desk", store)
    desk.dvc("exp", "pull", "origin", *found)
    rows = list(csv.DictReader(io.StringIO(desk.dvc("exp", "show", "--csv").stdout)))
    shown = {row["Experiment"]: row for row in rows if row["Experiment"] in found}
    assert set(shown) == set(found)
    for name, summary in found.items():
        assert shown[name]["rsa.comparison"] == name.removeprefix("measure-")
        for key in ("rsa", "d_q", "d_v"):
            assert float(shown[name][key]) == summary[key]
    # The data came too: an experiment of another machine, exported here.
    done = desk.run(sys.executable, "-m", "stages.export", "pairs.csv", "--run", "measure-cka_debiased")
    assert "6 words" in done.stdout
