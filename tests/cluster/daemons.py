"""Servers in the foreground, each in a process group of its own, that end with this process however it ends."""

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


@contextmanager
def daemon(
    name: str,
    command: list[str],
    folder: Path,
    ready: Callable[[], bool],
    env: dict[str, str] | None = None,
    seconds: float = 30,
) -> Iterator[subprocess.Popen]:
    """Run a server from the moment that it is `ready` to the end of the context; it writes to `<name>.log` in a folder.

    Raise RuntimeError when it ended, with the last lines of its log, or was not ready within `seconds`.
    """
    path = folder / f"{name}.log"
    with path.open("wb") as log:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": subprocess.STDOUT}
        group = {"start_new_session": True, "preexec_fn": _end_with_parent}
        process = subprocess.Popen(command, cwd=folder, env=env, **pipes, **group)
    try:
        until(lambda: process.poll() is not None or ready(), seconds, f"{name} to answer")
        if process.poll() is not None:
            tail = "\n".join(path.read_text(errors="replace").splitlines()[-8:])
            raise RuntimeError(f"{name} ended with {process.returncode}:\n{tail}")
        yield process
    finally:
        for sent in (signal.SIGTERM, signal.SIGKILL):  # to all that it started in its group
            try:
                os.killpg(process.pid, sent)
                process.wait(seconds)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue


def _end_with_parent() -> None:
    """Request from the kernel a SIGKILL when the parent dies, even by one itself."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def until(condition: Callable[[], bool], seconds: float, what: str, pause: float = 0.1) -> None:
    """Wait until a condition holds; raise RuntimeError when it does not in time, which names what was waited for."""
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
