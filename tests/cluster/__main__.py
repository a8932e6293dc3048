"""The recipes for clusters, run by pytest on a Slurm controller and node, an SSH and an S3 server on this machine.

Needs root on Debian, and what the README lists; elsewhere it says that it was skipped.
"""

import importlib.util
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "sshd", "ssh", "git")
MODULES = ("dvc_s3", "dvc_ssh", "flask", "flask_cors", "moto")
LIMIT = 900  # seconds for everything


def main() -> int:
    """Run the tests; return the exit code."""
    missing = [name for name in PROGRAMS if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")]
    missing += [name for name in MODULES if importlib.util.find_spec(name) is None]
    if missing or os.geteuid() or not Path("/etc/debian_version").exists():
        print(f"tests/cluster: skipped, it needs root on Debian and what its README lists; missing: {missing}")
        return 0
    for name in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(name, signal.default_int_handler)  # as Ctrl-C does: the servers end
    signal.alarm(LIMIT)
    options = ("-o", "addopts=", "-o", "tmp_path_retention_policy=none", "-p", "no:hydra_pytest", "-p", "servers")
    return pytest.main([str(Path(__file__).parent), "-v", "-rP", "--durations=0", *options])


if __name__ == "__main__":
    sys.exit(main())
