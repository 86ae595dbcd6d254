"""One session for several songs at a time: their chunks wait in one line for its networks, and fill its batches together."""

import copy
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Any, cast

from unbraid.backends.session import Audio, Pass, Session, Shown, Statistics
from unbraid.grid import Chunk
from unbraid.threads import ahead

log = logging.getLogger("unbraid")

GLANCE = 0.5  # seconds between looks at whether a song that waits is still wanted
TICK = 0.02  # seconds without a chunk after which the session is told that nothing comes for now
PAUSE = 1.0  # seconds without a chunk after which the session gives back what it holds beyond its networks


class NetworkFailed(Exception):
    """The session has ended, by what is this error's cause, in whichever song: it may not be the fault of this one."""


@dataclass(eq=False)
class Waiting:
    """A chunk in the line, of a song with these statistics."""

    one: Pass
    statistics: Statistics
    audio: Audio
    output: Future[Audio] = field(default_factory=Future)


class Joint:
    """Computes with a session in a thread of its own, for the guests that it is asked for.

    Each chunk gives what it gives alone: the session says so (`Session.joint`).
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._line: deque[Waiting] = deque()
        self._flying: set[Waiting] = set()  # taken from the line, and not yet computed
        self._changed = Condition()
        self._closed, self._fresh, self._guests, self._told = False, True, 0, 0
        self._error: BaseException | None = None
        self._thread = Thread(target=self._compute, name="joint", daemon=True)
        self._thread.start()

    def guest(self, check: Callable[[], None] = lambda: None) -> Session:
        """The session, as a song of its own sees it. check: raises when the song is not wanted any more; called now and
        then while it waits."""
        return cast(Session, Guest(self, check))

    @property
    def works(self) -> bool:
        """Whether nothing has ended it."""
        return self._error is None and not self._closed

    @property
    def fallen(self) -> bool:
        """Whether it goes on with less than it began with (`Session.notices` says why): until its guests are gone."""
        return bool(self._guests) and len(self.session.notices) > self._told

    def enter(self) -> None:
        """A guest begins to submit: the first one since there was none is served by a session as it was made."""
        with self._changed:
            self._fresh = self._fresh or not self._guests
            self._guests += 1

    def leave(self) -> None:
        with self._changed:
            self._guests -= 1

    def submit(self, one: Pass, statistics: Statistics, audio: Audio) -> Future[Audio]:
        """The coming output of a chunk. Raises: NetworkFailed, and so may the output."""
        waiting = Waiting(one, statistics, audio)
        with self._changed:
            if self._error:
                raise NetworkFailed from self._error
            if self._closed:
                raise RuntimeError("the session is closed")
            self._line.append(waiting)
            self._changed.notify_all()
        return waiting.output

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        self.session.close()

    def _compute(self) -> None:
        try:
            while first := self._first():
                if self._fresh:
                    self._fresh = False
                    self.session.begin(first.statistics)
                    self._told = len(self.session.notices)
                shown = cast(Iterable[Shown | None], self._line_of(first.one.network))
                for waiting, output in cast(Iterable[tuple[Waiting, Audio]], self.session.stream(first.one, shown)):
                    with self._changed:
                        self._flying.discard(waiting)
                    waiting.output.set_result(output)
        except BaseException as error:  # in this thread nobody else would hear of it
            with self._changed:
                self._error = error
                told = [waiting for waiting in self._line if waiting.output.set_running_or_notify_cancel()]
                lost = [*self._flying, *told]
                self._line.clear()
            for waiting in lost:
                failed = NetworkFailed()
                failed.__cause__ = error
                waiting.output.set_exception(failed)

    def _first(self) -> Waiting | None:
        """The first of the line, where it stays, once there is one; None in the end."""

        def wanted() -> bool:
            return bool(self._line) or self._closed

        with self._changed:
            if not self._changed.wait_for(wanted, PAUSE):
                self.session.rest()
                self._changed.wait_for(wanted)
            return self._line[0] if self._line else None

    def _line_of(self, network: int) -> Iterator[tuple[Waiting, Audio] | None]:
        """The chunks for one network, until there are none, neither in the line nor in the making."""
        while True:
            with self._changed:
                taken = self._take(network)
                if not taken and self._flying:
                    self._changed.wait(TICK)
                    taken = self._take(network)
                if not (taken or self._flying):
                    return
            yield (taken, taken.audio) if taken else None

    def _take(self, network: int) -> Waiting | None:
        for waiting in list(self._line):
            if waiting.one.network == network or waiting.output.cancelled():
                self._line.remove(waiting)
                if waiting.output.set_running_or_notify_cancel():
                    self._flying.add(waiting)
                    return waiting
        return None


class Guest:
    """A song's own session: what a song decides is kept here, the networks are everyone's."""

    def __init__(self, host: Joint, check: Callable[[], None]) -> None:
        self._host, self._check = host, check
        self._own = copy.copy(host.session)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def stream(self, one: Pass, shown: Iterable[Shown | None]) -> Iterator[tuple[Chunk, Audio]]:
        most = 3 * self._own.batch  # what is computed, what waits for that, and what has been
        statistics = cast(Any, self._own).statistics
        flying: deque[tuple[Chunk, Future[Audio]]] = deque()

        def oldest() -> tuple[Chunk, Audio]:
            chunk, output = flying[0]
            while not output.done():
                wait([output], GLANCE)
                self._check()
            flying.popleft()
            return chunk, output.result()

        self._host.enter()
        try:
            for item in ahead(shown):
                if item:
                    flying.append((item[0], self._host.submit(one, statistics, item[1])))
                # One out for one in: what takes them may be slower than the network, which shall not wait for it.
                if flying and (len(flying) >= most or flying[0][1].done()):
                    yield oldest()
            while flying:
                yield oldest()
        finally:
            for _, output in flying:
                output.cancel()
            self._hear()
            self._host.leave()

    def _hear(self) -> None:
        """What has happened to the session meanwhile is to be known of this song too."""
        own, session = self._own, self._host.session
        own.device, own.arithmetic = session.device, session.arithmetic
        for notice in session.notices[len(own.notices) :]:
            own.notices.append(notice)
            log.warning("%s", notice)

    def rest(self) -> None:
        """The host rests when nobody wants anything."""
