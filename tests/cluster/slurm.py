"""A Slurm controller and one node of two processors on the loopback interface, with a munge daemon of their own."""

import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from daemons import daemon, free_port, until

# No control groups: containers rarely may make any. Credentials live 5 s, not 120: Slurm holds a requeued task back
# for as long as those of its first run could still be used.
CONFIGURATION = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,batch_sched_delay=0
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=main Nodes=node1 Default=YES MaxTime=15:00 State=UP
"""


# With mounts and processes apart, a node does not see others' files, and its tasks end when it does.
APART = ["unshare", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child"]


class Slurm:
    """A running controller and node; `hidden` says whether the node sees empty folders where the desk has its own."""

    def __init__(self, folder: Path, env: dict[str, str], hidden: bool) -> None:
        self.folder, self.hidden = folder, hidden
        self.env = {**env, "SLURM_CONF": str(folder / "slurm.conf")}

    def run(self, *command: str) -> str:
        """Run a command of Slurm and return what it printed."""
        done = subprocess.run(command, env=self.env, cwd="/", capture_output=True, text=True, timeout=30)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} exited {done.returncode}: {done.stderr.strip()}")
        return done.stdout.strip()

    def states(self) -> dict[str, str]:
        """Return the state of every task, waiting ones too: {"1_0": "RUNNING", ...}."""
        listed = self.run("squeue", "--noheader", "--array", "--states=all", "--format=%i %T")
        return dict(line.split() for line in listed.splitlines())


@contextmanager
def slurm(folder: Path, env: dict[str, str], hide: list[Path]) -> Iterator[Slurm]:
    """Run a Slurm cluster of one node, idle at first, as long as the context lasts.

    Tasks get `env`, that of who submits them. The node does not see the folders of `hide`, like another machine's.
    """
    for name in ("state", "spool"):
        (folder / name).mkdir(mode=0o755)
    key, munge_socket = folder / "munge.key", folder / "munge.socket"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    ports = {"controller_port": free_port(), "node_port": free_port()}
    text = CONFIGURATION.format(host=socket.gethostname().split(".")[0], folder=folder, **ports)
    (folder / "slurm.conf").write_text(text)
    # Containers may not let root have mounts and processes apart.
    hidden = not subprocess.run([*APART, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode
    cluster = Slurm(folder, env, hidden)
    munged = ["/usr/sbin/munged", "--foreground", f"--key-file={key}", f"--socket={munge_socket}"]
    munged += [f"--pid-file={folder}/munged.pid", f"--seed-file={folder}/munge.seed"]
    node = ["/usr/sbin/slurmd", "-D", "-N", "node1"]
    if hidden:
        mounts = "".join(f"mount -t tmpfs none {path} && " for path in hide)
        node = [*APART, "sh", "-c", f"{mounts}exec {' '.join(node)}"]

    def answers() -> bool:
        with suppress(RuntimeError, subprocess.TimeoutExpired):
            return "UP" in cluster.run("scontrol", "ping")
        return False

    def idle() -> bool:
        return cluster.run("sinfo", "--noheader", "--format=%T") == "idle"

    with (
        daemon("munged", munged, folder, munge_socket.exists),
        daemon("slurmctld", ["/usr/sbin/slurmctld", "-D"], folder, answers, cluster.env),
        daemon("slurmd", node, folder, idle, cluster.env),
    ):
        try:
            yield cluster
        finally:  # slurmd leaves tasks alone when it ends, so that they survive its restart: they go first
            with suppress(RuntimeError, subprocess.TimeoutExpired):
                cluster.run("scancel", "--user", str(os.getuid()))
                left = "squeue", "--noheader", "--states=RUNNING,COMPLETING,PENDING"
                until(lambda: not cluster.run(*left), 20, "the last tasks to end")
