"""Wav files, checked against soundfile's own reading and against the bytes of their headers."""

import errno
import resource
import time

import numpy as np
import pytest
import soundfile

from audio_samples import music
from unbraid.audio import wav

ODD_VALUES = np.array([[0.0, -0.0], [1.0, -1.0], [3.5, -7.25], [1e-30, 1e-42], [1 / 3, np.pi]], dtype=np.float32)


def made(path, audio, rate=44100, **settings):
    with wav.create(path, rate, audio.shape[1], **settings) as file:
        file.write(audio)
    return path


def test_float_samples_come_back_bit_for_bit_over_full_scale_too(tmp_path):
    path = made(tmp_path / "a.wav", ODD_VALUES)
    read = np.concatenate(list(wav.blocks(path)))
    assert read.dtype == np.float32
    assert read.tobytes() == ODD_VALUES.tobytes()
    assert soundfile.read(path, dtype="float32")[0].tobytes() == ODD_VALUES.tobytes()


def test_the_same_audio_written_at_another_second_is_the_same_bytes(tmp_path):
    first = made(tmp_path / "a.wav", music(1000)).read_bytes()
    assert b"PEAK" not in first[:512]  # the chunk that holds the time
    time.sleep(1.1)
    assert made(tmp_path / "b.wav", music(1000)).read_bytes() == first


def test_a_short_file_is_a_plain_wav_whatever_its_name(tmp_path):
    head = made(tmp_path / ".mix.wav.partial", music(1000)).read_bytes()[:12]
    assert head[:4] == b"RIFF"
    assert head[8:] == b"WAVE"


def test_a_file_beyond_4_gib_is_a_valid_rf64(tmp_path):
    path = tmp_path / "long.wav"
    first, last = music(100), music(100, seed=1)
    frames = 2**29 + 10  # of 8 bytes; the gap stays a hole in the file and takes no room
    with wav.create(path, 48000, 2) as file:
        file.write(first)
        file.seek(frames)
        file.write(last)
    with open(path, "rb") as bytes_:
        assert bytes_.read(4) == b"RF64"
    with soundfile.SoundFile(path) as file:
        assert file.frames == frames + 100
        assert np.array_equal(file.read(100, dtype="float32"), first)
        file.seek(frames - 5)
        assert np.array_equal(file.read(dtype="float32"), np.concatenate([np.zeros((5, 2)), last]))


@pytest.mark.parametrize(("subtype", "container"), [("PCM_16", "RF64"), ("PCM_24", "RF64"), ("PCM_24", "FLAC")])
def test_integer_formats_hold_what_fits_them_exactly(tmp_path, subtype, container):
    audio = music(5000)
    path = made(tmp_path / "a", np.round(audio * 32768).astype(np.int16), subtype=subtype, format=container)
    assert soundfile.info(path).subtype == subtype
    assert np.array_equal(np.concatenate(list(wav.blocks(path))), audio)


@pytest.mark.parametrize("frames", [1, wav.BLOCK - 1, wav.BLOCK, wav.BLOCK + 1, 3 * wav.BLOCK])
def test_blocks_are_the_whole_file_in_order(tmp_path, frames):
    audio = music(frames, channels=1)
    blocks = list(wav.blocks(made(tmp_path / "a.wav", audio)))
    assert [len(block) for block in blocks[:-1]] == [wav.BLOCK] * (len(blocks) - 1)
    assert np.array_equal(np.concatenate(blocks), audio)


def test_a_file_shorter_than_its_header_says_is_an_error_and_not_a_shorter_song(tmp_path):
    path = made(tmp_path / "a.flac", np.round(music(200_000) * 32767).astype(np.int16), subtype="PCM_16", format="FLAC")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises((OSError, soundfile.LibsndfileError)):
        list(wav.blocks(path))


@pytest.mark.parametrize("size", [1, 7, 100, 5000])
def test_reblocked_keeps_every_sample_in_blocks_of_one_size(size):
    audio = music(1000)
    cuts = np.split(audio, [0, 1, 5, 5, 300, 999])
    blocks = list(wav.reblocked(cuts, size))
    assert {len(block) for block in blocks[:-1]} <= {size}
    assert np.array_equal(np.concatenate(blocks), audio)


def test_a_disk_that_takes_no_more_is_an_os_error_with_the_systems_reason(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match=r"a\.wav") as caught:
            made(tmp_path / "a.wav", music(50_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG


def test_an_error_in_another_file_is_not_taken_for_a_full_disk(tmp_path):
    (tmp_path / "text.wav").write_text("not audio")
    with pytest.raises(soundfile.LibsndfileError, match=r"text\.wav"), wav.create(tmp_path / "a.wav", 44100, 2):
        list(wav.blocks(tmp_path / "text.wav"))
