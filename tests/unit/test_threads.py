"""Reading ahead and writing behind: in order, bounded, and an error on either side reaches the other."""

import subprocess
import sys
import threading
import time

import pytest

from unbraid.threads import Behind, ahead


def until(true, seconds=5.0):
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_items_come_in_order_and_from_another_thread():
    makers = []

    def items():
        for number in range(20):
            makers.append(threading.current_thread())
            yield number

    assert list(ahead(items(), 3)) == list(range(20))
    assert set(makers).isdisjoint({threading.current_thread()})


def test_no_more_are_made_than_may_wait():
    made = []
    waiting = ahead((made.append(number) or number for number in range(20)), 2)
    next(waiting)
    until(lambda: len(made) == 3)
    time.sleep(0.1)
    assert made == [0, 1, 2]  # one taken, two waiting
    waiting.close()


def test_what_making_an_item_raises_comes_in_its_place():
    def items():
        yield 1
        raise ValueError("no more")

    waiting = ahead(items())
    assert next(waiting) == 1
    with pytest.raises(ValueError, match="no more"):
        next(waiting)


def test_none_at_all_is_no_error():
    assert list(ahead([])) == []


def test_what_is_put_is_consumed_in_order_before_the_block_is_left():
    taken = []

    def consume(items):
        for item in items:
            time.sleep(0.01)
            taken.append((item, threading.current_thread()))

    with Behind(consume) as behind:
        for number in range(10):
            behind.put(number)
    assert [item for item, _ in taken] == list(range(10))
    assert threading.current_thread() not in [thread for _, thread in taken]


def put(behind, count, error=None):
    for number in range(count):
        behind.put(number)
    if error:
        raise error


def fail(items):
    next(items)
    raise OSError("disk full")


def test_what_the_consumer_raises_reaches_who_puts():
    with pytest.raises(OSError, match="disk full"), Behind(fail, depth=1) as behind:
        put(behind, 10)


def test_what_it_raises_at_the_end_reaches_who_leaves():
    with pytest.raises(OSError, match="disk full"), Behind(fail) as behind:
        behind.put(1)


def test_a_block_that_raises_ends_the_consumer_and_keeps_its_own_error():
    ended = []

    def consume(items):
        for _ in items:
            time.sleep(0.05)
        ended.append(True)
        raise OSError("of a file that nobody wants")

    with pytest.raises(KeyboardInterrupt), Behind(consume, depth=1) as behind:
        put(behind, 2, KeyboardInterrupt())
    assert ended == [True]


def test_a_process_that_is_stopped_before_it_enters_the_block_still_ends():
    code = "from unbraid.threads import Behind\nBehind(list)\nraise KeyboardInterrupt"
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, timeout=30, check=False)
    assert b"KeyboardInterrupt" in done.stderr
