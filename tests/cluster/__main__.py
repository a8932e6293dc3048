"""The recipes for clusters, run: a Slurm controller and node, an SSH server and an S3 server on the loopback interface.

    python tests/cluster               # run; what is missing is named
    python tests/cluster --install     # install what is missing first: on a machine to throw away
    python tests/cluster --within 180  # skip, and say so, what is not done by then, and servers that do not start here

Needs root on Debian; elsewhere it says that it was skipped. Every server has its own port, key and folder, and is
stopped at the end, after a failure and after Ctrl-C.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from checks import Checks
from install import NotInstalled, install, require

LIMIT = 900  # seconds for everything


class TimeIsUp(KeyboardInterrupt):
    """The seconds for everything are over."""


def main() -> int:
    """Run every check; return the exit code."""
    parser = argparse.ArgumentParser(prog="tests/cluster", description=__doc__.splitlines()[0])
    parser.add_argument("--install", action="store_true", help="install what is missing, with apt-get and pip")
    parser.add_argument("--within", type=int, metavar="SECONDS", help="skip what is not done by then, and what cannot")
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs and repositories")
    options = parser.parse_args()
    if not Path("/etc/debian_version").exists() or os.geteuid():
        print("tests/cluster: skipped, it needs root on Debian")
        return 0
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(name, _interrupt)
    signal.alarm(options.within or LIMIT)
    checks = Checks(lenient=bool(options.within))
    try:
        if options.install:
            install()
        require()
        with checks.part("Servers"), _folder(options.keep) as folder:
            run(checks, folder)
    except NotInstalled as error:
        print(f"tests/cluster: skipped, {error}")
        return 0
    except KeyboardInterrupt as error:
        if checks.lenient and isinstance(error, TimeIsUp):
            print(f"skipped: what is not done within {options.within} s")
        else:
            checks.that(False, "runs to its end", error)
    print(f"\n{checks.summary()}")
    return min(checks.failed, 1)


def run(checks: Checks, folder: Path) -> None:
    """Start the servers, run the checks against them, and stop them.

    Parameters
    ----------
    checks : Checks
        Where results go.
    folder : Path
        Empty folder; its folders stand for machines: desk, server, node.
    """
    from grid import check_grid, desk_of
    from projects import EXPERIMENTS, tiny_project
    from races import check_races
    from remotes import add_ballast, check_remote
    from s3 import CREDENTIALS, s3_server
    from slurm import slurm
    from ssh import Store, ssh_server

    for name in ("ssh", "s3", "slurm", "desk", "server", "node", "races"):
        (folder / name).mkdir()
    with ExitStack() as stack:
        ssh = stack.enter_context(ssh_server(folder / "ssh"))
        bucket = stack.enter_context(s3_server(folder / "s3"))
        project = tiny_project(folder / "desk/seed", {**CREDENTIALS, **ssh})
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


@contextmanager
def _folder(keep: bool) -> Iterator[Path]:
    # Not in a folder that only root may enter: munge wants everyone to reach its socket.
    folder = Path(tempfile.mkdtemp(prefix="cluster-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        if keep:
            print(f"\nkept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _interrupt(number: int, _: object) -> None:
    kind = TimeIsUp if number == signal.SIGALRM else KeyboardInterrupt
    raise kind(f"stopped by {signal.Signals(number).name}")


if __name__ == "__main__":
    sys.exit(main())
