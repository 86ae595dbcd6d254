"""The session that a worker keeps, and who may use it when: tasks that can share it at once, others in their turn."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition

from unbraid.backends.joint import Joint
from unbraid.backends.session import Session
from unbraid.worker import task

GLANCE = 0.5  # seconds between looks at whether a task that waits is still wanted


class Sessions:
    """One session at a time, of the first task in the line. A task of another kind waits until nobody uses it."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._line: deque[object] = deque()
        self._users = 0
        self._key = ""
        self._session: Session | None = None
        self._joint: Joint | None = None

    @contextmanager
    def of(self, wanted: task.Task, check: Callable[[], None], *, alone: bool = False) -> Iterator[Session]:
        """A session for the task, as long as the block.

        check: raises when the task is not wanted any more; called now and then while it waits. alone: a new session, that no
        other task ever has.
        """
        session = self._enter(wanted, check, alone)
        try:
            yield session
        finally:
            try:
                session.rest()
            finally:
                with self._changed:
                    self._users -= 1
                    self._changed.notify_all()

    def spoil(self) -> None:
        """Nobody knows what state the session is in: the next task gets a new one, and the device its memory back."""
        with self._changed:
            self._key = ""
            if not (self._users or self._line):
                self.close()

    def close(self) -> None:
        """Nobody uses it."""
        session, self._session, self._key = self._joint or self._session, None, ""
        self._joint = None
        if session is not None:
            session.close()

    def _enter(self, wanted: task.Task, check: Callable[[], None], alone: bool) -> Session:
        """When all earlier tasks have their session and none of them minds; by one task at a time."""
        key, me = task.session_key(wanted), object()

        def shared() -> bool:
            joint = self._joint
            return not alone and joint is not None and joint.works and not joint.fallen and key == self._key

        def free() -> bool:
            return self._line[0] is me and (shared() or not self._users)

        with self._changed:
            self._line.append(me)
        try:
            with self._changed:
                while not self._changed.wait_for(free, GLANCE):
                    check()
                joint = self._joint if shared() else None
                if joint:
                    self._users += 1
                    return joint.guest(check)
            # Nobody uses it, and nobody can before this task leaves the line.
            session = self._loaded(key, wanted, alone)
            with self._changed:
                self._users += 1
            return self._joint.guest(check) if self._joint else session
        finally:
            with self._changed:
                self._line.remove(me)
                self._changed.notify_all()

    def _loaded(self, key: str, wanted: task.Task, alone: bool) -> Session:
        broken = self._joint is not None and not self._joint.works
        if self._session is None or key != self._key or broken or alone:
            self.close()
            self._session = task.load_session(wanted)
            self._joint = Joint(self._session) if self._session.joint and not alone else None
            self._key = "" if alone else key
        return self._session
