"""What is removed from the store: the least recently used first, to a limit, by age; never what a run needs; and only when told."""

import shutil
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from test_store import keep
from unbraid import cleaning, config, store
from unbraid.cleaning import Bounds
from unbraid.errors import UnbraidError
from unbraid.leases import Lease
from unbraid.store import Entry

NOW = datetime.now(UTC)


def entry(key, size=100, days=0):
    used = NOW - timedelta(days=days)
    return Entry(key, "merge", "htdemucs", size, used, used, 0, "song")


def surplus(*entries, needed=(), free=10**6, **bounds):
    return [one.key for one in cleaning.surplus(entries, Bounds(**bounds), free, set(needed))]


def test_the_first_go_until_the_rest_fits():
    entries = [entry(key) for key in "abcd"]
    assert surplus(*entries, limit=400) == []
    assert surplus(*entries, limit=399) == ["a"]
    assert surplus(*entries, limit=150) == ["a", "b", "c"]
    assert surplus(*entries, limit=0) == ["a", "b", "c", "d"]
    assert surplus(*entries, limit=250, needed="ac") == ["b", "d"]


def test_the_first_go_until_as_much_of_the_disk_is_free():
    entries = [entry(key) for key in "abcd"]
    assert surplus(*entries, free=1000, limit=None) == []
    assert [one.key for one in cleaning.surplus(entries, Bounds(free=1150), 1000, set())] == ["a", "b"]


def test_what_nobody_used_for_long_goes_whatever_its_size():
    entries = [entry("a", days=40), entry("b", days=31), entry("c", days=29)]
    assert surplus(*entries, age=timedelta(days=30)) == ["a", "b"]
    assert surplus(*entries, age=timedelta(days=30), needed="a") == ["b"]


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ({}, None),
        ({"store_limit": "200GB"}, Bounds(limit=200 * 10**9)),
        ({"store_limit": "5000B", "store_free": "1.5 GiB"}, Bounds(5000, 3 * 2**29)),
        ({"older_than": "2w"}, Bounds(age=timedelta(days=14))),
    ],
)
def test_bounds_are_written_as_people_write_them(written, found):
    assert cleaning.bounds(config.load(written), age=True) == found


def test_only_who_asks_to_clean_removes_by_age():
    assert cleaning.bounds(config.load({"older_than": "30d"}), age=False) is None


@pytest.mark.parametrize(
    "wrong",
    [{"store_limit": "much"}, {"older_than": "30 blue moons"}, {"store_free": "-"}, {"store_limit": 200},
    {"store_free": "1.5"}, {"older_than": 30}, {"older_than": "1M"}, {"older_than": "2 M"}],
)  # fmt: skip
def test_what_is_no_size_or_time_is_an_error_that_names_the_key(wrong):
    with pytest.raises(UnbraidError, match=next(iter(wrong))):
        config.load(wrong)


@pytest.fixture
def place(tmp_path):
    """A store of three keys, a megabyte each; `a` was used least recently."""
    for day, key in enumerate("abc"):
        keep(tmp_path, key, {"vocals.wav": 10**6}, created=NOW - timedelta(days=50 - day))
    return tmp_path


def held(place):
    return sorted(path.name for path in (place / "stems").iterdir())


def settings(place, **written):
    return config.load({"store": str(place), **written})


def test_without_yes_it_is_only_told_what_would_go(place):
    told = cleaning.clean(settings(place, store_limit="2.1MB"))
    assert "1 key(s) (1.00 MB) would be removed" in told
    assert "--config yes=true does it" in told
    assert "\na " in told
    assert "\nb " not in told
    assert "3 key(s)" in cleaning.clear(settings(place))
    assert held(place) == ["a", "b", "c"]


def test_with_yes_it_goes(place):
    told = cleaning.clean(settings(place, store_limit="2.1MB", yes=True))
    assert told == f"1 key(s) (1.00 MB) are removed from {place}."
    assert held(place) == ["b", "c"]
    assert cleaning.clean(settings(place, store_limit="1GB", yes=True)) == f"Nothing is to be removed from {place}."
    assert "2 key(s)" in cleaning.clear(settings(place, yes=True))
    assert held(place) == []


def test_without_a_bound_cleaning_says_what_to_write(place):
    with pytest.raises(UnbraidError, match="older_than=30d"):
        cleaning.clean(settings(place))


def test_what_a_run_needs_stays_and_is_told(place):
    lease = Lease(place, "ab")
    assert "1 key(s)" in (told := cleaning.clear(settings(place, yes=True)))
    assert told.endswith(" 2 are needed by runs at work and stay.")
    assert held(place) == ["a", "b"]
    lease.end()


def test_a_run_that_leases_a_key_while_it_is_being_removed_keeps_it(place, monkeypatch):
    """Whichever comes first, the lease or the removal: the one sees the other."""
    real, made = store.os.rename, []

    def rename(old, new):
        real(old, new)
        if not made:
            made.append(Lease(place, ["a"]))

    monkeypatch.setattr(store.os, "rename", rename)
    assert cleaning.keep_to(place, Bounds(limit=2_100_000), ()) == ""
    assert held(place) == ["a", "b", "c"]
    made[0].end()


def test_limits_are_kept_with_a_line_that_says_so(place):
    assert "1 key(s) (1.00 MB) that were used least recently" in cleaning.keep_to(place, Bounds(limit=2_100_000), ())
    assert held(place) == ["b", "c"]
    assert cleaning.keep_to(place, Bounds(limit=2_100_000), ()) == ""


def test_a_disk_that_others_fill_costs_the_store_nothing(place, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    assert (
        cleaning.keep_to(place, Bounds(free=10**12), ())
        == "1.00 TB (store_free) cannot be had: nothing is removed for it."
    )
    assert held(place) == ["a", "b", "c"]
    assert "cannot be had" in cleaning.clean(settings(place, store_free="1TB", yes=True))
    assert held(place) == ["a", "b", "c"]


def test_the_disk_is_that_of_the_store_even_before_there_is_one(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: asked.append(path) or SimpleNamespace(free=0))
    told = cleaning.keep_to(tmp_path / "not" / "yet", Bounds(free=1), ())
    assert told == "1.00 B (store_free) cannot be had: nothing is removed for it."
    assert asked == [tmp_path]
