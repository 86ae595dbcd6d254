"""What a song's file says of itself is kept in every format: read with ffmpeg's libraries, and what they do not read, with mutagen."""

import struct
import zlib
from types import SimpleNamespace

import mutagen
import numpy as np
import pytest
import soundfile
from mutagen.id3 import ID3, TIT2, TXXX

from test_formats import sweep, write
from unbraid.audio import formats, tags
from unbraid.audio.decode import Decoder
from unbraid.audio.read import read
from unbraid.audio.tags import Tags
from unbraid.files import sha256
from unbraid.stages.convert import convert
from unbraid.stages.deliver import deliver

TEXT = {
    "title": "Ünï ✓ (live)", "artist": "A; B", "album": "An album", "album_artist": "Various", "track": "3/12", "disc": "1/2",
    "date": "2024", "genre": "Jazz", "composer": "C", "copyright": "(c) D", "publisher": "E", "bpm": "120", "key": "Am",
}  # fmt: skip
JPEG = bytes.fromhex(
    "ffd8ffe000104a46494600010100000100010000ffdb004300"
    + "01" * 64
    + "ffc0000b080008000801011100ffc4001f0000010501010101"
    "010100000000000000000102030405060708090a0bffc400b5100002010303020403050504040000017d01020300041105122131410613516107"
    "227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a3435363738393a434445464748494a535455565758595a63"
    "6465666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9"
    "cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9faffda0008010100003f00fbd0ffd9"
)


def png():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes([row * 9, 50, 90] * 16) for row in range(16))
    head = struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


COVERS = {"image/png": png(), "image/jpeg": JPEG}


def tagged(path, said, frames=50_001):
    """A song with tags, of the format that its name ends with."""
    rate = formats.nearest_rate(path.suffix[1:], 44100)
    write(path, sweep(rate, 2, frames), rate)
    tags.write(path, path.suffix[1:], said)
    return path


@pytest.mark.parametrize("mime", COVERS)
@pytest.mark.parametrize("name", formats.FORMATS)
def test_text_and_cover_are_read_back_and_cost_no_sample(tmp_path, name, mime):
    song = tagged(tmp_path / f"a.{name}", Tags(TEXT, COVERS[mime], mime))
    found = tags.read(song)
    bpm = mutagen.File(song)["tmpo"] if name == "m4a" else None  # which ffmpeg does not tell
    assert found == Tags({key: value for key, value in TEXT.items() if key != "bpm" or not bpm}, COVERS[mime], mime)
    assert bpm in (None, [120])
    assert sum(map(len, read(song)[2])) == 50_001
    with Decoder(song) as decoder:
        assert sum(map(len, decoder)) == 50_001
    again = tagged(tmp_path / f"b.{name}", Tags(TEXT, COVERS[mime], mime))
    assert again.read_bytes() == song.read_bytes()


@pytest.mark.parametrize("name", formats.FORMATS)
def test_a_song_that_says_nothing_has_stems_that_say_nothing(tmp_path, name):
    rate = formats.nearest_rate(name, 44100)
    path = tmp_path / f"a.{name}"
    write(path, sweep(rate, 1, 5000), rate)
    assert not tags.read(path)


def test_loudness_and_what_else_is_the_mixs_is_not_kept(tmp_path):
    song = tagged(tmp_path / "a.mp3", Tags({"title": "T"}))
    frames = ID3(song)
    frames.add(TXXX(encoding=3, desc="REPLAYGAIN_TRACK_GAIN", text=["-7.0 dB"]))
    frames.add(TXXX(encoding=3, desc="iTunNORM", text=["00001"]))
    frames.save(song)
    assert tags.read(song) == Tags({"title": "T"})


def test_of_several_values_the_first_is_kept_and_none_is_endless(tmp_path):
    song = tagged(tmp_path / "a.mp3", Tags({"artist": "x" * 5000}))
    frames = ID3(song)
    frames.add(TIT2(encoding=3, text=["one", "two"]))
    frames.save(song, v2_version=4)
    found = tags.read(song).text
    assert found["title"].startswith("one")
    assert found["artist"] == "x" * tags.LONGEST


@pytest.mark.parametrize(
    ("written", "date"),
    [("2024", "2024"), ("2024-05", "2024-05"), ("2024-05-06", "2024-05-06"), ("20240506", "2024-05-06"), ("202405", "2024-05"),
     ("2024-05-06T12:00:00Z", "2024-05-06"), ("May 2024", "2024"), ("06.05.2024", "2024"), ("1 2", None), ("soon", None)],
)  # fmt: skip
def test_a_date_is_kept_however_it_was_written(tmp_path, written, date):
    song = tagged(tmp_path / "a.flac", Tags({"title": "T", "date": written}), 3000)
    assert tags.read(song).text.get("date") == date
    if date:
        for name in formats.FORMATS:
            found = tags.read(tagged(tmp_path / f"b.{name}", tags.read(song), 3000)).text["date"]
            assert date.startswith(found)
            assert found.startswith(date[:4])


def test_a_date_says_more_than_a_year_and_a_label_is_a_publisher(tmp_path):
    for order in (("year", "date"), ("date", "year")):
        song = tagged(tmp_path / "a.flac", Tags(), 3000)
        file = mutagen.File(song)
        file.add_tags() if file.tags is None else None
        for name in order:
            file[name] = {"year": "1999", "date": "2001-02-03"}[name]
        file["label"] = "L"
        file.save()
        assert tags.read(song) == Tags({"date": "2001-02-03", "publisher": "L"})


@pytest.mark.parametrize("track", ["A1", "7", "0/0", "99999/-1", "²", "nan/inf"])
def test_numbers_that_are_none_do_no_harm(tmp_path, track):
    said = {"track": track, "disc": track, "bpm": track, "title": "T"}
    for name in formats.FORMATS:
        assert tags.read(tagged(tmp_path / f"a.{name}", Tags(said), 3000)).text["title"] == "T"


def test_a_stem_is_named_behind_the_title():
    cover = Tags({"title": "T", "artist": "A"}, b"x", "image/png")
    assert cover.of_stem("vocals", "song") == Tags({"title": "T (vocals)", "artist": "A"}, b"x", "image/png")
    assert Tags({"artist": "A"}).of_stem("vocals", "song").text == {"title": "song (vocals)", "artist": "A"}


def test_a_file_that_takes_no_tags_is_a_warning_and_a_full_disk_an_error(tmp_path, caplog, monkeypatch):
    with soundfile.SoundFile(tmp_path / "a.wav", "w", 44100, 1, "PCM_16", format="RF64") as file:
        file.write(np.zeros(10, np.float32))
    before = (tmp_path / "a.wav").read_bytes()
    tags.write(tmp_path / "a.wav", "wav", Tags({"title": "T"}))
    assert "cannot be written into this wav file" in caplog.text
    assert (tmp_path / "a.wav").read_bytes() == before
    write(tmp_path / "b.wav", sweep(44100, 1, 10), 44100)
    monkeypatch.setattr("pathlib.Path.stat", lambda path, **named: SimpleNamespace(st_size=2**32 - 2**19))
    tags.write(tmp_path / "b.wav", "wav", Tags({"title": "T"}))
    assert "it is as long as a wav file can be" in caplog.text
    monkeypatch.undo()
    song = tagged(tmp_path / "a.mp3", Tags())

    def full(*given, **named):
        try:
            raise OSError(28, "No space left on device")
        except OSError as error:
            raise mutagen.MutagenError(error) from error

    monkeypatch.setattr(ID3, "save", full)
    with pytest.raises(OSError, match="No space"):
        tags.write(song, "mp3", Tags({"title": "T"}))


def test_stems_carry_the_songs_tags(tmp_path):
    song = tagged(tmp_path / "song.flac", Tags(TEXT, COVERS["image/png"], "image/png"))
    mix, info = tmp_path / "mix.wav", tmp_path / "mix.json"
    convert(song, mix, info, digest=sha256(song), start=None, end=None, truncated="error")
    stems = {stem: [(1, mix)] for stem in ("vocals", "drums")}
    outputs = {stem: tmp_path / "results" / f"{stem}.mp3" for stem in stems}
    deliver(
        stems, info, outputs, tmp_path / "r.json", bit_depth=None, bitrate=None, clip="scale",
        source=song,
    )  # fmt: skip
    for stem, path in outputs.items():
        found = tags.read(path)
        assert found.text == {**TEXT, "title": f"Ünï ✓ (live) ({stem})"}
        assert found.cover == COVERS["image/png"]
