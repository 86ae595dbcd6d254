"""The worker: one process that does the tasks of one run, a thread for each, and keeps the session between them."""

import faulthandler
import logging
import os
import select
import shutil
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from unbraid.errors import UnbraidError
from unbraid.worker import protocol
from unbraid.worker.owner import Owner

log = logging.getLogger("unbraid")

IDLE = 300.0  # seconds without a task after which a worker ends; UNBRAID_WORKER_IDLE changes it
BEAT = 0.5  # seconds between looks at the owner, and signs of life to the job
PATIENCE = 10.0  # seconds that a job may take to send its task


class Cancelled(Exception):
    """The job no longer waits for its task."""


class Voice:
    """Speaks to the job of one task, from several threads."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def say(self, **message: Any) -> None:
        """Raises: OSError when the job is gone."""
        with self._lock:
            protocol.send(self._connection, message)

    def beat(self) -> None:
        """A sign of life; never waits, and does not mind that nobody listens."""
        if self._lock.acquire(blocking=False):
            try:
                with suppress(OSError):
                    self._connection.send(b'{"alive": true}\n', socket.MSG_DONTWAIT)
            finally:
                self._lock.release()

    def check(self) -> None:
        """Raises: Cancelled when the job has closed its end; it says nothing else after its task."""
        if select.select([self._connection], [], [], 0)[0]:
            raise Cancelled


class Relay:
    """Progress that the job shows; each step of it is also where a task can be cancelled."""

    def __init__(self, voice: Voice, seconds: float, label: str) -> None:
        self._voice = voice
        voice.say(begin=[seconds, label])

    def add(self, seconds: float) -> None:
        self._voice.check()
        self._voice.say(add=seconds)

    def close(self) -> None:
        pass


class Forward(logging.Handler):
    """Sends what this thread logs to the job, whose log it belongs in."""

    def __init__(self, voice: Voice) -> None:
        super().__init__()
        self._voice, self._thread = voice, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            with suppress(OSError):  # the next step of the progress will notice
                self._voice.say(log=[record.levelno, record.getMessage()])


class Server:
    """Serves a listening socket until it has been idle for `idle` seconds, or its name was given to another worker."""

    def __init__(self, listener: socket.socket, idle: float = IDLE) -> None:
        self._listener, self._idle = listener, idle
        self._path = Path(listener.getsockname())
        self._inode = self._path.stat().st_ino
        self._sessions: Any = None
        self._lock = threading.Lock()
        self._voices: set[Voice] = set()

    def serve(self) -> None:
        self._listener.settimeout(BEAT)
        limit = time.monotonic() + self._idle
        busy: list[threading.Thread] = []
        while busy or (time.monotonic() < limit and self._is_mine()):
            with suppress(TimeoutError):
                connection, _ = self._listener.accept()
                busy.append(threading.Thread(target=self._attend, args=(connection,)))
                busy[-1].start()
            if busy:
                busy = [thread for thread in busy if thread.is_alive()]
                limit = time.monotonic() + self._idle
        if self._is_mine():
            self._path.unlink(missing_ok=True)
        if self._sessions is not None:
            self._sessions.close()

    def _attend(self, connection: socket.socket) -> None:
        with connection:
            self.answer(connection)

    def answer(self, connection: socket.socket) -> None:
        """Do the task of one connection, if it is of the same user, and say how it ended. Raises nothing of the task's."""
        if not protocol.same_user(connection):
            return
        connection.settimeout(PATIENCE)
        voice = Voice(connection)
        try:
            voice.say(worker=os.getpid())
            task = next(protocol.messages(connection), None)
        except (OSError, ValueError):  # gone already, silent, or no JSON
            return
        if task is not None:
            connection.settimeout(None)
            with suppress(OSError):
                self._do(task, voice)

    def beat(self) -> None:
        """A sign of life to the jobs of the tasks at hand."""
        for voice in list(self._voices):
            voice.beat()

    def _do(self, task: dict[str, Any], voice: Voice) -> None:
        handler = Forward(voice)
        log.addHandler(handler)
        self._voices.add(voice)
        try:
            self._run(task, voice)
        except (Cancelled, ConnectionError):
            return  # what was half-written is removed; the session serves the next
        except UnbraidError as error:
            self._fail(voice, error)
        except Exception as error:
            from unbraid.job import explain

            if cuda_is_lost(task["device"]):
                give_up()
            self._fail(voice, explain(error, Path(task["trace"])))
        else:
            voice.say(done=True)
        finally:
            self._voices.discard(voice)
            log.removeHandler(handler)

    def _run(self, task: dict[str, Any], voice: Voice) -> None:
        with self._lock:  # torch comes with it: when the job already knows that somebody is there
            from unbraid.backends.joint import NetworkFailed
            from unbraid.worker import task as here
            from unbraid.worker.sessions import Sessions

            self._sessions = self._sessions or Sessions()
        for alone in (False, True):
            try:
                with self._sessions.of(task, voice.check, alone=alone) as session:
                    return here.run(task, session, partial(Relay, voice))
            except NetworkFailed as failed:
                if alone or cuda_is_lost(task["device"]):
                    raise
                log.warning("The network failed (%s); trying this song once more, by itself.", failed.__cause__)

    def _fail(self, voice: Voice, error: UnbraidError) -> None:
        told = {"what": error.what, "remedy": error.remedy, "stage": error.stage, "song": error.song}
        trace = traceback.format_exc()
        if self._sessions is not None:
            self._sessions.spoil()
        voice.say(error=told, traceback=trace)

    def _is_mine(self) -> bool:
        try:
            return self._path.stat().st_ino == self._inode
        except OSError:
            return False


def cuda_is_lost(device: str) -> bool:
    """Whether CUDA fails at whatever this process asks of it from now on, as after an illegal access in a kernel.

    device: as it was configured.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return False
    try:
        torch.cuda.synchronize(device if device.startswith("cuda") else None)
    except RuntimeError:
        return True
    return False


def give_up() -> None:
    """End at once, without an answer: the jobs of all tasks at hand try once more with a fresh worker."""
    traceback.print_exc()  # into its log, whose end a job quotes that dies twice
    sys.stderr.flush()
    os._exit(1)


def watch(alive: Callable[[], bool], beat: Callable[[], None], end: Callable[[], None]) -> None:
    """Until the owner is gone: signs of life. Then the end, at once, in the middle of a task too: nobody waits for it."""
    while alive():
        beat()
        time.sleep(BEAT)
    end()


def main(descriptor: int, owner: Owner) -> None:
    """Serve the inherited socket as long as `owner` lives."""
    faulthandler.enable()
    log.setLevel(logging.DEBUG)  # the job knows which levels its user wants
    log.propagate = False
    with socket.socket(fileno=descriptor) as listener:
        folder = Path(listener.getsockname()).parent
        server = Server(listener, float(os.environ.get("UNBRAID_WORKER_IDLE", IDLE)))

        def end() -> None:
            # No half-written file is removed here: by now it may be the next run's, which goes by the same name.
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(1)

        threading.Thread(target=watch, args=(owner.alive, server.beat, end), daemon=True).start()
        server.serve()


if __name__ == "__main__":
    given = Owner.parse(sys.argv[2])
    if given is None:
        sys.exit(f"{sys.argv[2]!r} names no process")
    main(int(sys.argv[1]), given)
