"""Fixtures: an SSH server, an S3 server and Slurm on the loopback interface, with ports, keys and folders of their own.

Servers end with the session, and by the kernel's signal when its process is killed.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

BOUND = ("setpriv", "--pdeathsig", "KILL")  # what is run by it dies with this process
SSH_SERVER = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/me.pub
PidFile {folder}/sshd.pid
PasswordAuthentication no
StrictModes no
Subsystem sftp internal-sftp
"""
SSH_CLIENT = """\
Host server
  HostName 127.0.0.1
  Port {port}
  User root
  IdentityFile {folder}/me
  UserKnownHostsFile {folder}/known_hosts
"""
# No munge, which proves who asks: here it is all root. No control groups: containers rarely may make any. Credentials
# live 5 s, not 120: Slurm holds a requeued task back for as long as those of its first run could still be used.
SLURM = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
AuthType=auth/none
AuthInfo=cred_expire=5
CredType=cred/none
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,batch_sched_delay=0
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 CPUs=2
PartitionName=main Nodes=node1 Default=YES MaxTime=15:00 State=UP
"""
#: With mounts and processes apart, a node does not see others' files, and its tasks end when it does.
APART = ("unshare", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child")


def until(condition: Callable[[], Any], seconds: float, what: str, pause: float = 0.1) -> Any:
    """Wait until a condition holds, and return what it gives; fail when it does not hold in time."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(pause)
    return found


def said(*command: str) -> str:
    """Return what a command printed, though it failed or had to be stopped."""
    return subprocess.run(("timeout", "30", *command), capture_output=True, text=True).stdout


@contextmanager
def daemon(log: Path, ready: Callable[[], object], *command: str) -> Iterator[None]:
    """Run a server in a process group of its own, from the moment that it is ready to the end of the context."""
    with log.open("wb") as written:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": written, "stderr": subprocess.STDOUT}
        process = subprocess.Popen([*BOUND, *command], start_new_session=True, **pipes)
    try:
        until(lambda: process.poll() is not None or ready(), 30, f"{log.stem} to answer")
        assert process.poll() is None, log.read_text()
        yield
    finally:
        for sent in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, sent)
                process.wait(30)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """Make a folder whose folders stand for machines: `server`, `node` and `desk`."""
    with tempfile.TemporaryDirectory(prefix="cluster-", dir="/tmp") as folder:
        for name in ("ssh", "slurm", "server", "node", "desk"):
            (Path(folder) / name).mkdir()
        yield Path(folder)


@pytest.fixture(scope="session")
def ssh(folder: Path) -> Iterator[None]:
    """Serve SSH; from here on Git and DVC reach it as `server`."""
    keys, port = folder / "ssh", free_port()
    client = keys / "home/.ssh/config"
    client.parent.mkdir(parents=True, mode=0o700)
    client.write_text(SSH_CLIENT.format(port=port, folder=keys))
    (keys / "sshd_config").write_text(SSH_SERVER.format(port=port, folder=keys))
    Path("/run/sshd").mkdir(exist_ok=True)  # sshd's empty folder; Debian's service makes it at boot
    for key in ("host", "me"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / key], check=True)
    (keys / "known_hosts").write_text(f"[127.0.0.1]:{port} {(keys / 'host.pub').read_text()}")
    # ssh, unlike DVC, looks for its configuration where the user database says that home is. GIT_SSH_COMMAND would
    # tell Git, but makes DVC run plain ssh.
    wrapper = keys / "ssh"
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {client} "$@"\n')
    wrapper.chmod(0o755)
    path = os.pathsep.join([str(keys), str(Path(sys.executable).parent), os.environ["PATH"]])
    os.environ |= {"HOME": str(keys / "home"), "PATH": path}
    serve = ("/usr/sbin/sshd", "-D", "-e", "-f", str(keys / "sshd_config"))
    with daemon(keys / "sshd.log", lambda: said("ssh", "server", "echo here"), *serve):
        yield


@pytest.fixture(scope="session")
def s3() -> Iterator[S3FileSystem]:
    """Serve S3 from memory; from here on commands have its credentials."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ |= {"AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield S3FileSystem(endpoint_url="http://{}:{}".format(*server.get_host_and_port()), use_listings_cache=False)
    server.stop()


def tasks() -> dict[str, str]:
    """Return the state of every task of Slurm, waiting ones too: {"1_0": "RUNNING", ...}."""
    listed = said("squeue", "--noheader", "--array", "--states=all", "--format=%i %T")
    return dict(line.split() for line in listed.splitlines())


def over(*names: str) -> bool:
    """Return whether none of these tasks waits or runs."""
    states = tasks()
    return not {states.get(name) for name in names} & {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING"}


@pytest.fixture(scope="session")
def slurm(folder: Path) -> Iterator[bool]:
    """Run a controller and a node of two processors, which does not see the folders of the desk and the server.

    Yield whether that could be: containers may not let root have mounts and processes apart.
    """
    own = folder / "slurm"
    for name in ("state", "spool"):
        (own / name).mkdir()
    names = {"host": socket.gethostname().split(".")[0], "controller": free_port(), "node": free_port()}
    (own / "slurm.conf").write_text(SLURM.format(folder=own, **names))
    os.environ["SLURM_CONF"] = str(own / "slurm.conf")
    node = ("/usr/sbin/slurmd", "-D", "-N", "node1")
    hidden = not subprocess.run([*APART, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode
    if hidden:
        mounts = "".join(f"mount -t tmpfs none {folder / name} && " for name in ("desk", "server"))
        node = (*APART, "sh", "-c", f"{mounts}exec {' '.join(node)}")
    with (
        daemon(own / "slurmctld.log", lambda: "UP" in said("scontrol", "ping"), "/usr/sbin/slurmctld", "-D"),
        daemon(own / "slurmd.log", lambda: said("sinfo", "--noheader", "--format=%T") == "idle\n", *node),
    ):
        yield hidden
        # slurmd leaves tasks alone when it ends, so that they survive its restart: they go first.
        said("scancel", "--user", str(os.getuid()))
        until(lambda: over(*tasks()), 20, "the last tasks to end")
