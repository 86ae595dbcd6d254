import re

import pytest

from unbraid import keys


def test_a_key_is_the_same_whatever_the_order_of_its_content():
    assert keys.key("convert", {"a": 1, "b": [2]}) == keys.key("convert", {"b": [2], "a": 1})


def test_anything_in_the_content_changes_the_key():
    made = {
        keys.key("convert", content)
        for content in ({"a": 1}, {"a": 2}, {"a": "1"}, {"a": 1.5}, {"a": None}, {"b": 1}, {"a": [1]}, {"a": True})
    }
    assert len(made) == 8


def test_stage_and_version_are_part_of_the_key_and_the_prefix_is_not(monkeypatch):
    before = keys.key("convert", {"a": 1})
    assert keys.key("segment", {"a": 1}) != before
    assert keys.key("convert", {"a": 1}, prefix="htdemucs") == f"htdemucs-{before}"
    monkeypatch.setitem(keys.STAGE_VERSIONS, "convert", 99)
    assert keys.key("convert", {"a": 1}) != before


def test_a_number_that_is_not_json_is_refused():
    with pytest.raises(ValueError, match="JSON"):
        keys.key("convert", {"a": float("nan")})


def test_the_pattern_matches_keys_and_nothing_else():
    made = keys.key("merge", {}, prefix="my.model-2")
    assert re.fullmatch(keys.pattern("my.model-2"), made)
    assert not re.fullmatch(keys.pattern("my-model-2"), made)
    assert not re.fullmatch(keys.pattern(), made)
    assert re.fullmatch(keys.pattern(), keys.key("merge", {}))


def test_one_of_matches_exactly_the_names_given():
    found = keys.one_of(["a.b", "c"])
    assert [name for name in ("a.b", "c", "axb", "a.bc", "") if re.fullmatch(found, name)] == ["a.b", "c"]
    assert not re.fullmatch(keys.one_of([]), "")


@pytest.mark.parametrize("wanted", [[], ["a"], ["a", "b"], ["a", "b", "c"], ["a", "b", "c", "d"]])
def test_only_tells_wanted_keys_from_the_others_and_is_short(wanted):
    made = {name: keys.key("merge", {"name": name}, prefix="net") for name in "abcd"}
    expression = keys.only([made[name] for name in wanted], list(made.values()), keys.pattern("net"))
    for name, key in made.items():
        assert bool(re.fullmatch(f"store/({expression})/x.wav", f"store/{key}/x.wav")) is (name in wanted)
    assert expression.count("net") <= 3
