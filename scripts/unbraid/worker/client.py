"""The job's side: hand the task to a worker, show what it tells, and raise what it raises. Imports no numerics."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from unbraid import keys
from unbraid.errors import UnbraidError
from unbraid.progress import Progress

log = logging.getLogger("unbraid")

SILENCE = 60.0  # seconds without a word after which a worker counts as dead; a live one speaks every second
LOGS = Path("logs/worker")
FAREWELL = 5.0  # seconds that a cancelled job waits for the worker to tidy up
Task = dict[str, Any]


class Died(Exception):
    """The worker is gone, or as good as gone."""


def separate(task: Task, *, warm: bool, logs: Path = LOGS) -> None:
    """Do a task: in a worker of this run where `warm` asks for it and this machine has what that takes, else here.

    Either way the files are the same to the byte, and so are the errors. logs: the folder of what workers say.
    Raises: UnbraidError when a worker dies twice.
    """
    with ExitStack() as held:
        if hasattr(socket, "AF_UNIX") and os.name == "posix":
            from unbraid.worker import owner, places

            run, gpus = owner.current(), places.gpus(task["device"])
            slot = None
            if run and (warm or len(gpus) > 1):
                try:
                    # Without a worker nobody would take the run's folder away in the end.
                    place = places.folder(run if warm else None)
                    slot = held.enter_context(places.slot(place, _name(task, str(run)), gpus, joint=task["joint"]))
                except OSError as error:
                    log.warning("No worker can be used (%s); separating in the job itself.", error)
            if run and slot and warm:
                _with_retry(Worker(slot, run, task["model"]["name"], logs), task)
                return
            if slot and slot.device is not None:
                os.environ["CUDA_VISIBLE_DEVICES"] = slot.device  # before torch is imported
        from unbraid.worker import task as here

        here.run(task)


def _name(task: Task, run: str) -> str:
    """What one worker serves: the jobs of one run, code, model, device, engine, precision and number of threads."""
    from unbraid.worker.places import digest

    settings = [task["settings"].get(name) for name in ("engine", "precision")]
    code = [sys.executable, str(Path(__file__).parent), keys.STAGE_VERSIONS]
    return digest(run, os.getcwd(), code, task["model"], task["folder"], task["device"], task["threads"], settings)


def _with_retry(worker: "Worker", task: Task) -> None:
    try:
        worker.ask(task)
    except Died as death:
        if not worker.run.alive():
            raise UnbraidError("The run that this job belongs to has ended.", remedy="Run again.") from death
        log.warning("The worker for %s %s; trying once more with a fresh one.", worker.model, death)
        try:
            worker.ask(task, afresh=True)
        except Died as again:
            raise UnbraidError(
                f"The worker for {worker.model} died twice on this song: the second time it {again}.",
                remedy="If the memory ran out, run fewer jobs (--cores) or close other programs; worker=off separates in"
                f" the job itself. Its log is {worker.log}{worker.last_words()}.",
            ) from again


class Worker:
    """The worker of a slot, for one job."""

    def __init__(self, slot: Any, run: Any, model: str, logs: Path = LOGS) -> None:
        self.run, self.model = run, model
        # On a cluster each allocation has workers of its own, and all have one folder of logs.
        allocation = os.environ.get("SLURM_JOB_ID")
        self.log = logs / ".".join(filter(None, [model, allocation, str(slot.number), "log"]))
        self._slot = slot
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._met: tuple[int, int] | None = None  # its socket, as it was when this job last used it

    def ask(self, task: Task, *, afresh: bool = False) -> None:
        """Have the task done. Raises: Died; and what the task raises."""
        connection, said = self._reach(afresh=afresh)
        with connection:
            try:
                self._follow(connection, said, task)
            except TimeoutError as error:
                # It may come to itself when somebody else is at the same files.
                with suppress(OSError):
                    os.kill(self._pid, signal.SIGKILL)
                raise Died(f"did not answer ({error})") from error
            except OSError as error:
                raise Died(self._end(f"did not answer ({error})")) from error
            except KeyboardInterrupt:
                _cancel(connection)
                raise

    def last_words(self) -> str:
        """How its log ends, as a clause."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError:
            return ""
        end = " / ".join(line.strip() for line in [line for line in lines if line.strip()][-3:])
        return f", which ends: {end}" if end else ""

    def _reach(self, *, afresh: bool) -> tuple[socket.socket, Iterator[dict[str, Any]]]:
        """A worker that answers: the one that is there, or a new one. afresh: not the one that this job used before."""
        import fcntl

        with open(self._slot.socket.with_suffix(".start"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of jobs that share a worker, one starts it
            if not (afresh and self._met == self._there()):
                with suppress(OSError, Died):  # none yet; or what a dead one left; or one that was just leaving
                    return self._connect()
            return self._start(append=afresh)

    def _there(self) -> tuple[int, int] | None:
        try:
            found = self._slot.socket.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _start(self, *, append: bool = False) -> tuple[socket.socket, Iterator[dict[str, Any]]]:
        """A new worker. It inherits a socket that listens already, so that nobody has to wait for it, or to guess whether
        it lives: what the kernel has queued for it is refused when it dies."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._slot.socket.unlink(missing_ok=True)
        scripts = str(Path(__file__).parents[2])
        environment = dict(os.environ)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [scripts, environment.get("PYTHONPATH")]))
        if self._slot.device is not None:
            environment["CUDA_VISIBLE_DEVICES"] = self._slot.device
        with socket.socket(socket.AF_UNIX) as listener, open(self.log, "ab" if append else "wb") as terminal:
            listener.bind(str(self._slot.socket))
            listener.listen()
            # In a session of its own, Ctrl-C reaches it through its owner only; and it must not keep the job's pipes open.
            self._process = subprocess.Popen(
                # -P: nothing that lies in the working directory is taken for a module.
                [sys.executable, "-P", "-m", "unbraid.worker.server", str(listener.fileno()), str(self.run)],
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=terminal,
                stderr=terminal,
                start_new_session=True,
                env=environment,
            )
        try:
            return self._connect()
        except OSError as error:
            raise Died(self._end(f"could not be reached ({error})")) from error

    def _connect(self) -> tuple[socket.socket, Iterator[dict[str, Any]]]:
        """A connection to a worker that has greeted."""
        from unbraid.worker import protocol

        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(SILENCE)
        try:
            connection.connect(str(self._slot.socket))
            self._met = self._there()
            if not protocol.same_user(connection):
                raise PermissionError(f"{self._slot.socket} is another user's")
            said = protocol.messages(connection)
            greeting = next(said, None)
            if greeting is None:
                raise Died(self._end("ended before it was ready"))
        except BaseException:
            connection.close()
            raise
        self._pid = greeting["worker"]
        log.info("Worker %d (%s) takes the task.", self._pid, self.model)
        return connection, said

    def _follow(self, connection: socket.socket, said: Iterator[dict[str, Any]], task: Task) -> None:
        """Send the task; show and log what the worker says until it has done it. Raises: its error, OSError, Died."""
        from unbraid.worker import protocol

        protocol.send(connection, task)
        with ExitStack() as ends:
            for message in said:
                if "log" in message:
                    log.log(*message["log"][:1], "%s", message["log"][1])
                elif "begin" in message:
                    progress = Progress(*message["begin"])
                    ends.callback(progress.close)
                elif "add" in message:
                    progress.add(message["add"])
                elif "error" in message:
                    error = UnbraidError(message["error"].pop("what"), **message["error"])
                    error.add_note(f"In the worker:\n{message['traceback']}")
                    raise error
                elif "done" in message:
                    return
        raise Died(self._end("ended before it had answered"))

    def _end(self, what: str) -> str:
        """What happened, with how its process ended where that can be known."""
        if self._process is None:
            return what
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(timeout=1)
            if code < 0:
                return f"was killed ({signal.Signals(-code).name})"
        return what


def _cancel(connection: socket.socket) -> None:
    """Tell the worker to stop, and give it a while to leave nothing half-written."""
    from unbraid.worker import protocol

    limit = time.monotonic() + FAREWELL
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(FAREWELL)
        for _ in protocol.messages(connection):
            if time.monotonic() > limit:
                return
