import dataclasses
from types import SimpleNamespace

import pytest

from unbraid import presets
from unbraid.backends import registry
from unbraid.catalogue import Model, Source, Weights
from unbraid.config import Config
from unbraid.errors import UnbraidError
from unbraid.plan import Planner
from unbraid.recipes import compile_recipe
from unbraid.songs import Song

STEMS = ("drums", "bass", "other", "vocals")


def network(name="net", digest="0" * 64, **changes):
    values = dict(
        name=name, backend="demucs", architecture="HTDemucs", description="", stems=STEMS, licence="CC0",
        rate=44100, channels=2, weights=(Weights("w", (Source("file", "w.th", digest),)),),
    )  # fmt: skip
    return Model(**{**values, **changes})


RECIPES = {
    "one": {"steps": {"a": {"model": "net", "input": "mix"}}, "stems": {"v": "a.vocals", "i": "mix - a.vocals"}},
    "two": {
        "steps": {"a": {"model": "net", "input": "mix"}, "b": {"model": "other", "input": "mix"}},
        "stems": {"v": "a.vocals", "w": "b.vocals"},
    },
    "chain": {
        "steps": {"a": {"model": "net", "input": "mix"}, "b": {"model": "net", "input": "a.residual"}},
        "stems": {"v": "b.vocals"},
    },
}


def probed(sha256, duration):
    return SimpleNamespace(sha256=sha256, duration=duration, rate=44100, channels=2)


PRESETS = {
    "p": presets.Preset(shifts=0, overlap=0.25, precision="exact"),
    "q": presets.Preset(shifts=2, overlap=0.25, precision="exact"),
}


def plan(
    songs,
    *,
    models=None,
    probe=None,
    complete=lambda key, stems: False,
    recipe="one",
    preset="p",
    recipes=None,
    **config,
):
    models = models or {"net": network(), "other": network("other", "1" * 64)}
    settings = Config(recipe=recipe, preset=preset, **config)
    return Planner(
        settings,
        model=models.__getitem__,
        recipe=recipes or (lambda name: compile_recipe(name, RECIPES[name], models.__getitem__)),
        preset=lambda name: presets.choose(PRESETS, name, settings),
        probe=probe or (lambda path: probed(path.split(".")[0] * 4, 100.0)),
        complete=complete,
    ).compile(songs)


def key(made, song="s", step="a"):
    return made.songs[song].separations[step].key


SONG = Song("s", "abc.wav")


def test_the_same_content_under_two_names_is_separated_once():
    made = plan([SONG, Song("t", "abc.mp3")])
    assert key(made, "s") == key(made, "t")
    assert (len(made.mixes), len(made.segments), len(made.separations)) == (1, 1, 1)


@pytest.mark.parametrize(
    "changed",
    [
        {"preset": "q"},
        {"overlap": 0.5},
        {"models": {"net": network(digest="2" * 64)}},
        {"models": {"net": network(mixing=((1.0, 2.0, 1.0, 1.0),))}},
        {"models": {"net": network(segment=10.0)}},
        {"models": {"net": network(rate=48000)}},
        {"engine": "torch"},
        {"songs_": [Song("s", "abd.wav")]},
        {"songs_": [Song("s", "abc.wav", start=1.0)]},
        {"songs_": [Song("s", "abc.wav", end=1.0)]},
    ],
)  # fmt: skip
def test_what_changes_the_bytes_changes_the_key(changed):
    songs = changed.pop("songs_", [SONG])
    assert key(plan(songs, **changed)) != key(plan([SONG]))


@pytest.mark.parametrize(
    "changed",
    [
        {"device": "cuda:1"},
        {"segment_seconds": 10.0},
        {"store": "elsewhere"},
        {"format": "flac"},
        {"bit_depth": "16"},
        {"log_level": "debug"},
        {"truncated": "accept"},
        {"songs_": [Song("s", "abc.wav", start=0.0)]},
        {"seed": 5},  # without shifts there is nothing to seed
        {"models": {"net": network(description="other words", licence="other terms")}},
        {"songs_": [Song("other", "abc.wav")]},
    ],
)
def test_what_does_not_change_the_bytes_does_not_change_the_key(changed):
    songs = changed.pop("songs_", [SONG])
    assert key(plan(songs, **changed), songs[0].id) == key(plan([SONG]))


def test_the_seed_counts_when_there_are_shifts():
    assert key(plan([SONG], preset="q", seed=1)) != key(plan([SONG], preset="q", seed=2))


def test_an_added_step_leaves_the_others_keys_alone():
    assert key(plan([SONG], recipe="two")) == key(plan([SONG], recipe="one"))


def test_two_models_of_one_format_share_the_segments():
    made = plan([SONG], recipe="two")
    assert (len(made.segments), len(made.separations)) == (1, 2)


def test_a_chained_step_takes_the_stored_stems_of_the_one_before():
    made = plan([SONG], recipe="chain")
    sources = made.songs["s"].separations["b"].segments.sources
    assert [(source.coefficient, source.stem) for source in sources] == [(1, "mix"), *((-1, stem) for stem in STEMS)]
    assert {source.key for source in sources if not source.is_mix} == {key(made)}
    assert key(made, step="b") != key(made)


def test_a_schedule_changes_only_the_passing_keys():
    whole, cut = plan([SONG]), plan([SONG], segment_seconds=10.0)
    assert cut.songs["s"].separations["a"].segments.count == 10
    assert set(whole.works).isdisjoint(cut.works)
    assert set(whole.segments).isdisjoint(cut.segments)


def test_a_window_shortens_the_duration_that_segments_follow():
    made = plan([Song("s", "abc.wav", start=90.0)], segment_seconds=1.0)
    assert made.songs["s"].separations["a"].segments.count == 10


def test_a_song_that_cannot_be_probed_still_gets_a_job_of_its_own():
    failing = {"bad.wav": UnbraidError("No.", remedy="Yes.")}
    made = plan(
        [SONG, Song("bad", "bad.wav"), Song("bad2", "bad.wav")],
        probe=lambda path: failing.get(path) or probed("a", 1.0),
    )
    assert made.songs["bad"].mix.sha256 is None
    assert made.songs["bad"].separations["a"].segments.count == 1
    assert key(made, "bad") != key(made, "bad2")


def test_a_songs_own_wrong_choice_fails_its_own_job_and_a_wrong_configuration_everything():
    def unknown(name, known):
        if name not in known:
            raise UnbraidError(f"There is no {name}.", remedy="Yes.")

    def recipe(name):
        unknown(name, RECIPES)
        return compile_recipe(name, RECIPES[name], {"net": network()}.__getitem__)

    songs = [Song("s", "abc.wav", recipe="wrong"), Song("t", "abc.wav"), Song("u", "abc.wav", prompts="x")]
    made = plan(songs, recipes=recipe)
    assert made.songs["s"].mix.problem == ("There is no wrong.", "Yes.")
    assert made.songs["t"].mix.problem is None
    assert "1 prompt(s), and the recipe 'one' has 0" in made.songs["u"].mix.problem[0]
    assert len({made.songs[song].mix.key for song in "stu"}) == 3
    with pytest.raises(UnbraidError, match="There is no wrong"):
        plan([Song("t", "abc.wav")], recipe="wrong", recipes=recipe)


def test_songs_may_have_their_own_recipe_and_preset():
    made = plan([SONG, dataclasses.replace(SONG, id="t", recipe="two", preset="q")])
    assert (made.songs["t"].recipe.name, made.songs["t"].preset) == ("two", "q")
    assert set(made.recipes) == {"one", "two"}
    assert set(made.models) == {"net", "other"}


def test_a_model_without_weights_has_nothing_to_set():
    models = {"net": network(weights=(), backend="identity")}
    assert key(plan([SONG], models=models)) == key(plan([SONG], models=models, preset="q"))


PROMPTED = {
    "ask": {
        "steps": {
            "a": {"model": "asked", "input": "mix", "prompt": "voice"},
            "b": {"model": "asked", "input": "a.residual", "prompt": "drums"},
        },
        "stems": {"v": "a.vocals", "rest": "b.residual"},
    },
}


@pytest.fixture
def asked(monkeypatch):
    """A backend that is asked in words, draws random numbers and takes long."""
    backend = registry.Backend(
        "x:X",
        None,
        ("overlap",),
        ("torch", "mlx"),
        ("prompt",),
        required=("prompt",),
        seeded=True,
        previewed=True,
    )
    monkeypatch.setitem(registry.BACKENDS, "asked", backend)
    monkeypatch.setitem(RECIPES, "ask", PROMPTED["ask"])
    return {"asked": network("asked", backend="asked")}


def prompts(made, song="s"):
    return [separation.settings["prompt"] for separation in made.songs[song].separations.values()]


def test_a_song_may_have_prompts_of_its_own_and_the_configuration_others(asked):
    songs = [SONG, Song("t", "abc.wav", prompts="guitar; bass")]
    made = plan(songs, models=asked, recipe="ask")
    assert prompts(made, "s") == ["voice", "drums"]
    assert prompts(made, "t") == ["guitar", "bass"]
    assert key(made, "s") != key(made, "t")
    assert prompts(plan([SONG], models=asked, recipe="ask", prompts="piano ;choir")) == ["piano", "choir"]
    assert made.songs["s"].separations["a"].settings == {"overlap": 0.25, "seed": 0, "prompt": "voice"}


def test_a_wrong_number_of_prompts_in_the_configuration_is_an_error_that_names_both_numbers(asked):
    with pytest.raises(UnbraidError, match=r"1 prompt\(s\), and the recipe 'ask' has 2 prompted"):
        plan([SONG], models=asked, recipe="ask", prompts="guitar")


def test_a_model_that_takes_long_is_heard_in_segments_of_two_minutes(asked):
    long = lambda path: probed("a", 601.0)  # noqa: E731
    assert plan([SONG], models=asked, recipe="ask", probe=long).songs["s"].separations["a"].segments.count == 6
    assert plan([SONG], probe=long).songs["s"].separations["a"].segments.count == 2


def test_a_forced_engine_enters_keys_and_one_that_a_backend_lacks_is_an_error_that_names_its_own(asked):
    assert plan([SONG], engine="torch").songs["s"].separations["a"].settings["engine"] == "torch"
    with pytest.raises(UnbraidError, match=r"cannot be run by engine=onnxruntime.* has: mlx, openvino, torch"):
        plan([SONG], engine="onnxruntime")


def test_an_ensemble_has_a_key_of_its_members_method_and_weights(monkeypatch):
    def blended(**changes):
        steps = {**RECIPES["two"]["steps"], "v": {"ensemble": ["a.vocals", "b.vocals"], **changes}}
        monkeypatch.setitem(RECIPES, "blend", {"steps": steps, "stems": {"v": "v", "i": "mix - v"}})
        return plan([SONG], recipe="blend").songs["s"]

    made = blended()
    (ensemble,) = made.ensembles.values()
    assert [[source.stem for source in member] for member in ensemble.members] == [["vocals"], ["vocals"]]
    assert [source.key for source in made.stems["i"]] == [made.mix.key, ensemble.key]
    others = [blended(weights=[1, 2]), blended(method="median"), blended(method="max")]
    assert len({ensemble.key, *(one.ensembles["v"].key for one in others)}) == 4
    assert {one.separations["a"].key for one in others} == {made.separations["a"].key}
