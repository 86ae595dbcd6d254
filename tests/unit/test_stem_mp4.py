"""Stem files: five tracks of the song's length, the mix first, and the box that DJ software looks for, beside tags and cover."""

import shutil

import av
import mutagen.mp4
import numpy as np
import pytest
from av.stream import Disposition

from test_formats import lag, sweep
from test_tags import COVERS, tagged
from unbraid.audio import stem_mp4, tags, wav
from unbraid.audio.decode import to_float
from unbraid.audio.tags import Tags
from unbraid.errors import UnbraidError
from unbraid.files import sha256
from unbraid.setup import demo_path
from unbraid.stages.convert import convert
from unbraid.stages.stem_mp4 import write

SAID = Tags({"title": "T", "artist": "A", "track": "3/12"}, COVERS["image/jpeg"], "image/jpeg")


def made(tmp_path, rate=44100, channels=2, level=1.0, clip="scale", said=SAID):
    """A stem file of a song whose stems are a half, a quarter, an eighth of it, and a tone of their own; and what went in."""
    audio = sweep(rate, channels, rate + 777) * np.float32(level)
    with wav.create(tmp_path / "song.wav", rate, channels) as file:
        file.write(audio)
    if said:
        tags.write(tmp_path / "song.wav", "wav", said)
    mix, info = tmp_path / "mix.wav", tmp_path / "mix.json"
    convert(
        tmp_path / "song.wav", mix, info, digest=sha256(tmp_path / "song.wav"), start=None, end=None, truncated="error"
    )
    parts, stems = {}, {}
    for index, stem in enumerate(stem_mp4.STEMS):
        parts[stem] = audio * np.float32(0.5 ** (index + 1))
        with wav.create(tmp_path / f"{stem}.wav", rate, channels) as file:
            file.write(parts[stem])
        stems[stem] = [(1, tmp_path / f"{stem}.wav")]
    output = tmp_path / stem_mp4.FILE
    write(mix, stems, info, output, clip=clip, source=tmp_path / "song.wav")
    return output, [audio, *parts.values()]


def heard(path):
    """The tracks' audio, as long as the file says that each is."""
    found = []
    with av.open(str(path)) as file:
        count = len(file.streams.audio)
        rate = file.streams.audio[0].codec_context.sample_rate
    for index in range(count):
        with av.open(str(path)) as file:
            frames = list(file.decode(file.streams.audio[index]))
            last = round(frames[-1].duration * frames[-1].time_base * rate)
            found.append(np.concatenate([*map(to_float, frames[:-1]), to_float(frames[-1])[:last]]))
    return rate, found


@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (48000, 1), (44100, 1)])
def test_the_tracks_are_the_mix_and_the_stems_in_their_order_as_long_as_the_song(tmp_path, rate, channels):
    path, given = made(tmp_path, rate, channels)
    found, tracks = heard(path)
    assert found == rate
    assert len(tracks) == 5
    for track, audio in zip(tracks, given, strict=True):
        assert track.shape == (len(audio), 2)
        assert lag(track, audio) == 0
        assert np.sqrt(np.mean((track - audio) ** 2)) < 0.06 * np.sqrt(np.mean(audio**2))
    with av.open(str(path)) as file:
        default = [bool(stream.disposition & Disposition.default) for stream in file.streams.audio]
    assert default == [True, False, False, False, False]


def test_a_song_of_another_rate_is_resampled(tmp_path):
    path, (audio, *_) = made(tmp_path, 96000)
    rate, tracks = heard(path)
    assert rate == 48000
    assert {len(track) for track in tracks} == {-(-len(audio) // 2)}


def test_dj_software_finds_names_and_colours_and_players_tags_and_cover(tmp_path):
    path, _ = made(tmp_path)
    told = stem_mp4.described(path)
    assert [stem["name"] for stem in told["stems"]] == ["Drums", "Bass", "Other", "Vocals"]
    assert len({stem["color"] for stem in told["stems"]}) == 4
    assert told["version"] == 1
    # As in the file of the demo song, which was made elsewhere.
    with open(demo_path(), "rb") as file:
        content = file.read()
    at = content.index(b"stem{") + 4
    demo = content[at : content.index(b"]}", at) + 2]
    assert told.keys() == stem_mp4.json.loads(demo).keys()
    assert told["mastering_dsp"].keys() == stem_mp4.json.loads(demo)["mastering_dsp"].keys()
    assert tags.read(path) == SAID
    assert mutagen.mp4.MP4(path)["trkn"] == [(3, 12)]
    tags.write(path, "m4a", Tags({"title": "Another"}))
    assert stem_mp4.described(path) == told  # who changes the tags afterwards leaves the box


def test_the_same_song_gives_the_same_bytes_and_one_that_says_nothing_has_no_tags(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    first, _ = made(tmp_path / "a", said=None)
    second, _ = made(tmp_path / "b", said=None)
    assert first.read_bytes() == second.read_bytes()
    assert not tags.read(first)
    assert stem_mp4.described(first)


def test_what_passes_full_scale_is_turned_down_with_all_or_is_an_error(tmp_path):
    path, (audio, *_) = made(tmp_path, level=2.0)
    _, tracks = heard(path)
    peak = np.abs(audio).max()
    for track, factor in zip(tracks, (1, 0.5, 0.25), strict=False):
        assert np.sqrt(np.mean((track - audio * factor / peak) ** 2)) < 0.03
    with pytest.raises(UnbraidError, match="which a stem file cannot hold"):
        made(tmp_path, level=2.0, clip="error")


def test_a_file_of_another_kind_has_no_such_box(tmp_path):
    assert stem_mp4.described(tagged(tmp_path / "a.m4a", Tags())) is None
    (tmp_path / "b").write_bytes(stem_mp4._box(b"moov", b"") + stem_mp4._box(b"mdat", b"x"))
    with pytest.raises(ValueError, match="not moov"):
        stem_mp4.describe(tmp_path / "b", stem_mp4.STEMS)
    long = (1).to_bytes(4, "big") + b"mdat" + (17).to_bytes(8, "big") + b"x"
    (tmp_path / "c").write_bytes(long + stem_mp4._box(b"moov", stem_mp4._box(b"udta", stem_mp4._box(b"stem", b"{}"))))
    assert stem_mp4.described(tmp_path / "c") == {}


def test_a_recipe_has_the_stems_of_such_a_file_or_not():
    assert stem_mp4.fits(["vocals", "drums", "bass", "other", "instrumental"])
    assert not stem_mp4.fits(["vocals", "instrumental"])


def test_stempeg_reads_the_tracks_with_their_names(tmp_path):
    if not (shutil.which("ffmpeg") and shutil.which("ffprobe")):
        pytest.skip("stempeg needs the programs ffmpeg and ffprobe, which are not installed")
    import stempeg

    path, given = made(tmp_path)
    tracks, rate = stempeg.read_stems(str(path))
    assert rate == 44100
    assert len(tracks) == 5
    for track, audio in zip(tracks, given, strict=True):
        # ffmpeg plays what fills the last frame of AAC too.
        assert 0 <= len(track) - len(audio) < 1024
        assert np.sqrt(np.mean((track[: len(audio)] - audio) ** 2)) < 0.06 * np.sqrt(np.mean(audio**2))
    assert stempeg.Info(str(path)).title_streams == ["mix", *stem_mp4.STEMS]
