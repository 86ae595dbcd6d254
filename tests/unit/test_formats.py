"""Delivered files in every format: as long as the song, without a lag, the same bytes every time; and which format a song gets."""

import errno
import os
import resource
import typing
from pathlib import Path

import numpy as np
import pytest
import scipy.signal

from unbraid import config
from unbraid.audio import encode, formats, wav
from unbraid.audio.decode import Decoder
from unbraid.audio.read import read
from unbraid.audio.resample import resample
from unbraid.errors import UnbraidError
from unbraid.setup import demo_path
from unbraid.stages.deliver import quantise

BLOCK = 65536


def sweep(rate, channels, frames):
    """Rising tones, another in each channel, with a click in the middle."""
    at = np.arange(frames) / rate
    audio = np.stack([0.3 * np.sin(2 * np.pi * base * at * (1 + at / 4)) for base in (440, 550)[:channels]], axis=1)
    audio[frames // 2] += 0.5
    return audio.astype(np.float32)


def write(path, audio, rate, bitrate=None):
    name = path.suffix[1:]
    bits = 16 if name == "flac" else None
    with encode.create(path, name, rate, audio.shape[1], bits=bits, bitrate=bitrate) as put:
        for at in range(0, len(audio), BLOCK):
            block = audio[at : at + BLOCK]
            put(quantise(block, bits)[0] if bits else block)


def lag(heard, audio):
    """Frames by which the one lags behind the other, by their correlation."""
    count = min(len(heard), len(audio))
    match = scipy.signal.correlate(heard[:count, 0], audio[:count, 0], method="fft")
    return int(np.argmax(match)) - (count - 1)


@pytest.mark.parametrize("bitrate", [None, 128_000], ids=["best", "128k"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [22050, 44100, 48000, 96000])
@pytest.mark.parametrize("name", formats.FORMATS)
def test_a_file_is_as_long_as_what_went_in_and_has_no_lag(tmp_path, name, rate, channels, bitrate):
    held = formats.nearest_rate(name, rate)
    audio = sweep(held, channels, 3 * held + 1234)
    path = tmp_path / f"50% it's: ü.{name}"
    write(path, audio, held, bitrate if formats.FORMATS[name].lossy else None)
    found, count, blocks = read(path)
    heard = np.concatenate(list(blocks))
    assert (found, count) == (held, channels)
    assert heard.shape == audio.shape
    assert lag(heard, audio) == 0
    # The lossy ones are no further off than they may be.
    assert np.sqrt(np.mean((heard - audio) ** 2)) < (0.03 if formats.FORMATS[name].lossy else 2**-15)


@pytest.mark.parametrize("name", [name for name in formats.FORMATS if name != "ogg"])
@pytest.mark.parametrize("rate", [22050, 44100, 48000])
def test_every_length_is_kept_wherever_it_ends_within_a_frame(tmp_path, name, rate):
    held = formats.nearest_rate(name, rate)
    path = tmp_path / f"a.{name}"
    for frames in (*range(23040, 23060), *(23040 + rest for rest in (46, 47, 100, 576, 1000, 1023, 1024, 1151))):
        write(path, sweep(held, 1, frames), held)
        with Decoder(path) as decoder:
            assert sum(map(len, decoder)) == frames


@pytest.mark.parametrize("name", formats.FORMATS)
def test_equal_audio_is_equal_bytes(tmp_path, name):
    rate = formats.nearest_rate(name, 44100)
    for path in (tmp_path / f"a.{name}", tmp_path / f"b.{name}"):
        write(path, sweep(rate, 2, 200_000), rate)
    assert (tmp_path / f"a.{name}").read_bytes() == (tmp_path / f"b.{name}").read_bytes()


@pytest.mark.parametrize("name", ["mp3", "ogg", "opus", "m4a"])
def test_a_bitrate_is_kept_about_and_auto_is_better(tmp_path, name):
    rate = formats.nearest_rate(name, 44100)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (10 * rate, 2)).astype(np.float32)
    found = {}
    for bitrate in (96_000, 160_000, None):
        path = tmp_path / f"a.{name}"
        write(path, noise, rate, bitrate)
        found[bitrate] = path.stat().st_size * 8 / 10
    assert found[96_000] < found[160_000] < found[None]
    assert found[160_000] == pytest.approx(160_000, rel=0.25)


@pytest.mark.parametrize("name", formats.FORMATS)
def test_a_full_disk_is_an_error_that_says_so(tmp_path, name):
    rate = formats.nearest_rate(name, 44100)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (rate * 30, 2)).astype(np.float32)
    child = os.fork()
    if not child:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
            write(tmp_path / f"a.{name}", noise, rate)
        except OSError as error:
            os._exit(error.errno or 0)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == errno.EFBIG


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 12000, 24000, 44100, 192000])
@pytest.mark.parametrize("name", ["mp3", "ogg", "opus", "m4a"])
@pytest.mark.parametrize("bitrate", [1000, 999_000])
def test_a_bitrate_that_a_file_cannot_have_becomes_the_nearest(tmp_path, name, rate, channels, bitrate):
    held = formats.nearest_rate(name, rate)
    found = formats.held_bitrate(name, bitrate, held, channels)
    assert found != bitrate
    assert formats.held_bitrate(name, found, held, channels) == found
    write(tmp_path / f"a.{name}", sweep(held, channels, held), held, found)
    assert sum(len(block) for block in read(tmp_path / f"a.{name}")[2]) == held


@pytest.mark.parametrize(
    ("asked", "song", "found"),
    [("flac", "a.mp3", "flac"), ("same", "a.FLAC", "flac"), ("same", "a b.mp3", "mp3"), ("same", "a.m4b", "m4a"),
     ("same", "a.oga", "ogg"), ("same", "a.aiff", "wav"), ("same", "a", "wav")],
)  # fmt: skip
def test_a_song_gets_the_format_that_was_asked_for_or_its_own(asked, song, found):
    assert formats.of(asked, Path(song)) == found


@pytest.mark.parametrize(
    ("name", "rate", "held"),
    [("mp3", 96000, 48000), ("mp3", 44100, 44100), ("mp3", 46050, 48000), ("opus", 44100, 48000),
     ("m4a", 192000, 96000), ("ogg", 96000, 96000), ("ogg", 384000, 192000), ("wav", 12345, 12345)],
)  # fmt: skip
def test_a_format_that_lacks_a_rate_has_a_nearest_one(name, rate, held):
    assert formats.nearest_rate(name, rate) == held


def test_the_configuration_knows_all_formats():
    allowed = typing.get_args(config.Config.model_fields["format"].annotation)
    assert allowed == (*formats.FORMATS, formats.SAME)


@pytest.mark.parametrize(
    ("given", "problem"),
    [({"bitrate": "high"}, "bitrate='high' is not allowed"), ({"format": "mp4"}, "format='mp4' is not allowed")],
)  # fmt: skip
def test_a_bitrate_or_format_that_cannot_be_is_an_error(given, problem):
    with pytest.raises(UnbraidError) as caught:
        config.load(given)
    assert problem in f"{caught.value}"


def test_a_bitrate_is_a_number_of_bits():
    assert config.load({"format": "mp3", "bitrate": "192k"}).bits_a_second == 192_000
    assert config.load({}).bits_a_second is None
    assert config.load({"format": "wav", "bitrate": "999k"}).bits_a_second == 999_000  # nothing is asked of it


def test_an_mp4_file_whose_frames_tell_no_length_is_read_whole(tmp_path, monkeypatch):
    write(tmp_path / "a.m4a", sweep(44100, 1, 5000), 44100)
    monkeypatch.setattr("unbraid.audio.decode._TIMED", frozenset())
    with Decoder(tmp_path / "a.m4a") as decoder:
        assert sum(map(len, decoder)) == 5120


@pytest.mark.parametrize("bitrate", [32_000, 48_000, 64_000])
def test_opus_of_music_does_not_come_early_at_any_bitrate(tmp_path, bitrate):
    """Its coder for speech would, by three samples and more."""
    with wav.create(tmp_path / "song.wav", 44100, 2) as file:
        for block in Decoder(demo_path()):
            file.write(block)
    audio = np.concatenate(list(resample(wav.blocks(tmp_path / "song.wav"), 44100, 48000, 292_000)))
    write(tmp_path / "a.opus", audio, 48000, bitrate)
    assert lag(np.concatenate(list(read(tmp_path / "a.opus")[2])), audio) == 0
