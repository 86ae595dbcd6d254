"""One run at a time in a working directory, by a lock of the kernel's: it ends with its process, however that ends.

Snakemake's own lock is a file that a kill -9 leaves behind, and every later run is then refused until someone unlocks.
"""

import errno
import fcntl
import os
from pathlib import Path

from unbraid.errors import UnbraidError

UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)  # some network file systems: go on without a lock


def hold(path: Path) -> None:
    """Take the lock `path` until this process ends. Raises: UnbraidError while another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The descriptor is never closed: that would give the lock back.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UnbraidError(
            f"Another run is at work in {Path.cwd()}.", remedy="Wait for it to end, or use another working directory."
        ) from None
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
