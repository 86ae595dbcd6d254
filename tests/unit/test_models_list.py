import pytest

from unbraid.catalogue import Model
from unbraid.errors import UnbraidError
from unbraid.models_list import matching, table


def model(name, stems=("vocals",), licence="MIT", score=None, **changes):
    values = dict(name=name, backend="demucs", architecture="HTDemucs", description="", stems=stems, licence=licence)
    return Model(**{**values, "score": score or {}, **changes})


MODELS = {
    one.name: one
    for one in (
        model("plain"),
        model("better", score={"vocals": 9.0, "other": 3.0}),
        model("best", ("vocals", "drums"), "CC-BY-4.0", {"vocals": 11.25}),
        model("noise", ("noise",), "unknown", backend="audio_separator", description="Takes hiss away"),
    )
}


def names(wanted):
    return [found.name for found in matching(MODELS, wanted)]


def test_all_models_are_listed_best_score_first():
    assert names("") == ["best", "better", "noise", "plain"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("vocals", ["best", "better", "plain"]),
        ("VOCALS drums", ["best"]),
        ("licence:mit", ["better", "plain"]),
        ("stems:noise", ["noise"]),
        ("hiss", ["noise"]),
        ("backend:demucs licence:cc", ["best"]),
    ],
)
def test_every_word_must_be_found_in_its_field_or_anywhere(wanted, found):
    assert names(wanted) == found


@pytest.mark.parametrize(
    ("wanted", "remedy"),
    [
        ("vocls", "Did you mean 'vocals'?"),
        ("licence:mti", "Did you mean 'mit'?"),
        ("hiss drums", "leave one out"),
    ],
)
def test_without_a_match_the_nearest_word_is_named(wanted, remedy):
    with pytest.raises(UnbraidError) as caught:
        matching(MODELS, wanted)
    assert remedy in str(caught.value)


def test_the_table_has_a_line_for_each_model_and_its_scores():
    lines = table(matching(MODELS, "")).splitlines()
    assert lines[0].split() == ["name", "backend", "architecture", "stems", "SDR,", "dB", "licence"]
    assert [line.split()[0] for line in lines[1:]] == ["best", "better", "noise", "plain"]
    assert "vocals 11.2" in lines[1]
    assert len({line.index("demucs") for line in lines if "demucs" in line}) == 1


def test_a_long_licence_is_cut():
    assert table([model("x", licence="a " * 100)]).splitlines()[1].endswith("…")


def test_a_word_that_names_a_stem_sorts_by_its_score():
    models = {
        one.name: one for one in (model("a", score={"vocals": 5.0, "drums": 9.0}), model("b", score={"vocals": 6.0}))
    }
    assert [found.name for found in matching(models, "stems:vocals")] == ["b", "a"]
    assert [found.name for found in matching(models, "")] == ["a", "b"]
