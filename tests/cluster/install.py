"""What `python tests/cluster` needs: Debian's packages of the servers, and Python packages beside the requirements."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

#: Program → package.
PROGRAMS = {
    **{"slurmctld": "slurmctld", "slurmd": "slurmd", "sbatch": "slurm-client", "munged": "munge"},
    **{"sshd": "openssh-server", "ssh": "openssh-client", "git": "git"},
}
MODULES = ("boto3", "dvc_s3", "dvc_ssh", "flask", "flask_cors", "moto")


class NotInstalled(Exception):
    """Something is missing, and why."""


def require(install: bool) -> None:
    """Raise NotInstalled when something is missing, or cannot be installed where that is wished."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    programs = [name for name in PROGRAMS if not shutil.which(name, path=path)]
    modules = [name for name in MODULES if importlib.util.find_spec(name) is None]
    if not install and programs + modules:
        raise NotInstalled(f"{', '.join(programs + modules)} missing; --install installs them")
    if programs:
        _run("apt-get", "--quiet", "update")
        packages = sorted({PROGRAMS[name] for name in programs})
        _run("apt-get", "--quiet", "install", "--yes", "--no-install-recommends", *packages)
    if modules:
        folder = Path(__file__).parent
        files = f"--constraint={folder.parents[1]}/requirements.txt", f"--requirement={folder}/requirements.txt"
        _run(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *files)
        importlib.invalidate_caches()


def _run(*command: str) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    try:
        done = subprocess.run(command, env=env, text=True, timeout=400, **pipes)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"the installation failed: {error}") from error
    if done.returncode:
        raise NotInstalled(f"{' '.join(command[:2])} exited {done.returncode}:\n{done.stdout[-800:]}")
