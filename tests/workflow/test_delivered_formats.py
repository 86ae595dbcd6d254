"""Every format as a user asks for it: by configuration, by a target's extension, or as the song is; nothing is separated twice."""

import json

import numpy as np
import pytest

from flow import Desk, write
from unbraid.audio import encode, formats, stem_mp4, tags
from unbraid.audio.read import read
from unbraid.audio.tags import Tags

SECONDS = 1.5
SONGS = {"high": ("wav", 96000), "mono": ("flac", 48000), "tape": ("mp3", 44100), "phone": ("m4a", 44100)}


def tones(rate, channels, low):
    """Rising tones: what every format keeps."""
    at = np.arange(round(SECONDS * rate)) / rate
    audio = np.stack(
        [0.3 * np.sin(2 * np.pi * low * (1 + channel) * at * (1 + at)) for channel in range(channels)], axis=1
    )
    return audio.astype(np.float32)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A working directory with songs of several formats and rates."""
    desk = Desk(tmp_path_factory.mktemp("formats"))
    for number, (song, (name, rate)) in enumerate(SONGS.items()):
        audio = tones(rate, 1 if song == "mono" else 2, 200 + 50 * number)
        path = desk.songs / f"{song}.{name}"
        if formats.FORMATS[name].lossy:
            with encode.create(path, name, rate, audio.shape[1], bits=None, bitrate=None) as put:
                put(audio)
        else:
            write(path, audio, rate)
    tags.write(desk.songs / "tape.mp3", "mp3", Tags({"title": "A tape", "artist": "Somebody"}))
    return desk


def quality(desk, song):
    return json.loads((desk.path / f"results/{song}/qc.json").read_text())


def test_all_formats_of_all_songs_are_as_long_as_the_song_and_separated_once(desk):
    desk.good()
    for name in formats.FORMATS:
        run = desk.good(format=name, bitrate="160k")
        assert {"separate", "merge_identity"} & run.ran.keys() == set()
        for song, (_, rate) in SONGS.items():
            held = formats.nearest_rate(name, rate)
            found, channels, blocks = read(desk.path / f"results/{song}/copy.{name}")
            told = quality(desk, song)
            assert (found, channels) == (held, 1 if song == "mono" else 2)
            assert sum(map(len, blocks)) == round(SECONDS * held) == told["stems"]["copy"]["frames"]
            assert (told["format"], told["rate"]) == (name, rate)
            assert told["bitrate"] == (160_000 if formats.FORMATS[name].lossy else None)
            # The identity's stem is the mix: what is left is what the format loses.
            (residual,) = told["residuals"]
            assert residual["exact"] or residual["residual_db"] < -20
        assert tags.read(desk.path / f"results/tape/copy.{name}").text == {
            "title": "A tape (copy)",
            "artist": "Somebody",
        }
        assert not tags.read(desk.path / f"results/mono/copy.{name}")
        assert desk.good(format=name, bitrate="160k").idle


def test_the_same_format_as_the_song_and_another_by_its_name(desk):
    desk.good(format="same")
    for song, (name, _) in SONGS.items():
        assert quality(desk, song)["format"] == name
    desk.good("results/high/copy.opus")
    found, _, blocks = read(desk.path / "results/high/copy.opus")
    assert found == 48000
    assert np.isfinite(np.concatenate(list(blocks))).all()


def test_a_lossless_formats_depth_is_no_reason_to_encode_a_lossy_one_again(desk):
    desk.good(format="mp3")
    assert desk.good(format="mp3", bit_depth="24").idle
    assert desk.good(format="mp3", bitrate="96k").ran["deliver_identity"] == len(SONGS)


FOUR = """
four:
  steps:
    same: {model: identity, input: mix}
  stems: {drums: same.copy, bass: mix - same.copy, other: same.residual, vocals: same.copy}
"""


def test_songs_with_four_stems_have_a_file_for_djs(desk):
    (desk.path / "config").mkdir(exist_ok=True)
    (desk.path / "config/recipes.yaml").write_text(FOUR)
    desk.good()
    run = desk.good("stem_mp4s", recipe="four")
    assert run.ran["stem_mp4"] == len(SONGS)
    assert {"separate", "merge_identity", "deliver_four"} & run.ran.keys() == set()
    for song in SONGS:
        told = stem_mp4.described(desk.path / f"results/{song}/{stem_mp4.FILE}")
        assert [stem["name"] for stem in told["stems"]] == ["Drums", "Bass", "Other", "Vocals"]
    assert tags.read(desk.path / f"results/tape/{stem_mp4.FILE}").text["title"] == "A tape"
    assert desk.good("stem_mp4s", recipe="four").idle
    refused = desk.run(f"results/tape/{stem_mp4.FILE}")
    assert refused.code != 0
    assert f"delivers no '{stem_mp4.FILE}' of the song 'tape'" in refused.text


def test_files_have_names_from_their_tags_beside_the_default_ones(desk):
    desk.good("named", format="mp3")
    folder = desk.path / "results/by name"
    assert sorted(path.name for path in folder.glob("[!.]*")) == [
        *("Somebody - A tape (copy).mp3", "high (copy).mp3", "mono (copy).mp3", "phone (copy).mp3"),
    ]
    assert desk.good("named", format="mp3").idle
    desk.good("named", format="mp3", names="{title}/{stem}")
    assert (folder / "A tape/copy.mp3").exists()
    assert not (folder / "mono (copy).mp3").exists()
    assert desk.good(format="mp3").idle
