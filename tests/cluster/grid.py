"""The recipe of the array script on a real Slurm: models × word lists, a task killed and requeued, all collected."""

import csv
import io
import json
import sys
from pathlib import Path

from checks import Checks
from daemons import daemon, until
from projects import EXPERIMENTS, LISTS, MODELS, Project, clone
from slurm import Slurm

SCRIPT = Path(__file__).with_name("array.sh")
KILLED = 1  # the task that is killed


def check_grid(checks: Checks, cluster: Slurm, desk: Project, server: Path, node: Path) -> None:
    """Submit the array, kill a task, requeue it, and collect all four experiments.

    The desk is a clone of `server`/rsa.git and has `server`/store as its remote; the node, for clones and output, does
    not see the server's folder.
    """
    script, log = node.parent / "array.sh", node.parent / "sbatch.log"
    script.write_text(_addressed(SCRIPT.read_text(), server))
    submit = ["sbatch", "--wait", "--chdir=/", f"--output={node}/%a.out", str(script)]
    with daemon("sbatch", submit, node.parent, lambda: bool(cluster.states()), cluster.env) as sbatch:
        _kill_and_requeue(checks, cluster, node)
        until(lambda: sbatch.poll() is not None, 60, "sbatch --wait to end")  # it looks every 32 s at the end
        checks.that(sbatch.returncode == 0, "sbatch --wait ends when all tasks have", log.read_text())
    _collect(checks, desk)


def _kill_and_requeue(checks: Checks, cluster: Slurm, node: Path) -> None:
    job = next(iter(cluster.states())).partition("_")[0]
    killed = f"{job}_{KILLED}"

    def clone_of_killed() -> Path | None:
        for lock in node.glob("tmp.*/dvc.lock"):
            params = Project(lock.parent).params
            if _named(params["model"]["name"], params["words_file"]) == EXPERIMENTS[KILLED]:
                return lock.parent

    def has_run(stage: str) -> bool:
        folder = clone_of_killed()
        return folder is not None and f"  {stage}:" in (folder / "dvc.lock").read_text()

    until(lambda: has_run("similarity") or _over(cluster, [killed]), 240, "the task to be killed")
    folder = clone_of_killed()
    cluster.run("scancel", killed)
    until(lambda: _over(cluster, [killed]), 60, "the killed task to end")
    checks.that(cluster.states()[killed] == "CANCELLED", "scancel ends a task in the middle", cluster.states())
    until(lambda: folder is None or not folder.exists(), 10, "the killed task's clone to go")
    checks.that(folder is not None, "the killed task leaves no clone behind", "it had none")
    cluster.run("scontrol", "requeue", killed)
    tasks = [f"{job}_{index}" for index in range(len(EXPERIMENTS))]
    until(lambda: _over(cluster, tasks), 400, f"all tasks: {cluster.states()}", pause=0.5)
    outputs = "\n".join(path.read_text(errors="replace")[-600:] for path in sorted(node.glob("*.out")))
    states = {task: state for task, state in cluster.states().items() if task in tasks}
    checks.that(set(states.values()) == {"COMPLETED"}, "requeued, every task is completed", f"{states}\n{outputs}")
    checks.that(not list(node.glob("tmp.*")), "no clone is left on the node", list(node.iterdir()))
    if cluster.hidden:
        checks.that(True, "the node had no file system in common with the server: Git and DVC went through SSH")
    else:
        print("         note: this machine gives no mounts of one's own; the node could have seen the server's folders")


def _collect(checks: Checks, desk: Project) -> None:
    listed = desk.dvc("exp", "list", "origin", "--name-only", timeout=60).stdout.split()
    checks.that(set(listed) >= set(EXPERIMENTS), "dvc exp list origin: all four", listed)
    pulled = desk.dvc("exp", "pull", "origin", timeout=120, check=False)
    checks.that(pulled.returncode == 0, "dvc exp pull: all four, with their data", pulled.stderr)
    rows = list(csv.DictReader(io.StringIO(desk.dvc("exp", "show", "--csv", timeout=120).stdout)))
    shown = {row["Experiment"]: row for row in rows if row["Experiment"] in EXPERIMENTS}
    checks.that(set(shown) == set(EXPERIMENTS), "dvc exp show at the desk: all four", sorted(shown))
    same = {}
    for name, row in shown.items():
        (ref,) = desk.run("git", "for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{name}").stdout.split()
        summary = json.loads(desk.run("git", "show", f"{ref}:metrics/summary.json").stdout)
        same[name] = (_named(row["model.name"], row["words_file"]), float(row["rsa"])) == (name, summary["rsa"])
    checks.that(bool(same) and all(same.values()), "each row has its task's model, words and numbers", same)
    figure = desk.root / "grid.png"
    compare = desk.run(sys.executable, "-m", "stages.compare", "--figure", str(figure), check=False, timeout=120)
    compared = all(compare.stdout.count(f" {name} ") >= 2 for name in EXPERIMENTS) and figure.exists()
    checks.that(compared, "stages.compare: all four in the tables and in a figure", compare.stdout + compare.stderr)
    figure.unlink(missing_ok=True)


def _addressed(script: str, server: Path) -> str:
    """Insert this run's models, word lists and addresses; everything else stays as it is."""
    models = " ".join(f"data/models/{name}" for name in MODELS)
    places = {
        "(gpt2 gpt2-xl)": f"({models})",
        "(params.yaml data/words.csv)": f"({' '.join(LISTS)})",
        "ssh://git@server/srv/rsa.git": f"ssh://root@server{server}/rsa.git",
        "ssh://me@server/data/rsa": f"ssh://server{server}/store",
    }
    for old, new in places.items():
        assert script.count(old) == 1, f"{SCRIPT.name} should have {old!r} once"
        script = script.replace(old, new)
    return script


def _named(model: str, words: str) -> str:
    return f"{Path(model).name}-{Path(words).stem}"


def _over(cluster: Slurm, tasks: list[str]) -> bool:
    states = cluster.states()
    return not {states.get(task) for task in tasks} & {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING"}


def desk_of(project: Project, server: Path, folder: Path) -> Project:
    """Publish a project on the server and return a clone of it, with the server's store as its remote."""
    project.run("git", "clone", "--quiet", "--bare", str(project.root), str(server / "rsa.git"), timeout=60)
    desk = clone(f"ssh://root@server{server}/rsa.git", folder)
    desk.dvc("remote", "add", "--local", "-d", "shared", f"ssh://server{server}/store", timeout=60)
    return desk
