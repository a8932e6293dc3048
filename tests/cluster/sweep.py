"""How large a sweep Git references bear: `python tests/cluster/sweep.py 500` times DVC's commands on 500 experiments.

The experiments are made up: commits like those of `dvc exp run`, each with a seed and a summary of its own, on the
commit of a repository with tiny models. Everything that is timed is real. Needs neither root nor a server.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from projects import Project, clone, tiny_project


def measure(folder: Path, number: int) -> None:
    """Make experiments in one clone, push them to a bare repository, and collect them in another clone."""
    project, bare = tiny_project(folder / "project"), folder / "rsa.git"
    project.run("git", "clone", "--quiet", "--bare", str(project.root), str(bare))
    cluster, desk = clone(bare, folder / "cluster"), clone(bare, folder / "desk")
    make_up(cluster, number)
    timed("dvc exp push --no-cache, all", cluster.dvc, "exp", "push", "--no-cache", "origin")
    timed("git clone of the repository", clone, bare, folder / "another")
    timed("dvc exp list origin", desk.dvc, "exp", "list", "origin")
    timed("dvc exp pull --no-cache, all", desk.dvc, "exp", "pull", "--no-cache", "origin", "--rev", "HEAD")
    timed("dvc exp show, first time", desk.dvc, "exp", "show", "--csv")
    shown = timed("dvc exp show, again", desk.dvc, "exp", "show", "--csv").stdout
    assert shown.count("made-up-") == number
    subprocess.run(["du", "-sh", bare], check=True)


def make_up(project: Project, number: int) -> None:
    """Write experiments with a setting and numbers of their own, through `git fast-import`."""
    base = project.run("git", "rev-parse", "HEAD").stdout.strip()
    params = (project.root / "params.yaml").read_text(encoding="utf-8")
    summary = json.loads((project.root / "metrics/summary.json").read_text(encoding="utf-8"))
    stream = ""
    for index in range(number):
        stream += f"commit refs/exps/{base[:2]}/{base[2:]}/made-up-{index}\n"
        stream += f"committer test <test@example.org> {1_700_000_000 + index} +0000\ndata 0\n\nfrom {base}\n"
        for path, text in {
            "params.yaml": params.replace("  seed: 0\n", f"  seed: {index}\n", 1),
            "metrics/summary.json": json.dumps({**summary, "rsa": index / number}),
        }.items():
            stream += f"M 100644 inline {path}\ndata {len(text.encode())}\n{text}\n"
    project.run("git", "fast-import", "--quiet", input=stream)


def timed(what: str, action: Callable, *arguments: object) -> subprocess.CompletedProcess:
    """Run something and print how long it took."""
    begin = time.monotonic()
    result = action(*arguments)
    print(f"{what:30} {time.monotonic() - begin:8.1f} s", flush=True)
    return result


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), int(sys.argv[1]))
