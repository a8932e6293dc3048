"""Tasks that finish at the same moment: names of their own, the same name twice, and many at once."""

import hashlib
import shutil
import sys
from pathlib import Path

from checks import Checks
from projects import EXPERIMENTS, Project, clone
from ssh import Store

TOGETHER = 4  # `dvc exp push` at once
MANY = 24  # `git push` at once: more than an SSH server lets wait for their keys (MaxStartups, 10)


def check_races(checks: Checks, desk: Project, server: Path, folder: Path) -> None:
    """Push experiments from several clones at once, which go below a folder.

    The desk is a clone of `server`/rsa.git, with `EXPERIMENTS` and their data, and has `server`/store as its remote.
    """
    base = desk.run("git", "rev-parse", "HEAD").stdout.strip()
    prefix = f"refs/exps/{base[:2]}/{base[2:]}"
    bare = Project(server / "rsa.git")

    shutil.rmtree(server / "store")  # so that all of them send the same data, too
    machines = []
    for index in range(TOGETHER):
        shutil.copytree(desk.root, folder / f"machine-{index}", symlinks=True)
        machines.append(Project(folder / f"machine-{index}"))
    ours = {f"race-{index}": _again(machine, prefix, f"race-{index}") for index, machine in enumerate(machines)}
    done = _push_at_once(machines, *(["origin", name] for name in ours))
    there = _refs(bare, prefix)
    good = all(code == 0 for code, _ in done) and all(there.get(name) == commit for name, commit in ours.items())
    checks.that(good, f"{TOGETHER} clones push an experiment each at once: all arrive", done)
    store = Store(server / "store")
    md5 = {key: hashlib.md5((store.folder / key).read_bytes(), usedforsecurity=False) for key in store.sizes()}
    wrong = [key for key, found in md5.items() if found.hexdigest() != key.replace("files/md5", "").replace("/", "")]
    checks.that(md5 and not wrong, "the data that they all sent at once are whole", wrong)

    commits = [_again(machine, prefix, "same") for machine in machines[:2]]
    done = _push_at_once(machines[:2], ["origin", "same"], ["origin", "same"])
    won = commits.index(_refs(bare, prefix).get("same", commits[0]))
    checks.that(done[won][0] == 0 and "same" in _refs(bare, prefix), "the same name from two clones: one arrives", done)
    other = machines[1 - won]
    plain = _push_at_once([other], ["origin", "same"])
    kept = _refs(bare, prefix)["same"] == commits[won]
    quiet = plain[0][0] == 0 and "diverged" in plain[0][1]
    checks.that(kept and quiet, "a second run under the same name does not replace it, yet exits 0", plain)
    forced = _push_at_once([other], ["--force", "origin", "same"])
    replaced = _refs(bare, prefix)["same"] == commits[1 - won]
    checks.that(replaced, "with --force it does: what a task needs that runs again", forced)

    pushes = {f"many-{index}": _again(desk, prefix, f"many-{index}") for index in range(MANY)}
    rounds = 0
    while (left := [name for name in pushes if name not in _refs(bare, prefix)]) and rounds < 5:
        running = [desk.popen("git", "push", "--quiet", "origin", f"{prefix}/{name}:{prefix}/{name}") for name in left]
        for process in running:
            process.communicate(timeout=120)
        refused = sum(process.returncode != 0 for process in running)
        rounds += 1
        print(f"         git push, {len(left)} at once: {refused} refused")
    checks.that(not left, f"{MANY} names arrive, those repeated that the SSH server refused", left)
    fsck = bare.run("git", "fsck", "--connectivity-only", check=False, timeout=60)
    checks.that(fsck.returncode == 0, "the repository is sound (git fsck)", fsck.stderr)
    fresh = clone(server / "rsa.git", folder / "fresh")
    listed = fresh.dvc("exp", "list", "origin", "--name-only", timeout=60).stdout.split()
    checks.that(set(listed) >= {*ours, *pushes, "same"}, "dvc exp list origin: all of them", listed)


def _again(machine: Project, prefix: str, name: str) -> str:
    """Keep the first experiment once more under another name, as a commit of its own, and return the commit."""
    base, first = prefix.removeprefix("refs/exps/").replace("/", ""), f"{prefix}/{EXPERIMENTS[0]}"
    message = f"{name} of {machine.root.name}"
    commit = machine.run("git", "commit-tree", f"{first}^{{tree}}", "-p", base, "-m", message).stdout.strip()
    machine.run("git", "update-ref", f"{prefix}/{name}", commit)
    return commit


def _push_at_once(machines: list[Project], *arguments: list[str]) -> list[tuple[int, str]]:
    """Run `dvc exp push` in each clone at once; return the exit codes and what was written."""
    running = [
        machine.popen(sys.executable, "-m", "dvc", "exp", "push", *added)
        for machine, added in zip(machines, arguments, strict=True)
    ]
    written = [process.communicate(timeout=120)[0].partition("Having any troubles")[0] for process in running]
    return [(process.returncode, " ".join(text.split())) for process, text in zip(running, written, strict=True)]


def _refs(bare: Project, prefix: str) -> dict[str, str]:
    listed = bare.run("git", "for-each-ref", "--format=%(refname:lstrip=4) %(objectname)", prefix)
    return dict(line.split() for line in listed.stdout.splitlines())
