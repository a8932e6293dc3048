"""DVC remotes over SSH and S3: push and pull, a push that is killed and repeated, an object that is cut short."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from checks import Checks
from daemons import until
from projects import Project, clone, digest
from ruamel.yaml import YAML
from s3 import Bucket
from ssh import Store

LARGE = 128 << 20  # bytes: an upload that takes long enough to be killed in; S3 takes it in parts
BALLAST = "data/ballast"
CUT = "data/similarity.safetensors"


def add_ballast(desk: Project) -> None:
    """Let DVC track one large file more, committed."""
    (desk.root / BALLAST).write_bytes(os.urandom(LARGE))
    desk.dvc("add", "--quiet", BALLAST, timeout=120)
    desk.run("git", "add", "-A")
    desk.run("git", "commit", "--quiet", "-m", "ballast")


def check_remote(checks: Checks, name: str, remote: Store | Bucket, desk: Project, folder: Path) -> None:
    """Push from the desk and pull elsewhere, with mishaps.

    Parameters
    ----------
    checks : Checks
        Where results go.
    name : str
        Name of the remote.
    remote : Store or Bucket
        The empty remote, seen from behind.
    desk : Project
        Repository with outputs and `BALLAST` in its cache, committed.
    folder : Path
        Folder for a clone.
    """
    _add(desk, name, remote)
    large, cut = _key(_digests(desk)[BALLAST]), _key(_digests(desk)[CUT])

    push = desk.popen(sys.executable, "-m", "dvc", "push", "-r", name)
    until(lambda: remote.uploading() or push.poll() is not None, 60, "the upload to begin", pause=0.005)
    os.killpg(push.pid, signal.SIGKILL)
    push.communicate(timeout=30)
    whole = remote.sizes().get(large, LARGE) == LARGE
    checks.that(push.returncode == -signal.SIGKILL and whole, f"{name}: a killed push leaves no part under its name")
    checks.that(remote.uploading(), f"{name}: what it had sent stays on the server under another name, for ever")
    done = desk.dvc("push", "-r", name, check=False, timeout=120)
    sizes = remote.sizes()
    missing = {path: key for path, key in _digests(desk).items() if _key(key) not in sizes}
    checks.that(
        done.returncode == 0 and not missing, f"{name}: dvc push, repeated, sends the rest", missing or done.stderr
    )

    other = clone(desk, str(desk.root), folder)
    shutil.copy(desk.root / ".dvc/config.local", other.root / ".dvc/config.local")
    done = other.dvc("pull", "-r", name, check=False, timeout=120)
    checks.that(done.returncode == 0 and _same(desk, other), f"{name}: dvc pull brings the same bytes", done.stderr)

    remote.cut(cut)
    done = _pull_again(other, name)
    taken = done.returncode == 0 and not _same(desk, other)
    checks.that(taken, f"{name}: as it comes, DVC takes an object that is cut short without a word", done.stderr)
    other.dvc("remote", "modify", "--local", name, "verify", "true", timeout=60)
    done = _pull_again(other, name)
    refused = done.returncode != 0 and not (other.root / CUT).exists()
    checks.that(refused, f"{name}: with verify = true the pull fails and nothing is kept", done.stdout)
    desk.dvc("push", "-r", name, timeout=120)
    checks.that(remote.sizes()[cut] < sizes[cut], f"{name}: dvc push does not mend it: the object is there")
    remote.delete(cut)
    desk.dvc("push", "-r", name, timeout=120)
    done = _pull_again(other, name)
    checks.that(
        done.returncode == 0 and _same(desk, other), f"{name}: deleted and pushed again, it is whole", done.stderr
    )


def _add(project: Project, name: str, remote: Store | Bucket) -> None:
    project.dvc("remote", "add", "--local", name, remote.url, timeout=60)
    for option, value in remote.options.items():
        project.dvc("remote", "modify", "--local", name, option, value, timeout=60)


def _pull_again(project: Project, name: str) -> subprocess.CompletedProcess:
    """Pull on a machine that has no data yet."""
    shutil.rmtree(project.root / ".dvc/cache")
    for path in _digests(project):
        (project.root / path).unlink(missing_ok=True)
    return project.dvc("pull", "-r", name, check=False, timeout=120)


def _digests(project: Project) -> dict[str, str]:
    """Return the MD5 of every file that DVC keeps for the workspace."""
    yaml = YAML(typ="safe")
    tracked = yaml.load((project.root / f"{BALLAST}.dvc").read_text())["outs"]
    found = {BALLAST: tracked[0]["md5"]}
    for stage in yaml.load((project.root / "dvc.lock").read_text())["stages"].values():
        found |= {out["path"]: out["md5"] for out in stage["outs"] if not _in_git(project, out["path"])}
    return found


def _in_git(project: Project, path: str) -> bool:
    return project.run("git", "ls-files", "--", path).stdout != ""


def _key(md5: str) -> str:
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def _same(project: Project, other: Project) -> bool:
    paths = _digests(project)
    return all(digest(project.root / path) == digest(other.root / path) is not None for path in paths)
