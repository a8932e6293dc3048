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
    """Push from the desk to an empty remote and pull in a clone in `folder`, with mishaps."""

    def that(holds: bool, what: str, found: object = "") -> None:
        checks.that(holds, f"{name}: {what}", found)

    desk.dvc("remote", "add", "--local", name, remote.url, timeout=60)
    for option, value in remote.options.items():
        desk.dvc("remote", "modify", "--local", name, option, value, timeout=60)
    large, cut = _key(_digests(desk)[BALLAST]), _key(_digests(desk)[CUT])

    push = desk.popen(sys.executable, "-m", "dvc", "push", "-r", name)
    until(lambda: remote.uploading() or push.poll() is not None, 60, "the upload to begin", pause=0.005)
    os.killpg(push.pid, signal.SIGKILL)
    push.communicate(timeout=30)
    whole = remote.sizes().get(large, LARGE) == LARGE
    that(push.returncode == -signal.SIGKILL and whole, "a killed push leaves no part under its name")
    that(remote.uploading(), "what it had sent stays on the server under another name, for ever")
    done = desk.dvc("push", "-r", name, check=False, timeout=120)
    sizes = remote.sizes()
    missing = [path for path, md5 in _digests(desk).items() if _key(md5) not in sizes]
    that(done.returncode == 0 and not missing, "dvc push, repeated, sends the rest", missing or done.stderr)

    other = clone(desk.root, folder)
    shutil.copy(desk.root / ".dvc/config.local", other.root / ".dvc/config.local")
    done = other.dvc("pull", "-r", name, check=False, timeout=120)
    that(done.returncode == 0 and _same(desk, other), "dvc pull brings the same bytes", done.stderr)

    remote.cut(cut)
    done = _pull_again(other, name)
    taken = done.returncode == 0 and not _same(desk, other)
    that(taken, "as it comes, DVC takes an object that is cut short without a word", done.stderr)
    other.dvc("remote", "modify", "--local", name, "verify", "true", timeout=60)
    done = _pull_again(other, name)
    refused = done.returncode != 0 and not (other.root / CUT).exists()
    that(refused, "with verify = true the pull fails and nothing is kept", done.stdout)
    desk.dvc("push", "-r", name, timeout=120)
    that(remote.sizes()[cut] < sizes[cut], "dvc push does not mend it: the object is there")
    remote.delete(cut)
    desk.dvc("push", "-r", name, timeout=120)
    done = _pull_again(other, name)
    that(done.returncode == 0 and _same(desk, other), "deleted and pushed again, it is whole", done.stderr)


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
        found |= {out["path"]: out["md5"] for out in stage["outs"]}
    in_git = project.run("git", "ls-files", "-z").stdout.split("\0")
    return {path: md5 for path, md5 in found.items() if path not in in_git}


def _key(md5: str) -> str:
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def _same(project: Project, other: Project) -> bool:
    paths = _digests(project)
    return all(digest(project.root / path) == digest(other.root / path) is not None for path in paths)
