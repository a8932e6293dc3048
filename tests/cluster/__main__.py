"""The recipes for clusters, run: a Slurm controller and node, an SSH server and an S3 server on the loopback interface.

    python tests/cluster               # run; what is missing is named
    python tests/cluster --install     # install what is missing first: on a machine to throw away

Needs root on Debian; elsewhere it says that it was skipped. Every server has its own port, key and folder, and is
stopped at the end, after a failure and after Ctrl-C.
"""

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path

from checks import Checks
from install import NotInstalled, require

LIMIT = 900  # seconds for everything


def main() -> int:
    """Run every check; return the exit code."""
    parser = argparse.ArgumentParser(prog="tests/cluster", description=__doc__.splitlines()[0])
    parser.add_argument("--install", action="store_true", help="install what is missing, with apt-get and pip")
    options = parser.parse_args()
    if not Path("/etc/debian_version").exists() or os.geteuid():
        print("tests/cluster: skipped, it needs root on Debian")
        return 0
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(name, _interrupt)
    signal.alarm(LIMIT)
    checks = Checks()
    try:
        require(options.install)
        with checks.part("Servers"), tempfile.TemporaryDirectory(prefix="cluster-", dir="/tmp") as folder:
            Path(folder).chmod(0o755)  # munge wants everyone to reach its socket
            run(checks, Path(folder))
    except NotInstalled as error:
        print(f"tests/cluster: skipped, {error}")
        return 0
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
