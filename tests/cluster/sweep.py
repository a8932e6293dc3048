"""How large a sweep Git references bear: `python tests/cluster/sweep.py 500` times DVC's commands on 500 experiments.

The experiments are made up: commits like those of `dvc exp run`, each with a seed and a summary of its own, on the
commit of a repository with tiny models. Everything that is timed is real. Needs neither root nor a server.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from projects import Project, clone, tiny_project


def main() -> None:
    """Print a table of seconds, and of what the repository weighs."""
    parser = argparse.ArgumentParser(prog="tests/cluster/sweep.py", description=__doc__.splitlines()[0])
    parser.add_argument("experiments", type=int, nargs="*", default=[4, 500], help="how many; several are several rows")
    for number in parser.parse_args().experiments:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), number)


def measure(folder: Path, number: int) -> None:
    """Make experiments in one clone, push them to a bare repository, and collect them in another clone.

    Parameters
    ----------
    folder : Path
        Empty folder.
    number : int
        Number of experiments.
    """
    project = tiny_project(folder / "project", {})
    bare = folder / "rsa.git"
    project.run("git", "clone", "--quiet", "--bare", str(project.root), str(bare))
    cluster, desk = clone(project, str(bare), folder / "cluster"), clone(project, str(bare), folder / "desk")
    for machine in (cluster, desk):
        machine.dvc("remote", "add", "--local", "-d", "shared", str(folder / "store"))
    make_up(cluster, number)
    print(f"{number} experiments", flush=True)
    show = ("exp", "show", "--csv")
    timed("dvc exp push --no-cache, all", lambda: cluster.dvc("exp", "push", "--no-cache", "origin", timeout=600))
    timed("git clone of the repository", lambda: clone(project, str(bare), folder / "another"))
    timed("dvc exp list origin", lambda: desk.dvc("exp", "list", "origin", timeout=600))
    pull = ("exp", "pull", "--no-cache", "origin", "--rev", "HEAD")
    timed("dvc exp pull --no-cache, all", lambda: desk.dvc(*pull, timeout=600))
    timed("dvc exp show, first time", lambda: desk.dvc(*show, timeout=600))
    rows = timed("dvc exp show, again", lambda: desk.dvc(*show, timeout=600)).stdout.count("made-up-")
    timed("git status", lambda: desk.run("git", "status"))
    timed("git gc at the desk", lambda: desk.run("git", "gc", "--quiet"))
    timed("dvc exp show, after it", lambda: desk.dvc(*show, timeout=600))
    size = int(subprocess.run(["du", "-sk", bare], capture_output=True, text=True, check=True).stdout.split()[0])
    print(f"  rows in the table               {rows:7d}\n  size of the bare repository      {size / 1024:6.1f} MiB")


def make_up(project: Project, number: int) -> None:
    """Write experiments with a setting and numbers of their own, through `git fast-import`."""
    base = project.run("git", "rev-parse", "HEAD").stdout.strip()
    params = (project.root / "params.yaml").read_text(encoding="utf-8")
    summary = json.loads((project.root / "metrics/summary.json").read_text(encoding="utf-8"))
    draws = random.Random(0)
    stream = []
    for index in range(number):
        files = {
            "params.yaml": params.replace("  seed: 0\n", f"  seed: {index}\n", 1),
            "metrics/summary.json": json.dumps({**summary, "rsa": round(draws.random(), 6)}, indent=2) + "\n",
        }
        stream.append(f"commit refs/exps/{base[:2]}/{base[2:]}/made-up-{index}\n")
        stream.append(f"committer test <test@example.org> {1_700_000_000 + index} +0000\n")
        stream.append(f"data 11\nexperiment\n\nfrom {base}\n")
        for path, text in files.items():
            stream.append(f"M 100644 inline {path}\ndata {len(text.encode())}\n{text}\n")
    project.run("git", "fast-import", "--quiet", input="".join(stream), timeout=120)


def timed(what: str, action: object) -> object:
    """Run something and print how long it took."""
    begin = time.monotonic()
    result = action()
    print(f"  {what:30} {time.monotonic() - begin:8.1f} s", flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
