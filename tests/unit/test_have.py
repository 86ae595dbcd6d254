"""Stems that a user has: which files they are, and what the plan of their song is then."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from test_plan import RECIPES, SONG, key, network, plan
from unbraid import have, workload
from unbraid.errors import UnbraidError
from unbraid.recipes import Term, compile_recipe
from unbraid.songs import Song

SPLIT = {"split": {"model": "net", "input": "mix"}}
RECIPE = {
    "steps": {**SPLIT, "again": {"model": "net", "input": "split.vocals"}},
    "stems": {
        "vocals": "split.vocals",
        "drums": "split.drums",
        "instrumental": "mix - split.vocals",
        "noise": "again.other",
        "rest": "split.residual",
    },
}
VOICE = {
    "steps": {**SPLIT, "v": {"ensemble": ["split.vocals", "mix"]}},
    "stems": {"vocals": "v", "instrumental": "mix - v"},
}


@pytest.fixture(autouse=True)
def _recipes(monkeypatch):
    monkeypatch.setitem(RECIPES, "mine", RECIPE)
    monkeypatch.setitem(RECIPES, "voice", VOICE)


@pytest.fixture
def recipe():
    return compile_recipe("mine", RECIPE, {"net": network()}.__getitem__)


@pytest.fixture
def stems(tmp_path):
    """Puts files into a folder, and returns it as a column `have` would name it."""

    def put(*names):
        for name in names:
            (tmp_path / name).write_bytes(b"x")
        return str(tmp_path)

    return put


def planned(written, recipe="mine", **changes):
    """The plan of one song whose column `have` says this."""
    return plan([Song("s", "abc.wav", have=written, **changes)], recipe=recipe).songs["s"]


def shape(planned, stem):
    """A delivered stem as coefficients of files: `have` for the user's, else the stem's name."""
    return [(source.coefficient, source.stem) for source in planned.stems[stem]]


def test_a_folder_s_audio_files_are_the_stems_they_are_named_after_in_whatever_case(stems, recipe):
    folder = stems("Vocals.WAV", "drums.mp3", "cover.jpg", "notes.txt", "._vocals.wav")
    assert have.files(folder, recipe, Path("results")) == {
        "vocals": f"{folder}/Vocals.WAV",
        "drums": f"{folder}/drums.mp3",
    }


def test_files_and_folders_may_be_listed(stems, recipe):
    folder = stems("vocals.wav", "drums.flac")
    listed = f" {folder}/drums.flac ;{folder}/vocals.wav; "
    assert have.files(listed, recipe, Path("results")) == {
        "drums": f"{folder}/drums.flac",
        "vocals": f"{folder}/vocals.wav",
    }


@pytest.mark.parametrize(
    ("names", "written", "message"),
    [
        (["vocal.wav"], "{}", r"vocal\.wav, and the recipe 'mine' delivers no stem 'vocal'\. Did you mean 'vocals'\?"),
        (["vocals.wav", "mixture.wav"], "{}", "no stem 'mixture'. Known: drums, instrumental"),
        (["vocals.wav", "VOCALS.flac"], "{}", "two files for the stem 'vocals': .*VOCALS.flac and .*vocals.wav"),
        ([], "{}/nowhere", "nowhere is not there"),
        (["drums.wav"], "{0}/drums.wav;{0}/vocals.wav", "vocals.wav is not there"),
        (["cover.jpg"], "{}", "folder without audio files"),
    ],
)
def test_what_cannot_be_taken_is_an_error_that_says_why(stems, recipe, names, written, message):
    with pytest.raises(UnbraidError, match=message):
        have.files(written.format(stems(*names)), recipe, Path("results"))


def test_a_file_that_delivering_would_replace_is_not_taken(tmp_path, monkeypatch, recipe):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results/s").mkdir(parents=True)
    (tmp_path / "results/s/vocals.wav").write_bytes(b"x")
    with pytest.raises(UnbraidError, match="would be replaced"):
        have.files("results/s", recipe, Path("results"))


def test_of_references_those_named_after_stems_are_taken_and_others_passed_over(stems, recipe):
    folder = stems("Vocals.wav", "mixture.wav", "bass_DI.wav", "cover.jpg")
    assert have.references(folder, recipe) == {"vocals": f"{folder}/Vocals.wav"}


@pytest.mark.parametrize(
    ("names", "written", "message"),
    [
        (["voice.wav", "mixture.wav"], "{}", r"gives mixture.wav, voice.wav, and the recipe 'mine' delivers no stem"),
        (["vocals.wav", "VOCALS.flac"], "{}", "`references` gives two files for the stem 'vocals'"),
        ([], "{}/nowhere", "`references` gives cannot be taken: .*nowhere is not there"),
    ],
)
def test_references_that_are_none_are_an_error_that_says_why(stems, recipe, names, written, message):
    with pytest.raises(UnbraidError, match=message):
        have.references(written.format(stems(*names)), recipe)


def test_references_change_nothing_of_what_is_made_and_are_taken_in_the_form_of_the_mix(stems):
    plain = plan([Song("s", "abc.wav")], recipe="mine")
    made = plan([Song("s", "abc.wav", references=stems("vocals.wav"))], recipe="mine")
    assert made.songs["s"].expressions == plain.songs["s"].expressions
    assert made.separations.keys() == plain.separations.keys()
    (true,) = made.songs["s"].references.values()
    assert (true.column, true.mix, made.haves) == ("references", made.songs["s"].mix.key, {true.key: true})
    assert ("have", true.key) in workload.planned(made, ["s"], ())


def test_wrong_references_are_told_by_a_job_of_their_own_and_cost_the_song_no_stem(stems):
    plain = plan([Song("s", "abc.wav")], recipe="mine")
    made = plan([Song("s", "abc.wav", references=stems("vocal.wav"))], recipe="mine")
    song = made.songs["s"]
    assert (song.mix.problem, song.expressions) == (None, plain.songs["s"].expressions)
    (wrong,) = song.references.values()
    assert "column `references`" in wrong.problem[0]
    assert ("have", wrong.key) in workload.planned(made, ["s"], ())


def test_a_wrong_column_is_a_problem_of_its_song_alone(stems):
    made = plan([Song("s", "abc.wav", have=stems("vocal.wav")), Song("t", "abc.wav")], recipe="mine")
    assert "Did you mean 'vocals'?" in made.songs["s"].mix.problem[1]
    assert made.songs["t"].mix.problem is None
    assert set(made.haves) == set()


def test_a_stem_that_is_no_audio_is_a_problem_of_its_song_alone(stems):
    folder = stems("vocals.wav")
    broken = UnbraidError("vocals.wav is not audio.", remedy="Take it out of the songs.")

    def probe(path):
        return broken if "vocals" in path else SimpleNamespace(sha256="a", duration=1.0, rate=44100, channels=2)

    made = plan([Song("s", "abc.wav", have=folder), Song("t", "abc.wav")], recipe="mine", probe=probe)
    what, remedy = made.songs["s"].mix.problem
    assert "vocals.wav is not audio" in what
    assert "empty the column" in remedy
    assert made.songs["t"].mix.problem is None


def test_a_stem_stands_for_its_step_s_output_in_the_whole_recipe(stems):
    made = planned(stems("vocals.wav"))
    assert shape(made, "vocals") == [(1, "have")]
    assert shape(made, "instrumental") == [(1, "mix"), (-1, "have")]
    assert [(source.coefficient, source.stem) for source in made.separations["again"].segments.sources] == [(1, "have")]
    assert shape(made, "drums") == [(1, "drums")]
    # The step itself and what is left of its input still add up.
    assert shape(made, "rest") == [(1, "mix"), (-1, "drums"), (-1, "bass"), (-1, "other"), (-1, "have")]


def test_a_stem_that_is_no_output_of_a_step_stands_for_itself_alone(stems):
    made = planned(stems("instrumental.wav"))
    assert shape(made, "instrumental") == [(1, "have")]
    assert shape(made, "vocals") == [(1, "vocals")]
    assert set(made.separations) == {"split", "again"}


def test_a_stem_stands_for_an_ensemble_too_and_then_nothing_is_separated(stems):
    made = planned(stems("vocals.wav"), recipe="voice")
    assert shape(made, "instrumental") == [(1, "mix"), (-1, "have")]
    assert (made.separations, made.ensembles) == ({}, {})


def test_a_step_that_nothing_needs_any_more_is_not_done(stems):
    assert set(planned(stems("vocals.wav", "noise.wav")).separations) == {"split"}  # for drums and the rest
    made = planned(stems("vocals.wav", "noise.wav", "drums.wav", "rest.wav"))
    assert made.separations == {}
    assert shape(made, "instrumental") == [(1, "mix"), (-1, "have")]


def test_a_step_keeps_its_key_when_another_stem_is_given(stems):
    assert planned(stems("drums.wav")).separations["split"].key == key(plan([SONG], recipe="mine"), step="split")


def test_the_file_s_bytes_and_the_mix_decide_the_key_and_its_name_does_not(tmp_path):
    def made(name, **changes):
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"x")
        probe = lambda path: SimpleNamespace(sha256=path.split(".")[-1], duration=100.0, rate=44100, channels=2)  # noqa: E731
        song = Song("s", "abc.wav", have=str(place), **changes)
        return plan([song], recipe="mine", probe=probe).songs["s"].haves["vocals"].key

    first = made("one/vocals.a")
    assert made("two/VOCALS.a") == first
    assert made("one/vocals.b") != first
    assert made("one/vocals.a", start=1.0) != first


def test_the_first_stem_that_an_output_is_delivered_as_stands_for_it(tmp_path):
    twice = {"steps": SPLIT, "stems": {"lead": "split.vocals", "choir": "split.vocals"}}
    compiled = compile_recipe("twice", twice, {"net": network()}.__getitem__)
    assert have.outputs(compiled, {"choir": "c", "lead": "l"}) == {Term("split", "vocals"): "l"}
