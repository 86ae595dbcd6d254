"""A folder as several machines have it over a network: mounted by sshfs, each time with a memory of its own.

Over a pipe to OpenSSH's sftp server, without a network. It remembers names and sizes for twenty seconds, which is more than
NFS promises to forget them in, and says of most errors only that something failed.
"""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flow import until

SERVER = Path("/usr/lib/openssh/sftp-server")


def missing() -> str:
    """What is not here of what this takes; empty when all is."""
    needed = {"sshfs": shutil.which("sshfs"), "fusermount3": shutil.which("fusermount3"), str(SERVER): SERVER.exists()}
    needed["/dev/fuse"] = Path("/dev/fuse").exists()
    return ", ".join(name for name, found in needed.items() if not found)


@contextmanager
def mounted(folder: Path, mount: Path) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    mount.mkdir(parents=True)
    one, other = socket.socketpair()
    with ExitStack() as ends:
        with one, other:
            server = subprocess.Popen([SERVER], stdin=one, stdout=one)
            ends.callback(server.wait)
            client = subprocess.Popen(["sshfs", "-f", "-o", "passive", f":{folder}", mount], stdin=other, stdout=other)
            ends.callback(client.wait)
        until(lambda: mount.is_mount() or client.poll() is not None, 20)
        ends.callback(subprocess.run, ["fusermount3", "-u", "-z", mount], check=True)
        yield mount
