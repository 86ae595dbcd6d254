"""qc.json and provenance.json against numpy on the same files."""

import datetime

import numpy as np
import pytest
import soundfile

from unbraid.audio import wav
from unbraid.errors import UnbraidError
from unbraid.files import read_json, write_json
from unbraid.gates import judge
from unbraid.outcome import lines
from unbraid.stages.passed import passed
from unbraid.stages.report import report

RATE = 44100
LIMITS = {"residual": -10.0, "clipped": 10, "silence": 0.99, "lag": 0}
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def stamp(minutes: int) -> str:
    return (NOW + datetime.timedelta(minutes=minutes)).isoformat(timespec="milliseconds")


def manifest(key, stems, sources, created, notices=()):
    return {
        "key": key, "stage": "merge",
        "weights": {"w": {"sha256": "1" * 64}}, "model": f"model-{key}", "licence": "CC0", "content": {"input": {"sources": sources}},
        "files": {f"{stem}.wav": {} for stem in stems}, "created": created, "versions": {"torch": "1"},
        "seconds": {"segment": 1.0, "separate": 10.0, "merge": 1.0}, "devices": ["cpu"], "engines": ["torch"],
        "notices": list(notices),
    }  # fmt: skip


def reported(
    folder,
    stems,
    expressions,
    separations,
    *,
    mix=None,
    gain=1.0,
    source=None,
    clipped=None,
    haves=(),
    references=(),
):
    """Run the stage on these stems ([frames, channels] by name); returns qc.json and provenance.json."""
    for name, audio in {**stems, "mix": mix}.items():
        with wav.create(folder / f"{name}.wav", RATE, 2) as file:
            file.write(audio)
    told = {
        "frames": len(mix), "rate": RATE, "channels": 2, "source_channels": 2, "downmixed": False, "damaged": False, "tags": {"title": "T"},
        "seconds": 2.0, "created": stamp(10),
    }  # fmt: skip
    clipped = dict.fromkeys(stems, 0) | (clipped or {})
    write_json(
        folder / "delivery.json",
        {
            "format": "wav",
            "bit_depth": 16,
            "bitrate": None,
            "gain": gain,
            "clipped_by_delivery": clipped,
            "seconds": 0.5,
            "song": {**told, **(source or {})},
        },
    )
    manifests = {}
    for step, made in separations.items():
        manifests[step] = folder / f"{step}.manifest.json"
        write_json(manifests[step], made)
    given = {}
    for stem, told in dict(haves).items():
        given[stem] = folder / f"{stem}.have.json"
        write_json(given[stem], told)
    true = {}
    for stem, audio in dict(references).items():
        true[stem] = (folder / f"true.{stem}.wav", folder / f"true.{stem}.json")
        with wav.create(true[stem][0], RATE, 2) as file:
            file.write(audio)
        write_json(true[stem][1], {"notices": [f"{stem} was cut."]})
    facts = {
        "references": {stem: {"path": f"true/{stem}.wav", "sha256": "fed", "key": "t", "audio": "a"} for stem in true},
        "haves": {stem: {"path": f"stems/{stem}.mp3", "sha256": "def", "key": "h"} for stem in given},
        "id": "my/song", "path": "songs/my/song.wav", "recipe": "r", "preset": "balanced", "mix": "m",
        "content": {"source": "abc"}, "sha256": "abc", "delivery": {"format": "wav"}, "start": 1.0, "end": None, "expressions": expressions,
    }  # fmt: skip
    report(
        {stem: folder / f"{stem}.wav" for stem in stems},
        folder / "mix.wav", folder / "delivery.json", manifests, given, true,
        folder / "qc.json", folder / "provenance.json", song=facts,
    )  # fmt: skip
    return read_json(folder / "qc.json"), read_json(folder / "provenance.json")


def noise(seed, level=0.2):
    return (np.random.default_rng(seed).uniform(-level, level, (RATE, 2))).astype(np.float32)


VOCALS, DRUMS, MIX = noise(0), noise(1), noise(0) + noise(1) + noise(2, 0.001)
EXPRESSIONS = {
    "vocals": [[1, "k", "vocals"]],
    "drums": [[1, "k", "drums"]],
    "instrumental": [[1, "m", "mix"], [-1, "k", "vocals"]],
}
STEMS = {"vocals": VOCALS, "drums": DRUMS, "instrumental": MIX - VOCALS}
ON_THE_MIX = [[1, "m", "mix"]]


@pytest.fixture
def fresh():
    return {"split": manifest("k", ["vocals", "drums"], ON_THE_MIX, stamp(11), ["fell back"])}


def test_each_stem_is_measured_on_the_delivered_file(tmp_path, fresh):
    quality, _ = reported(tmp_path, STEMS, EXPRESSIONS, fresh, mix=MIX, clipped={"drums": 7})
    measured = quality["stems"]["drums"]
    assert (measured["frames"], measured["rate"], measured["channels"]) == (RATE, RATE, 2)
    assert measured["peak_dbfs"] == pytest.approx(20 * np.log10(np.abs(DRUMS).max()), abs=0.01)
    assert measured["rms_dbfs"] == pytest.approx(10 * np.log10(np.mean(DRUMS.astype(float) ** 2)), abs=0.01)
    assert measured["clipped_by_delivery"] == 7
    assert set(quality["stems"]) == set(STEMS)


def test_residuals_are_those_of_the_sets_that_should_add_up_to_the_mix(tmp_path, fresh):
    quality, _ = reported(tmp_path, STEMS, EXPRESSIONS, fresh, mix=MIX)
    null, split = quality["residuals"]
    assert null["stems"] == ["vocals", "instrumental"]
    assert null["exact"] or null["residual_db"] < -140
    assert split["stems"] == ["vocals", "drums"]
    rest = (MIX - VOCALS - DRUMS).astype(float)
    assert split["residual_db"] == pytest.approx(
        10 * np.log10((rest**2).sum() / (MIX.astype(float) ** 2).sum()), abs=0.01
    )


def test_a_copy_leaves_exactly_nothing(tmp_path):
    separations = {"same": manifest("k", ["copy"], ON_THE_MIX, stamp(11))}
    quality, _ = reported(tmp_path, {"copy": MIX}, {"copy": [[1, "k", "copy"]]}, separations, mix=MIX)
    assert quality["residuals"] == [{"stems": ["copy"], "residual_db": None, "exact": True, "lag": 0}]


def test_a_gain_is_taken_into_account_and_said(tmp_path):
    separations = {"same": manifest("k", ["copy"], ON_THE_MIX, stamp(11))}
    half = {"copy": MIX * np.float32(0.5)}
    quality, _ = reported(tmp_path, half, {"copy": [[1, "k", "copy"]]}, separations, mix=MIX, gain=0.5)
    assert quality["residuals"][0]["exact"]
    assert "turned down by 6.02 dB" in quality["notices"][0]


def test_stems_of_a_step_that_is_not_on_the_mix_are_no_set(tmp_path):
    separations = {"next": manifest("k", ["vocals"], [[1, "j", "other"]], stamp(11))}
    quality, _ = reported(tmp_path, {"vocals": VOCALS}, {"vocals": [[1, "k", "vocals"]]}, separations, mix=MIX)
    assert quality["residuals"] == []


def test_stages_that_were_reused_are_marked_and_do_not_count_as_time_taken(tmp_path, fresh):
    now, _ = reported(tmp_path, STEMS, EXPRESSIONS, fresh, mix=MIX)
    assert now["seconds"]["separate"] == {"seconds": 10.0, "reused": False}
    assert now["real_time_factor"] == pytest.approx(1 / 14.5, abs=0.001)
    fresh["split"]["created"] = stamp(9)
    later, _ = reported(tmp_path, STEMS, EXPRESSIONS, fresh, mix=MIX)
    assert later["seconds"]["separate"] == {"seconds": 10.0, "reused": True}
    assert later["seconds"]["convert"]["reused"] is False
    assert later["real_time_factor"] == pytest.approx(1 / 2.5, abs=0.001)


def test_with_several_steps_the_times_say_which(tmp_path, fresh):
    fresh["again"] = manifest("j", ["copy"], ON_THE_MIX, stamp(11))
    quality, _ = reported(tmp_path, STEMS, EXPRESSIONS, fresh, mix=MIX)
    assert {"split.separate", "again.separate", "convert", "deliver"} <= set(quality["seconds"])


def test_what_a_user_should_know_is_among_the_notices(tmp_path, fresh):
    source = {"source_channels": 6, "downmixed": True, "damaged": True}
    quality, _ = reported(tmp_path, STEMS, EXPRESSIONS, fresh, mix=MIX, source=source)
    assert quality["notices"] == [
        "fell back",
        "The source is damaged; the 1.00 s before that were taken (truncated: accept).",
        "The source has 6 channels; it was downmixed to stereo.",
    ]


def test_provenance_says_where_everything_came_from(tmp_path, fresh):
    _, origin = reported(tmp_path, STEMS, EXPRESSIONS, fresh, mix=MIX)
    assert (origin["song"], origin["source_sha256"]) == ("my/song", "abc")
    assert origin["window"] == {"start": 1.0, "end": None}
    assert origin["mix"] == {"key": "m", "content": {"source": "abc"}}
    assert origin["stems"] == EXPRESSIONS
    assert origin["separations"]["split"]["key"] == "k"
    assert {"unbraid", "numpy", "python"} <= set(origin["versions"])


def test_a_stem_that_was_given_is_told_with_its_file_and_what_was_done_to_it(tmp_path):
    told = {
        "rate": 48000,
        "channels": 1,
        "frames": 9,
        "codec": "mp3",
        "notices": ["was cut"],
        "created": stamp(11),
        "seconds": 1.0,
    }
    expressions = {"vocals": [[1, "h", "have"]], "instrumental": [[1, "m", "mix"], [-1, "h", "have"]]}
    stems = {"vocals": VOCALS, "instrumental": MIX - VOCALS}
    quality, origin = reported(tmp_path, stems, expressions, {}, mix=MIX, haves={"vocals": told})
    given = {"path": "stems/vocals.mp3", "sha256": "def", "key": "h"}
    assert origin["have"] == {"vocals": given}
    assert quality["have"] == {"vocals": {**given, "rate": 48000, "channels": 1, "frames": 9, "codec": "mp3"}}
    assert quality["notices"] == ["was cut"]
    assert quality["seconds"]["vocals.have"] == {"seconds": 1.0, "reused": False}
    assert [rest["stems"] for rest in quality["residuals"]] == [["vocals", "instrumental"]]
    outcome = "\n".join(lines(tmp_path))
    assert "preset balanced, no model" in outcome
    assert "(yours: stems/vocals.mp3)" in outcome


def test_the_outcome_tells_stems_time_factor_residuals_and_notices(tmp_path, fresh):
    stems = {**STEMS, "drums": DRUMS * 0}
    reported(tmp_path, stems, EXPRESSIONS, fresh, mix=MIX)
    told = "\n".join(lines(tmp_path))
    assert "my/song: 1.0 s of audio, preset balanced, model-k on cpu" in told
    assert "took 14.5 s, real-time factor 0.07" in told
    assert f"{tmp_path / 'vocals.wav'}  peak -14.0 dBFS" in told
    assert f"{tmp_path / 'drums.wav'}  silent" in told
    assert "mix − (vocals + drums) = -3.0 dB" in told
    assert "note: fell back" in told


def test_the_outcome_says_when_the_separation_was_reused_and_when_nothing_is_left(tmp_path):
    separations = {"same": manifest("k", ["copy"], ON_THE_MIX, stamp(1))}
    reported(tmp_path, {"copy": MIX}, {"copy": [[1, "k", "copy"]]}, separations, mix=MIX)
    told = "\n".join(lines(tmp_path))
    assert "(the separation was in the store already)" in told
    assert "mix − (copy) = exactly 0" in told
    assert soundfile.info(tmp_path / "copy.wav").frames == RATE


def test_stems_are_measured_against_the_true_ones_and_so_is_the_mix_as_it_was(tmp_path, fresh):
    true = {"vocals": VOCALS + noise(5, 0.02)}
    quality, provenance = reported(tmp_path, STEMS, EXPRESSIONS, fresh, mix=MIX, references=true)
    (scored,) = quality["metrics"].values()
    error = (true["vocals"] - VOCALS).astype(float)
    energy = (true["vocals"].astype(float) ** 2).sum()
    assert scored["sdr_global"] == pytest.approx(10 * np.log10(energy / (error**2).sum()), abs=0.01)
    rest = (true["vocals"] - MIX).astype(float)
    assert scored["mix"]["sdr_global"] == pytest.approx(10 * np.log10(energy / (rest**2).sum()), abs=0.01)
    assert provenance["references"] == {"vocals": {"path": "true/vocals.wav", "sha256": "fed", "key": "t"}}
    assert "vocals was cut." in quality["notices"]


def test_a_gain_of_all_stems_is_no_error_of_theirs(tmp_path, fresh):
    half = {stem: audio * np.float32(0.5) for stem, audio in STEMS.items()}
    true = {"vocals": VOCALS + noise(5, 0.02)}
    (tmp_path / "plain").mkdir()
    plain, _ = reported(tmp_path / "plain", STEMS, EXPRESSIONS, fresh, mix=MIX, references=true)
    quality, _ = reported(tmp_path, half, EXPRESSIONS, fresh, mix=MIX, references=true, gain=0.5)
    assert quality["metrics"] == plain["metrics"]


def test_what_a_page_said_of_earlier_stems_goes(tmp_path, fresh):
    old = [tmp_path / name for name in ("index.html", "passed.json")]
    for file in old:
        file.write_text("old")
    reported(tmp_path, STEMS, EXPRESSIONS, fresh, mix=MIX)
    assert not any(file.exists() for file in old)


def test_stems_within_their_limits_are_not_warned_of(tmp_path, fresh):
    quality, _ = reported(tmp_path, STEMS, EXPRESSIONS, fresh, mix=MIX)
    assert judge(quality, LIMITS) == []


def shifted(audio, samples):
    return np.concatenate([np.zeros((samples, 2), np.float32), audio[:-samples]])


HOLE = np.where(np.arange(RATE)[:, None] == 9, np.nan, 1).astype(np.float32)
BAD = {
    "late": ({**STEMS, "vocals": shifted(VOCALS, 3), "drums": shifted(DRUMS, 3)}, {}, "vocals + drums: late by 3 samples (qc_lag=0)."),
    "residual": ({**STEMS, "drums": DRUMS * 0.2}, {}, "vocals + drums: what they leave of the song is at"),
    "silence": ({**STEMS, "vocals": VOCALS * 0, "instrumental": MIX}, {}, "vocals: 100.0% of it is silent (qc_silence=0.99)."),
    "clipping": (STEMS, {"drums": 11}, "drums: samples that were clipped: 11 (qc_clipped=10)."),
    "numbers": ({**STEMS, "drums": DRUMS * HOLE}, {}, "drums: samples that are no numbers: 2 (limit 0)."),
    "length": ({**STEMS, "drums": DRUMS[:-1]}, {}, "drums: frames: 44099 (limit: 44100, as many as its song)."),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_a_gate_that_fires_names_the_stem_the_number_and_the_limit(tmp_path, fresh, what):
    stems, clipped, words = BAD[what]
    quality, _ = reported(tmp_path, stems, EXPRESSIONS, fresh, mix=MIX, clipped=clipped, references={"drums": DRUMS})
    warnings = judge(quality, LIMITS)
    assert any(warning.startswith(words) for warning in warnings), warnings
    assert judge(quality, None) == []


def test_with_qc_fail_a_song_passes_only_within_its_limits_and_what_was_measured_stays(tmp_path, fresh):
    stems, clipped, _ = BAD["clipping"]
    reported(tmp_path, stems, EXPRESSIONS, fresh, mix=MIX, clipped=clipped)
    quality, output = tmp_path / "qc.json", tmp_path / "passed.json"
    with pytest.raises(
        UnbraidError, match=r"are delivered, but not as they should be \(qc: fail\). drums: samples that"
    ):
        passed(quality, output, limits=LIMITS)
    assert quality.exists()
    assert not output.exists()
    passed(quality, output, limits={**LIMITS, "clipped": 11})
    assert read_json(output) == {"limits": {**LIMITS, "clipped": 11}}


def test_a_song_that_is_silent_itself_has_silent_stems_without_a_warning(tmp_path, fresh):
    silent = {stem: audio * 0 for stem, audio in STEMS.items()}
    quality, _ = reported(tmp_path, silent, EXPRESSIONS, fresh, mix=MIX * 0)
    assert judge(quality, LIMITS) == []
    assert quality["residuals"][0] == {
        "stems": ["vocals", "instrumental"],
        "residual_db": None,
        "exact": True,
        "lag": None,
    }


def test_stems_that_sound_though_their_song_is_silent_are_warned_of(tmp_path, fresh):
    quality, _ = reported(tmp_path, STEMS, EXPRESSIONS, fresh, mix=MIX * 0)
    assert "vocals + drums: they sound where the song is silent, or are no numbers." in judge(quality, LIMITS)
