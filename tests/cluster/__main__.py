"""The recipe for clusters, run: a Slurm controller and node, and an SSH server on the loopback interface.

    python tests/cluster

Needs root on Debian, and what README.md installs; without, it says that it was skipped. Every server has its own port,
key and folder, and is stopped at the end, after a failure and after Ctrl-C.
"""

import importlib.util
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from checks import Checks

LIMIT = 900  # seconds for everything
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged", "sshd", "ssh", "git")


def main() -> int:
    """Run every check; return the exit code."""
    found = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [name for name in PROGRAMS if not shutil.which(name, path=found)]
    if importlib.util.find_spec("dvc_ssh") is None:
        missing.append("dvc-ssh")
    if missing or not Path("/etc/debian_version").exists() or os.geteuid():
        reason = f"{', '.join(missing)} missing" if missing else "it needs root on Debian"
        print(f"tests/cluster: skipped, {reason}")
        return 0
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(name, _interrupt)
    signal.alarm(LIMIT)
    checks = Checks()
    try:
        with checks.part("Servers"), tempfile.TemporaryDirectory(prefix="cluster-", dir="/tmp") as folder:
            Path(folder).chmod(0o755)  # munge wants everyone to reach its socket
            run(checks, Path(folder))
    except KeyboardInterrupt as error:
        checks.that(False, "runs to its end", error)
    print(f"\n{checks.passed} passed, {checks.failed} failed")
    return min(checks.failed, 1)


def run(checks: Checks, folder: Path) -> None:
    """Start the servers, run the checks against them, and stop them; the folder's folders stand for machines."""
    from grid import check_grid, desk_of
    from projects import tiny_project
    from slurm import slurm
    from ssh import ssh_server

    for name in ("ssh", "slurm", "desk", "server", "node"):
        (folder / name).mkdir()
    with ssh_server(folder / "ssh"):
        project = tiny_project(folder / "desk/seed")
        desk = desk_of(project, folder / "server", folder / "desk/rsa")
        tasks = {**project.env, "TMPDIR": str(folder / "node")}
        elsewhere = [folder / "desk", folder / "server"]
        with checks.part("An array of four tasks on Slurm"), slurm(folder / "slurm", tasks, elsewhere) as cluster:
            check_grid(checks, cluster, desk, folder / "server", folder / "node")


def _interrupt(number: int, _: object) -> None:
    raise KeyboardInterrupt(f"stopped by {signal.Signals(number).name}")


if __name__ == "__main__":
    sys.exit(main())
