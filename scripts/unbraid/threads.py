"""Work beside the main thread, which computes: reading ahead of it and writing behind it, in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from queue import Full, Queue
from threading import Thread
from types import TracebackType
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")

DEPTH = 2  # items that wait between two threads
GLANCE = 0.1  # seconds between looks at whether the one who should take an item still lives


def ahead(items: Iterable[Item], depth: int = DEPTH) -> Iterator[Item]:
    """The items, each made in a thread of its own before it is asked for. Raises what making one raises, in its place."""
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(1) as pool:
        coming = deque(pool.submit(next, iterator, end) for _ in range(depth))
        while (item := coming.popleft().result()) is not end:
            coming.append(pool.submit(next, iterator, end))
            yield item  # type: ignore[misc]  # not the end


class Behind(AbstractContextManager["Behind[Item]"], Generic[Item]):
    """Hands items to `consume`, which iterates over them in a thread of its own; leaving the block waits for it.

    Raises what `consume` raises, when the next item is put or at the end. Of a block that raises, `consume` sees the items
    so far, and how it ends does not matter.
    """

    def __init__(self, consume: Callable[[Iterator[Item]], None], depth: int = DEPTH) -> None:
        self._queue: Queue[Any] = Queue(depth)
        self._end: Any = object()
        self._done: Future[None] = Future()
        # No thread that the interpreter waits for: Ctrl-C may come before the block that would end it is entered.
        Thread(target=self._consume, args=(consume,), daemon=True).start()

    def _consume(self, consume: Callable[[Iterator[Item]], None]) -> None:
        try:
            consume(iter(self._queue.get, self._end))
        except BaseException as error:
            self._done.set_exception(error)
        else:
            self._done.set_result(None)

    def put(self, item: Item) -> None:
        while not self._done.done():
            try:
                return self._queue.put(item, timeout=GLANCE)
            except Full:
                continue
        self._done.result()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.put(self._end)
                self._done.result()
        finally:
            while not self._done.done():
                try:
                    self._queue.put(self._end, timeout=GLANCE)
                except Full:
                    continue
