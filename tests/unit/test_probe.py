"""Probing, checked against how the samples were made and what decoding them gives."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

import unbraid
from audio_samples import SAMPLES, as_nobody, encode, half, music, video_only, write
from unbraid import files
from unbraid.audio import probe as probing
from unbraid.audio.decode import Decoder
from unbraid.audio.probe import Probe, Probes, probe
from unbraid.errors import UnbraidError


@pytest.fixture
def song(tmp_path):
    return write(tmp_path / "song.flac", music(20_000), 44100, "PCM_24")


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_duration_rate_and_channels_are_found_without_decoding(sample, tmp_path):
    path = sample.file(tmp_path)
    found = probe(path)
    with Decoder(path) as decoder:
        decoded = sum(len(block) for block in decoder)
    assert (found.rate, found.channels) == (sample.rate, sample.channels)
    assert found.duration == pytest.approx(decoded / sample.rate, abs=0.05)
    assert found.sha256 == files.sha256(path)
    assert found.lossy is not sample.lossless
    if sample.lossless and path.suffix != ".mkv":  # Matroska counts in milliseconds
        assert found.frames == decoded


@pytest.mark.parametrize(
    ("name", "subtype", "bits", "is_float"),
    [
        ("a.wav", "PCM_U8", 16, False),
        ("a.wav", "PCM_16", 16, False),
        ("a.wav", "PCM_24", 24, False),
        ("a.wav", "PCM_32", 32, False),
        ("a.wav", "FLOAT", None, True),
        ("a.wav", "DOUBLE", None, True),
        ("a.wav", "ULAW", None, False),
        ("a.aiff", "PCM_S8", 16, False),
        ("a.aiff", "PCM_24", 24, False),
        ("a.flac", "PCM_S8", 16, False),
        ("a.flac", "PCM_16", 16, False),
        ("a.flac", "PCM_24", 24, False),
        ("a.caf", "ALAC_16", 16, False),
        ("a.caf", "ALAC_20", 24, False),
        ("a.caf", "ALAC_32", 32, False),
        ("a.ogg", "VORBIS", None, False),
    ],
)
def test_the_bit_depth_is_the_least_that_holds_the_source(tmp_path, name, subtype, bits, is_float):
    found = probe(write(tmp_path / name, music(5000), 44100, subtype))
    assert (found.bit_depth, found.is_float) == (bits, is_float)
    assert found.lossy is (subtype in ("ULAW", "VORBIS"))


def test_a_cut_song_lasts_as_long_as_what_is_left(tmp_path):
    path = half(write(tmp_path / "a.wav", music(44100), 44100, "PCM_16"))
    found = probe(path)
    assert found.frames == 44100
    assert found.duration == pytest.approx(0.5, abs=0.01)


def test_the_duration_of_a_bare_vbr_mp3_is_that_of_its_packets(tmp_path):
    audio = music(44100 * 4)
    audio[44100 * 2 :] = 0  # so that a guess from the bit rate of the beginning is far off
    path = encode(tmp_path / "a.mp3", audio, 44100, "libmp3lame", options={"q": "0"}, muxer={"write_xing": "0"})
    assert probe(path).duration == pytest.approx(4.0, abs=0.06)


def bad_files(folder: Path) -> dict[str, Path]:
    """Files that are no songs, by what the message must say."""
    (folder / "text.mp3").write_text("These are the words of the song.\n" * 100)
    (folder / "empty.mp3").touch()
    (folder / "song.mp3").mkdir()
    (folder / "dangling.mp3").symlink_to(folder / "gone.mp3")
    soundfile.write(folder / "zero.wav", np.zeros((0, 2)), 44100)
    os.mkfifo(folder / "pipe.mp3")
    write(folder / "real.wav", music(100), 44100, "PCM_16")
    (folder / "list.mp3").write_text("ffconcat version 1.0\nfile real.wav\n")
    return {
        "is not there": folder / "missing.mp3",
        "is a link to": folder / "dangling.mp3",
        "is a folder": folder / "song.mp3",
        "is empty": folder / "empty.mp3",
        "is not audio": folder / "text.mp3",
        "no audio stream": video_only(folder / "video.mp4"),
        "zero length": folder / "zero.wav",
        "device or pipe": folder / "pipe.mp3",
        "not audio that can be read": folder / "list.mp3",
    }


@pytest.mark.parametrize(
    "what",
    [
        "is not there",
        "is a link to",
        "is a folder",
        "is empty",
        "is not audio",
        "no audio stream",
        "zero length",
        "device or pipe",
        "not audio that can be read",
    ],
)
def test_what_is_no_song_is_an_error_that_names_it_and_says_what_to_do(tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)  # where a playlist by another name would find its files
    path = bad_files(tmp_path)[what]
    with pytest.raises(UnbraidError, match=what) as caught:
        probe(path)
    assert str(path) in caught.value.what
    assert caught.value.remedy
    remembered = Probes(tmp_path / "memo").get(path)
    assert isinstance(remembered, UnbraidError)
    assert str(remembered) == str(caught.value)


def test_a_file_or_folder_that_may_not_be_read_is_an_error_that_says_so():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        path = write(folder / "song.wav", music(100), 44100, "PCM_16")
        path.chmod(0)
        (folder / "closed").mkdir()
        inner = Path(shutil.copy(path, folder / "closed" / "song.wav"))
        (folder / "closed").chmod(0)
        for place in (path, inner):
            said = as_nobody(lambda place=place: probe(place))
            assert said.startswith(f"UnbraidError: {place} may not be read")
        assert as_nobody(lambda: list(Decoder(path))).startswith(f"UnbraidError: {path} may not be read")
        (folder / "closed").chmod(0o755)


def test_a_codec_that_cannot_be_decoded_is_an_error_that_says_so(tmp_path):
    path = write(tmp_path / "a.wav", music(1000), 44100, "PCM_16")
    data = bytearray(path.read_bytes())
    at = data.index(b"fmt ") + 8
    data[at : at + 2] = (0x1234).to_bytes(2, "little")  # a format tag that nobody has taken
    path.write_bytes(data)
    with pytest.raises(UnbraidError, match="cannot decode"):
        probe(path)


def test_a_known_song_is_not_read_again(song, tmp_path, monkeypatch):
    first = Probes(tmp_path / "memo").get(song)
    assert isinstance(first, Probe)
    monkeypatch.setattr(files, "sha256", lambda path: pytest.fail("hashed again"))
    monkeypatch.setattr(probing, "open_source", lambda path: pytest.fail("opened again"))
    assert Probes(tmp_path / "memo").get(str(song)) == first
    monkeypatch.chdir(song.parent)
    assert Probes(tmp_path / "memo").get("song.flac") == first
    assert Probes(tmp_path / "memo").sha256(song) == first.sha256


def test_an_error_is_found_out_again_without_hashing_the_file_again(tmp_path, monkeypatch):
    path = bad_files(tmp_path)["is not audio"]
    first = Probes(tmp_path / "memo").get(path)
    monkeypatch.setattr(files, "sha256", lambda path: pytest.fail("hashed again"))
    assert str(Probes(tmp_path / "memo").get(path)) == str(first)


def test_a_known_song_costs_no_heavy_import(song, tmp_path):
    Probes(tmp_path / "memo").get(song)
    code = (
        "import sys; from pathlib import Path; from unbraid.audio.probe import Probes\n"
        f"print(Probes(Path({str(tmp_path / 'memo')!r})).get({str(song)!r}).codec)\n"
        "print(sorted({'av', 'numpy', 'soundfile', 'torch'} & set(sys.modules)))"
    )
    library = Path(unbraid.__file__).parents[1]
    shown = subprocess.run([sys.executable, "-c", code], cwd=library, capture_output=True, text=True, check=True)
    assert shown.stdout == "flac\n[]\n"


@pytest.mark.parametrize("change", ["bytes", "time"])
def test_a_song_that_changed_is_probed_again(song, tmp_path, change):
    probes = Probes(tmp_path / "memo")
    first = probes.get(song)
    if change == "bytes":
        write(song, music(30_000), 44100, "PCM_24")
        assert probes.get(song).frames == 30_000
        assert probes.sha256(song) == files.sha256(song) != first.sha256
    else:
        data = bytearray(song.read_bytes())
        data[-1] ^= 1
        stat = song.stat()
        song.write_bytes(data)
        os.utime(song, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
        assert probes.sha256(song) == files.sha256(song) != first.sha256


def test_a_song_that_is_written_while_it_is_hashed_is_not_remembered(song, tmp_path, monkeypatch):
    hash_of = files.sha256

    def meanwhile(path):
        found = hash_of(path)
        write(song, music(30_000), 44100, "PCM_24")
        return found

    probes = Probes(tmp_path / "memo")
    monkeypatch.setattr(files, "sha256", meanwhile)
    probes.get(song)
    monkeypatch.undo()
    assert not (tmp_path / "memo").exists()
    assert probes.sha256(song) == files.sha256(song)


def broken_memos(good: str) -> list[str]:
    memo = json.loads(good)
    return [
        "",
        "{",
        "[]",
        "null",
        json.dumps({**memo, "version": 0}),
        json.dumps({**memo, "sha256": "1234"}),
        json.dumps({**memo, "probe": {"rate": 44100}}),
        json.dumps({**memo, "probe": 5}),
        json.dumps({"version": memo["version"]}),
    ]


@pytest.mark.parametrize("number", range(9))
def test_a_memo_that_is_broken_or_of_another_version_is_made_again(song, tmp_path, number):
    probes = Probes(tmp_path / "memo")
    first = probes.get(song)
    (memo,) = (tmp_path / "memo").iterdir()
    good = memo.read_text()
    memo.write_text(broken_memos(good)[number])
    assert probes.get(song) == first
    assert memo.read_text() == good


def test_a_folder_that_cannot_be_written_costs_only_time(song, tmp_path):
    (tmp_path / "memo").touch()  # a file where the folder should be: not even root can write there
    assert Probes(tmp_path / "memo").get(song) == probe(song)
    assert Probes(tmp_path / "memo").sha256(song) == files.sha256(song)


def test_any_file_has_a_remembered_sha256_and_may_later_be_probed(song, tmp_path):
    probes = Probes(tmp_path / "memo")
    assert probes.sha256(song) == files.sha256(song)
    assert probes.get(song) == probe(song)
    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"\0" * 1000)
    assert probes.sha256(weights) == files.sha256(weights)
    assert isinstance(probes.sha256(tmp_path / "none"), UnbraidError)


def test_a_disk_that_fails_while_reading_is_an_error_that_says_so(song, tmp_path, monkeypatch):
    def failing(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(files, "sha256", failing)
    found = Probes(tmp_path / "memo").get(song)
    assert isinstance(found, UnbraidError)
    assert "cannot be read (Input/output error)" in found.what
    assert not (tmp_path / "memo").exists()


def test_names_in_any_script_with_colons_and_bytes_that_are_no_text_are_songs(song, tmp_path):
    expected = probe(song)
    for name in ["concat:a|b %d.flac", "-ü 曲 'x' [1]{2}.flac", "http:nowhere.flac", os.fsdecode(b"x\xff.flac")]:
        copied = shutil.copy(song, tmp_path / name)
        assert Probes(tmp_path / "memo").get(copied) == expected
    undecodable = tmp_path / os.fsdecode(b"y\xff.mp3")
    undecodable.write_text("words")
    assert isinstance(Probes(tmp_path / "memo").get(undecodable), UnbraidError)


def test_a_memo_holds_what_the_probe_holds(song, tmp_path):
    found = Probes(tmp_path / "memo").get(song)
    (memo,) = (tmp_path / "memo").iterdir()
    kept = json.loads(memo.read_text())
    assert {"sha256": kept["sha256"], **kept["probe"]} == dataclasses.asdict(found)


def test_an_error_that_has_gone_away_is_forgotten(tmp_path, song, monkeypatch):
    from unbraid.audio import probe as module

    probes = Probes(tmp_path / "memo")
    with monkeypatch.context() as patched:
        patched.setattr(
            module, "_probe", lambda path, sha256: (_ for _ in ()).throw(UnbraidError("No.", remedy="Yes."))
        )
        assert isinstance(probes.get(song), UnbraidError)
    assert not isinstance(probes.get(song), UnbraidError)
