"""The recipes for clusters, run: a Slurm controller and node, an SSH server and an S3 server on the loopback interface.

Needs root on Debian, and what the README lists; elsewhere it says that it was skipped. Every server has its own port,
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

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged", "sshd", "ssh", "git")
MODULES = ("boto3", "dvc_s3", "dvc_ssh", "flask", "flask_cors", "moto")
LIMIT = 900  # seconds for everything


def main() -> int:
    """Run every check; return the exit code."""
    if not Path("/etc/debian_version").exists() or os.geteuid():
        print("tests/cluster: skipped, it needs root on Debian")
        return 0
    missing = [name for name in PROGRAMS if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")]
    missing += [name for name in MODULES if importlib.util.find_spec(name) is None]
    if missing:
        print(f"tests/cluster: skipped, {', '.join(missing)} missing: tests/cluster/README.md says where from")
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
    from projects import EXPERIMENTS, tiny_project
    from races import check_races
    from remotes import add_ballast, check_remote
    from s3 import s3_server
    from slurm import slurm
    from ssh import Store, ssh_server

    for name in ("ssh", "s3", "slurm", "desk", "server", "node", "races"):
        (folder / name).mkdir()
    with ssh_server(folder / "ssh"), s3_server(folder / "s3") as bucket:
        project = tiny_project(folder / "desk/seed")
        desk = desk_of(project, folder / "server", folder / "desk/rsa")
        tasks = {**project.env, "TMPDIR": str(folder / "node")}
        elsewhere = [folder / "desk", folder / "server"]
        with checks.part("An array of four tasks on Slurm"), slurm(folder / "slurm", tasks, elsewhere) as cluster:
            check_grid(checks, cluster, desk, folder / "server", folder / "node")
        with checks.part("Tasks that finish at once"):
            check_races(checks, desk, folder / "server", folder / "races")
        with checks.part("Remotes"):
            desk.dvc("exp", "apply", EXPERIMENTS[0], timeout=60)
            add_ballast(desk)
            for name, remote in (("ssh", Store(folder / "server/other")), ("s3", bucket)):
                check_remote(checks, name, remote, desk, folder / f"desk/{name}")


def _interrupt(number: int, _: object) -> None:
    raise KeyboardInterrupt(f"stopped by {signal.Signals(number).name}")


if __name__ == "__main__":
    sys.exit(main())
