"""Who may use a worker's session: tasks that can share it at once, others in their turn, nobody for ever."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event

import pytest

from unbraid.worker import sessions, task
from unbraid.worker.sessions import Sessions


class Session:
    joint = False

    def __init__(self, key):
        self.key, self.open = key, True

    def rest(self):
        pass

    def close(self):
        self.open = False


class Joint:
    """Stands for the one that computes: a guest is the session itself."""

    works, fallen = True, False

    def __init__(self, session):
        self._session = session

    def guest(self, check):
        return self._session

    def close(self):
        self._session.close()


@pytest.fixture
def loaded(monkeypatch):
    """The sessions that were loaded. A task is the key of its session; a capital one can be shared."""
    made = []

    def load(key):
        if key == "broken":
            raise OSError(key)
        made.append(Session(key))
        made[-1].joint = key.isupper()
        return made[-1]

    monkeypatch.setattr(task, "session_key", lambda wanted: wanted)
    monkeypatch.setattr(task, "load_session", load)
    monkeypatch.setattr(sessions, "Joint", Joint)
    monkeypatch.setattr(sessions, "GLANCE", 0.01)
    return made


def wanted():
    pass


def test_tasks_of_one_kind_share_a_session_where_it_can_be_shared(loaded):
    kept = Sessions()
    with kept.of("A", wanted) as one, kept.of("A", wanted) as other:
        assert one is other
    with kept.of("A", wanted) as again:
        assert again is one
    assert len(loaded) == 1
    kept.close()
    assert not one.open


@pytest.mark.parametrize("keys", ["aa", "AB", "Ab"])
def test_others_take_turns(loaded, keys):
    kept, inside, leave = Sessions(), [], Event()

    def use(key):
        with kept.of(key, wanted) as session:
            inside.append(session.key)
            leave.wait(20)
            assert session.open
            inside.remove(session.key)

    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(use, key) for key in keys]
        with suppress(TimeoutError):
            done[1].result(0.2)
        assert len(inside) == 1
        leave.set()
        for one in done:
            one.result()
    assert len(loaded) == len(set(keys))


def test_nobody_overtakes_a_task_of_another_kind(loaded):
    kept, order, leave = Sessions(), [], Event()

    def use(key):
        with kept.of(key, wanted):
            order.append(key)

    with ThreadPoolExecutor(2) as pool:
        with kept.of("A", wanted):
            first = pool.submit(use, "B")
            while not kept._line:
                pass
            second = pool.submit(use, "A")
            while len(kept._line) < 2:
                pass
        first.result()
        second.result()
    assert order == ["B", "A"]
    leave.set()


def test_a_task_that_is_not_wanted_any_more_leaves_the_line(loaded):
    kept = Sessions()

    def cancelled():
        raise ConnectionError

    with kept.of("a", wanted):
        with pytest.raises(ConnectionError), kept.of("a", cancelled):
            pass
        assert not kept._line
    with kept.of("b", wanted) as session:
        assert session.key == "b"


def test_a_session_that_cannot_be_loaded_is_an_error_of_its_task_alone(loaded):
    kept = Sessions()
    with pytest.raises(OSError, match="broken"), kept.of("broken", wanted):
        pass
    with kept.of("a", wanted) as session:
        assert session.open


def test_a_session_in_an_unknown_state_serves_nobody_new(loaded):
    kept = Sessions()
    with kept.of("A", wanted) as first:
        kept.spoil()
        assert first.open
    with kept.of("A", wanted) as second:
        assert second is not first
        assert not first.open
    kept.spoil()
    assert not second.open


def test_a_session_that_is_spoilt_while_others_use_it_is_left_to_them(loaded):
    kept, entered = Sessions(), Event()

    def use():
        with kept.of("A", wanted) as session:
            entered.set()
            return session

    with ThreadPoolExecutor(1) as pool:
        with kept.of("A", wanted) as first:
            kept.spoil()
            waiting = pool.submit(use)
            assert not entered.wait(0.2)
            assert first.open
        assert waiting.result() is not first


def test_a_session_whose_network_failed_is_offered_to_nobody(loaded):
    kept = Sessions()
    with kept.of("A", wanted) as first:
        kept._joint.works = False
    with kept.of("A", wanted) as second:
        assert second is not first


def test_while_songs_go_on_with_less_than_they_began_with_a_new_one_waits_and_begins_afresh(loaded):
    kept, entered = Sessions(), Event()

    def use():
        with kept.of("A", wanted) as session:
            entered.set()
            return session

    with ThreadPoolExecutor(1) as pool:
        with kept.of("A", wanted) as first:
            kept._joint.fallen = True
            waiting = pool.submit(use)
            assert not entered.wait(0.2)
        assert waiting.result() is first  # the joint session begins anew for whom is alone in it


def test_a_task_that_is_to_be_alone_has_a_session_that_nobody_else_ever_has(loaded):
    kept, entered = Sessions(), Event()

    def use():
        with kept.of("A", wanted) as session:
            entered.set()
            return session

    with ThreadPoolExecutor(1) as pool:
        with kept.of("A", wanted) as first:
            pass
        with kept.of("A", wanted, alone=True) as second:
            waiting = pool.submit(use)
            assert not entered.wait(0.2)
        assert len({first, second, waiting.result()}) == 3
    assert not second.open


def test_a_session_that_cannot_rest_holds_up_nobody(loaded, monkeypatch):
    kept = Sessions()

    def fail(session):
        raise RuntimeError("a device in trouble")

    monkeypatch.setattr(Session, "rest", fail)
    with pytest.raises(RuntimeError, match="trouble"), kept.of("a", wanted):
        pass
    monkeypatch.undo()
    assert kept._users == 0
