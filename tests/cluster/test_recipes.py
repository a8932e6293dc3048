"""The recipes of stages/compare/README.md on real servers: an array of tasks, tasks that end at once, DVC remotes.

The tests follow each other: what the first computes on Slurm, the others push, pull and compare.
"""

import csv
import hashlib
import io
import json
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import Project, commit
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from projects import EXPERIMENTS, LISTS, MODELS, clone, tiny_project
from s3fs import S3FileSystem
from servers import BOUND, over, said, tasks, until

KILLED = 1  # the task that is killed
TOGETHER = 4  # `dvc exp push` at once
MANY = 24  # `git push` at once: more than an SSH server lets wait for their keys (MaxStartups, 10)
LARGE = 128 << 20  # bytes: an upload that takes long enough to be killed in; S3 takes it in parts
BALLAST, CUT = "data/ballast", "data/similarity.safetensors"


@pytest.fixture(scope="session")
def bare(ssh: None, s3: S3FileSystem, slurm: bool, folder: Path) -> Project:
    """Publish the tiny project on the server; the servers come first, as a project keeps the environment it finds."""
    project = tiny_project(folder / "desk/seed")
    project.run("git", "clone", "--quiet", "--bare", ".", str(folder / "server/rsa.git"))
    return Project(folder / "server/rsa.git")


@pytest.fixture(scope="session")
def desk(bare: Project, folder: Path) -> Project:
    """Clone it, with a folder of the server as DVC's remote."""
    desk = clone(f"ssh://root@server{bare.root}", folder / "desk/rsa")
    desk.dvc("remote", "add", "--local", "-d", "shared", f"ssh://server{folder}/server/store")
    return desk


def ref(project: Project, name: str) -> str:
    """Name Git's reference to an experiment on the last commit."""
    base = project.run("git", "rev-parse", "HEAD").stdout.strip()
    return f"refs/exps/{base[:2]}/{base[2:]}/{name}"


def refs(project: Project) -> dict[str, str]:
    """Return the commit of every experiment."""
    listed = project.run("git", "for-each-ref", "--format=%(refname:lstrip=4) %(objectname)", "refs/exps")
    return dict(line.split() for line in listed.stdout.splitlines())


def named(params: dict) -> str:
    """Return the name that the script gives to an experiment with these settings."""
    return f"{Path(params['model']['name']).name}-{Path(params['words_file']).stem}"


def test_of_an_array_on_slurm_a_task_is_killed_and_requeued(slurm: bool, desk: Project, folder: Path) -> None:
    script, node = Path(__file__).with_name("array.sh").read_text(), folder / "node"
    for old, new in {
        "(gpt2 gpt2-xl)": f"({' '.join(f'data/models/{name}' for name in MODELS)})",
        "(params.yaml data/words.csv)": f"({' '.join(LISTS)})",
        "ssh://git@server/srv/rsa.git": f"ssh://root@server{folder}/server/rsa.git",
        "ssh://me@server/data/rsa": f"ssh://server{folder}/server/store",
    }.items():
        assert script.count(old) == 1
        script = script.replace(old, new)
    (folder / "array.sh").write_text(script)
    submit = ("sbatch", "--wait", "--chdir=/", f"--output={node}/%a.out", str(folder / "array.sh"))
    sbatch = desk.popen("env", f"TMPDIR={node}", *BOUND, *submit)
    until(tasks, 30, "the array to be queued")
    job = next(iter(tasks())).partition("_")[0]
    every = [f"{job}_{index}" for index in range(len(EXPERIMENTS))]

    def killed() -> list[Path]:
        """List the clone in which the task that will be killed has got past its similarities."""
        locks = [lock for lock in node.glob("tmp.*/dvc.lock") if "  similarity:" in lock.read_text()]
        return [lock.parent for lock in locks if named(Project(lock.parent).params) == EXPERIMENTS[KILLED]]

    (clone_of_killed,) = until(killed, 240, "the task to be killed")
    said("scancel", every[KILLED])
    until(lambda: over(every[KILLED]), 60, "the killed task to end")
    assert tasks()[every[KILLED]] == "CANCELLED"
    until(lambda: not clone_of_killed.exists(), 10, "its clone to go")
    said("scontrol", "requeue", every[KILLED])
    until(lambda: over(*every), 400, "all tasks to end", pause=0.5)
    outputs = [path.read_text(errors="replace")[-600:] for path in node.glob("*.out")]
    assert {task: tasks()[task] for task in every} == dict.fromkeys(every, "COMPLETED"), outputs
    assert not list(node.glob("tmp.*"))  # no clone is left on the node
    sbatch.communicate()  # it looks every 32 s at the end
    assert sbatch.returncode == 0
    if not slurm:
        warnings.warn(
            "this machine gives no mounts of one's own: the node could see the server's folders", stacklevel=1
        )


def test_the_array_is_collected_and_compared_at_the_desk(desk: Project) -> None:
    listed = desk.dvc("exp", "list", "origin", "--name-only").stdout.split()
    assert sorted(listed) == sorted(EXPERIMENTS)
    desk.dvc("exp", "pull", "origin")
    rows = list(csv.DictReader(io.StringIO(desk.dvc("exp", "show", "--csv").stdout)))
    shown = {row["Experiment"]: row for row in rows if row["Experiment"] in EXPERIMENTS}
    assert sorted(shown) == sorted(EXPERIMENTS)
    for name, row in shown.items():  # each has its task's model, words and numbers
        summary = json.loads(desk.run("git", "show", f"{ref(desk, name)}:metrics/summary.json").stdout)
        settings = {"model": {"name": row["model.name"]}, "words_file": row["words_file"]}
        assert (named(settings), float(row["rsa"])) == (name, summary["rsa"])
    compared = desk.run(sys.executable, "-m", "stages.compare", "--figure", "grid.png").stdout
    assert all(compared.count(f" {name} ") >= 2 for name in EXPERIMENTS)
    (desk.root / "grid.png").unlink()


def again(machine: Project, name: str) -> str:
    """Keep the first experiment once more under another name, as a commit of its own, and return the commit."""
    message = f"{name} of {machine.root.name}"
    tree = f"{ref(machine, EXPERIMENTS[0])}^{{tree}}"
    commit = machine.run("git", "commit-tree", tree, "-p", "HEAD", "-m", message).stdout.strip()
    machine.run("git", "update-ref", ref(machine, name), commit)
    return commit


@pytest.fixture(scope="session")
def machines(desk: Project, folder: Path) -> list[Project]:
    """Copy the desk, experiments and data included."""
    roots = [folder / f"desk/machine-{index}" for index in range(TOGETHER)]
    return [Project(shutil.copytree(desk.root, root, symlinks=True)) for root in roots]


def key(path: Path) -> str:
    """Return the name that DVC gives a file at a remote, by its content."""
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    return f"files/md5/{digest[:2]}/{digest[2:]}"


def push_at_once(machines: list[Project], names: Iterable[str]) -> list[int]:
    """Run `dvc exp push` of an experiment in each clone; return the exit codes."""
    command = (sys.executable, "-m", "dvc", "exp", "push", "origin")
    running = [machine.popen(*command, name) for machine, name in zip(machines, names, strict=True)]
    for process in running:
        print(process.communicate()[0])
    return [process.returncode for process in running]


def test_experiments_that_are_pushed_at_once_all_arrive(bare: Project, machines: list[Project], folder: Path) -> None:
    shutil.rmtree(folder / "server/store")  # so that all of them send the same data, too
    commits = {f"race-{index}": again(machine, f"race-{index}") for index, machine in enumerate(machines)}
    assert push_at_once(machines, commits) == [0] * TOGETHER
    assert commits.items() <= refs(bare).items()
    sent = [path for path in (folder / "server/store").rglob("*") if path.is_file()]
    assert sent
    assert all(path.as_posix().endswith(key(path)) for path in sent)


def test_of_two_experiments_with_the_same_name_one_arrives(bare: Project, machines: list[Project]) -> None:
    both = machines[:2]
    commits = [again(machine, "same") for machine in both]
    codes = push_at_once(both, ["same", "same"])
    won = commits.index(refs(bare)["same"])
    assert codes[won] == 0
    other = both[1 - won]
    done = other.dvc("exp", "push", "origin", "same")  # exits 0
    assert "diverged" in done.stdout + done.stderr
    assert refs(bare)["same"] == commits[won]
    other.dvc("exp", "push", "--force", "origin", "same")  # what a task needs that runs again
    assert refs(bare)["same"] == commits[1 - won]


def test_many_that_are_pushed_at_once_arrive_when_those_refused_are_repeated(
    bare: Project, desk: Project, folder: Path
) -> None:
    commits = {f"many-{index}": again(desk, f"many-{index}") for index in range(MANY)}
    for _ in range(5):
        left = [ref(desk, name) for name in commits if name not in refs(bare)]
        running = [desk.popen("git", "push", "--quiet", "origin", f"{name}:{name}") for name in left]
        for process in running:
            process.communicate()
        print(f"git push, {len(left)} at once: {sum(process.returncode != 0 for process in running)} refused")
    assert commits.items() <= refs(bare).items()
    bare.run("git", "fsck", "--connectivity-only")
    fresh = clone(bare.root, folder / "desk/fresh")
    listed = fresh.dvc("exp", "list", "origin", "--name-only").stdout.split()
    assert sorted(listed) == sorted(refs(bare))


@pytest.fixture(scope="session")
def laden(desk: Project) -> Project:
    """Apply an experiment at the desk, and have DVC track one large file more, committed."""
    desk.dvc("exp", "apply", EXPERIMENTS[0])
    (desk.root / BALLAST).write_bytes(os.urandom(LARGE))
    desk.dvc("add", "--quiet", BALLAST)
    commit(desk)
    return desk


class Remote(NamedTuple):
    """A remote as it is seen without DVC: its files, and whether some upload has begun and not ended."""

    files: DirFileSystem
    uploading: Callable[[], object]


@pytest.fixture(scope="module", params=["ssh", "s3"])
def remote(request: pytest.FixtureRequest, laden: Project, s3: S3FileSystem, folder: Path) -> Remote:
    """Set another remote at the desk, an empty one."""
    store = folder / "server/other"
    url = "s3://bucket/rsa" if request.param == "s3" else f"ssh://server{store}"
    laden.dvc("remote", "add", "--local", "-f", "shared", url)
    if request.param == "ssh":
        files = DirFileSystem(str(store), LocalFileSystem())
        return Remote(files, lambda: any(path.stat().st_size for path in store.rglob("*.tmp")))
    s3.mkdir("bucket")
    laden.dvc("remote", "modify", "--local", "shared", "endpointurl", s3.endpoint_url)
    return Remote(DirFileSystem("bucket/rsa", s3), lambda: s3.list_multipart_uploads("bucket"))


def data(project: Project) -> dict[str, str]:
    """Return every file that DVC keeps for the workspace, which Git ignores, with its name at a remote."""
    listed = project.run("git", "ls-files", "--others", "--ignored", "--exclude-standard", "data").stdout.split()
    return {path: key(project.root / path) for path in listed}


def test_a_push_that_is_killed_is_repeated(remote: Remote, laden: Project) -> None:
    push = laden.popen(sys.executable, "-m", "dvc", "push")
    until(lambda: remote.uploading() or push.poll() is not None, 60, "the upload to begin", pause=0.005)
    os.killpg(push.pid, signal.SIGKILL)
    push.communicate()
    assert push.returncode == -signal.SIGKILL
    large = data(laden)[BALLAST]
    assert not remote.files.exists(large) or remote.files.size(large) == LARGE  # no part of it under its name
    assert remote.uploading()  # what had been sent stays on the server under another name, for ever
    laden.dvc("push")
    assert all(map(remote.files.exists, data(laden).values()))


def test_an_object_that_was_cut_short_is_pulled_unless_verified_and_not_mended(
    remote: Remote, laden: Project, tmp_path: Path
) -> None:
    def pull(name: str, *verify: str) -> tuple[int, Project]:
        """Pull on a new machine; return the exit code."""
        other = clone(laden.root, tmp_path / name)
        shutil.copy(laden.root / ".dvc/config.local", other.root / ".dvc/config.local")
        if verify:
            other.dvc("remote", "modify", "--local", "shared", *verify)
        done = other.dvc("pull", check=False)
        print(done.stderr)
        return done.returncode, other

    expected = data(laden)
    code, first = pull("first")
    assert (code, data(first)) == (0, expected)
    cut = expected[CUT]
    half = remote.files.size(cut) // 2
    remote.files.pipe_file(cut, remote.files.cat_file(cut)[:half])
    code, taken = pull("taken")
    assert code == 0  # without a word
    assert data(taken).keys() == expected.keys()
    assert data(taken)[CUT] != cut
    code, refused = pull("refused", "verify", "true")
    assert code != 0
    assert CUT not in data(refused)
    laden.dvc("push")  # does not mend it: the object is there
    assert remote.files.size(cut) == half
    remote.files.rm_file(cut)
    laden.dvc("push")
    code, mended = pull("mended")
    assert (code, data(mended)) == (0, expected)
