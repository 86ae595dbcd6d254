"""What every job does around its one library call: its log, its errors for people, its end on a signal."""

import errno
import logging
import re
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from unbraid.errors import UnbraidError
from unbraid.files import Overtaken

log = logging.getLogger("unbraid")

TOOK = "Done in %.3f s."
STOPS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def job(log_file: str, stage: str, song: str | None = None, level: str = "info") -> Iterator[None]:
    """Run the body as one job of the workflow.

    Messages go to `log_file`, warnings also to the terminal. An error becomes one paragraph on both, the traceback a
    file `<log_file>.traceback.txt` beside it, and the process ends with a non-zero code. SIGTERM ends a job like Ctrl-C.
    """
    path = Path(log_file)
    path.parent.mkdir(parents=True, exist_ok=True)
    trace = trace_file(log_file)
    trace.unlink(missing_ok=True)
    _configure(path, level)
    for number in STOPS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as in a script's background
            signal.signal(number, _interrupt)
    begun = time.monotonic()
    try:
        yield
        log.info(TOOK, time.monotonic() - begun)
    except UnbraidError as error:
        error.stage = error.stage or stage
        error.song = error.song or song
        _end(error, trace)
    except KeyboardInterrupt:
        log.warning("%s: stopped before its end; nothing half-written is left behind.", song or stage)
        sys.exit(130)
    except Exception as error:
        told = explain(error, trace)
        told.stage, told.song = stage, song
        _end(told, trace)


def trace_file(log_file: str) -> Path:
    """Where the traceback of a job goes."""
    return Path(f"{log_file}.traceback.txt")


def took(log_file: Path) -> float | None:
    """Seconds that a job took which ended well, by its log; None where that does not say."""
    try:
        text = log_file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(r"Done in ([\d.]+) s\.\s*\Z", text)
    return float(found[1]) if found else None


def say(text: str) -> None:
    """Tell the user: to the log and to the terminal, whatever the log level."""
    print(text, file=sys.stderr, flush=True)
    log.info("%s", text)


def _configure(path: Path, level: str) -> None:
    log.setLevel(level.upper())
    log.propagate = False
    to_file = logging.FileHandler(path, mode="w", encoding="utf-8")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    to_terminal = logging.StreamHandler(sys.stderr)
    to_terminal.setLevel(logging.WARNING)
    to_terminal.setFormatter(logging.Formatter("%(message)s"))
    for old in list(log.handlers):
        log.removeHandler(old)
        old.close()
    log.addHandler(to_file)
    log.addHandler(to_terminal)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # Once: Ctrl-C reaches a job from the terminal and then from Snakemake, in the middle of its tidying up.
    for each in STOPS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def explain(error: Exception, trace: Path) -> UnbraidError:
    """What an error that nobody foresaw means to people. trace: the file that its traceback goes to."""
    if isinstance(error, MemoryError):
        what, remedy = "The memory of this machine ran out.", "Close other programs, or run fewer jobs (--cores)."
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        what = f"The disk is full: {error.filename or error}."
        remedy = "Free some space (or set store= and temp_dir= to another disk) and run again; finished work is kept."
    elif isinstance(error, OSError) and error.errno == errno.EFBIG:
        what = f"The file would be longer than this disk or account allows: {error.filename or error}."
        remedy = "Set store= and temp_dir= to another disk, or raise the limit (ulimit -f), and run again."
    elif isinstance(error, OSError) and error.errno == errno.EIO:
        what = f"A file cannot be read to its end: {error.filename or error}."
        remedy = "Delete it (in store/stems, the folder that it is in), check the disk, and run again."
    elif isinstance(error, Overtaken):
        what = f"Another job, which an earlier run has left, made {error.filename} meanwhile."
        remedy = "Run again: this one's is made in its place."
    elif isinstance(error, PermissionError):
        what, remedy = f"No permission: {error.filename or error}.", "Change its permissions or its place."
    elif type(error).__name__ == "LibsndfileError":
        what = f"An audio file between two stages is damaged or cannot be written: {error}"
        remedy = "Delete the file (in store/stems, the folder that it is in) and run again."
    else:
        what = f"An unexpected {type(error).__name__}: {str(error).strip() or 'without a message'}."
        remedy = f"This is a defect of unbraid; please report it with {trace}."
    return UnbraidError(what, remedy=remedy)


def _end(error: UnbraidError, trace: Path) -> None:
    trace.write_text(traceback.format_exc(), encoding="utf-8")
    log.error("%s", error)
    sys.exit(1)
