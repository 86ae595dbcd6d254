"""How job and worker talk: one JSON object a line, over a Unix socket, and only with processes of the same user.

worker → job: `{"worker": pid}` first; then `{"log": [level, text]}`, `{"begin": [seconds, label]}`, `{"add": seconds}`, and
`{"alive": true}` now and then; last `{"done": true}` or `{"error": {what, remedy, stage, song}, "traceback": text}`.
job → worker: the task, once. The job's end of the socket closing, or only its sending half, cancels the task.
"""

import json
import os
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Any

Message = dict[str, Any]


def send(connection: socket.socket, message: Message) -> None:
    """Raises: OSError when the other end is gone."""
    connection.sendall(json.dumps(message).encode() + b"\n")


def messages(connection: socket.socket) -> Iterator[Message]:
    """What the other end sends, until it closes. Raises: OSError when it is gone, or silent past the socket's timeout."""
    rest = b""
    while block := connection.recv(65536):
        *lines, rest = (rest + block).split(b"\n")
        yield from (json.loads(line) for line in lines)


def same_user(connection: socket.socket) -> bool:
    """Whether the process at the other end is of this process's user. The kernel says so, not the process."""
    return peer_uid(connection) == os.getuid()


def peer_uid(connection: socket.socket) -> int:
    if sys.platform == "darwin":
        # struct xucred of LOCAL_PEERCRED: version, uid, …
        _, uid = struct.unpack_from("II", connection.getsockopt(0, 1, 76))
    else:
        _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(uid)
