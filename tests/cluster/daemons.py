"""Servers in the foreground, each in a process group of its own, that end with this process however it ends."""

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class NoServer(RuntimeError):
    """A server did not start: here it may not, or its configuration is wrong."""


class Daemon:
    """A server: started on entering, ready when `ready` says so, stopped on leaving.

    Parameters
    ----------
    name : str
        What it is called in messages; its output goes to `<name>.log` in `folder`.
    command : list of str
        Command that stays in the foreground.
    folder : Path
        Working directory and place of the log.
    ready : callable
        Returns whether it answers.
    env : dict, optional
        Environment; that of this process by default.
    seconds : float
        How long it may take to get ready, and then again to stop before it is killed.

    Raises
    ------
    NoServer
        On entering, when it ended or did not get ready in time; the last lines of its log are in the message.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        folder: Path,
        ready: Callable[[], bool],
        env: dict[str, str] | None = None,
        seconds: float = 30,
    ) -> None:
        self.name, self.command, self.folder, self.ready = name, command, folder, ready
        self.env, self.seconds = env, seconds
        self.log = folder / f"{name}.log"

    def __enter__(self) -> "Daemon":
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        try:
            until(lambda: self.process.poll() is not None or self.ready(), self.seconds, f"{self.name} to answer")
        except RuntimeError as error:
            self.stop()
            raise NoServer(str(error)) from error
        except BaseException:
            self.stop()
            raise
        if self.process.poll() is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])
            raise NoServer(f"{self.name} ended with {self.process.returncode}:\n{tail}")
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server and what it started in its group."""
        for sent in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, sent)
            except ProcessLookupError:
                return
            try:
                self.process.wait(self.seconds)
            except subprocess.TimeoutExpired:
                continue


def _end_with_parent() -> None:
    """Request from the kernel a SIGKILL when the parent dies, even by one itself."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def until(condition: Callable[[], bool], seconds: float, what: str, pause: float = 0.1) -> None:
    """Wait until a condition holds.

    Parameters
    ----------
    condition : callable
        Asked every `pause` seconds.
    seconds : float
        How long at most.
    what : str
        What is waited for, for the message.

    Raises
    ------
    RuntimeError
        When it did not hold in time.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"waited {seconds:.0f} s for {what}")
        time.sleep(pause)


def free_port() -> int:
    """Return a port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port: int) -> bool:
    """Return whether something accepts connections on this port of the loopback interface."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
