"""What `python tests/cluster` needs: Debian's packages of the servers, and Python packages beside the requirements."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGES = {
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
    "munged": "munge",
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "git": "git",
}
MODULES = {"dvc_ssh", "dvc_s3", "moto", "boto3", "flask", "flask_cors"}
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
POLICY = Path("/usr/sbin/policy-rc.d")


class NotInstalled(Exception):
    """Something is missing, and why."""


def require() -> None:
    """Make sure that all is there.

    Raises
    ------
    NotInstalled
    """
    programs = [name for name in PACKAGES if not _program(name)]
    modules = sorted(name for name in MODULES if importlib.util.find_spec(name) is None)
    if lacking := programs + modules:
        raise NotInstalled(f"{', '.join(lacking)} missing; --install installs them")


def install() -> None:
    """Install what is missing.

    Debian starts a server as soon as its package is installed, on every interface. Here it must not: its own script for
    that, if there is none yet, says no for as long as this takes.

    Raises
    ------
    NotInstalled
        When apt-get or pip fails.
    """
    packages = sorted({package for program, package in PACKAGES.items() if not _program(program)})
    if packages:
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        ours = not POLICY.exists()
        if ours:
            POLICY.write_text("#!/bin/sh\nexit 101\n")
            POLICY.chmod(0o755)
        try:
            for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
                _run(["apt-get", "--quiet", *command], env)
        finally:
            if ours:
                POLICY.unlink()
    if any(importlib.util.find_spec(name) is None for name in MODULES):
        constraints = Path(__file__).parents[2] / "requirements.txt"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "--constraint", str(constraints), "--requirement", str(REQUIREMENTS)], dict(os.environ))
        importlib.invalidate_caches()


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin{os.pathsep}/sbin")


def _run(command: list[str], env: dict[str, str]) -> None:
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    try:
        done = subprocess.run(command, env=env, text=True, timeout=400, **pipes)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"the installation failed: {error}") from error
    if done.returncode:
        raise NotInstalled(f"{' '.join(command[:2])} exited {done.returncode}:\n{done.stdout[-800:]}")
