"""An SSH server on the loopback interface, with keys made for this run alone."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemons import daemon, free_port, listens

SERVER = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/me.pub
PidFile {folder}/sshd.pid
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
Subsystem sftp internal-sftp
"""

CLIENT = """\
Host server
  HostName 127.0.0.1
  Port {port}
  User root
  IdentityFile {folder}/me
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  StrictHostKeyChecking yes
"""


@contextmanager
def ssh_server(folder: Path) -> Iterator[None]:
    """Serve SSH as long as the context lasts; from here on Git and DVC reach it as `server`."""
    port, client = free_port(), folder / "home/.ssh/config"
    client.parent.mkdir(parents=True, mode=0o700)
    Path("/run/sshd").mkdir(exist_ok=True)  # sshd's empty folder; Debian's service makes it at boot
    for key in ("host", "me"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True, timeout=60)
    kind, host, *_ = (folder / "host.pub").read_text().split()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {host}\n")
    (folder / "sshd_config").write_text(SERVER.format(port=port, folder=folder))
    client.write_text(CLIENT.format(port=port, folder=folder))
    # ssh, unlike DVC, looks for its configuration where the user database says that home is. GIT_SSH_COMMAND would
    # tell Git, but makes DVC run plain ssh.
    wrapper = folder / "ssh"
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {client} "$@"\n')
    wrapper.chmod(0o755)
    with daemon("sshd", ["/usr/sbin/sshd", "-D", "-e", "-f", f"{folder}/sshd_config"], folder, lambda: listens(port)):
        path = os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])
        os.environ |= {"HOME": str(folder / "home"), "PATH": path}
        yield


class Store:
    """A folder of the server that is a DVC remote, seen without DVC."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"ssh://server{folder}"
        self.options: dict[str, str] = {}

    def uploading(self) -> bool:
        """Return whether some file has arrived in part."""
        return any(path.stat().st_size for path in self.folder.rglob("*.tmp"))

    def sizes(self) -> dict[str, int]:
        """Return the size of every object, by its path in the folder."""
        files = (path for path in self.folder.rglob("*") if path.is_file() and path.suffix != ".tmp")
        return {path.relative_to(self.folder).as_posix(): path.stat().st_size for path in files}

    def cut(self, key: str) -> None:
        """Cut an object in half."""
        os.truncate(self.folder / key, self.sizes()[key] // 2)

    def delete(self, key: str) -> None:
        (self.folder / key).unlink()
