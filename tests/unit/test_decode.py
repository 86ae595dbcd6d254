"""Decoding, checked against the samples that went into the files and against libsndfile's reading of them."""

import io
import itertools
import math

import av
import numpy as np
import pytest
import soundfile

from audio_samples import NO_XING, SAMPLES, VBR, encode, half, lag, level, music, write
from unbraid.audio import source, wav
from unbraid.audio.decode import Decoder
from unbraid.audio.probe import probe
from unbraid.errors import UnbraidError

RATE = 44100


def decoded(path, *window, **settings):
    with Decoder(path, *window, **settings) as decoder:
        return np.concatenate(list(decoder))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_every_format_gives_the_song_in_its_place_at_its_level(sample, tmp_path):
    original = sample.original()
    with Decoder(sample.file(tmp_path)) as decoder:
        blocks = list(decoder)
    assert (decoder.rate, decoder.channels, decoder.source_channels) == (sample.rate, sample.channels, sample.channels)
    assert all(block.dtype == np.float32 and len(block) <= wav.BLOCK for block in blocks)
    audio = np.concatenate(blocks)
    if sample.lossless:
        assert np.array_equal(audio, original)
        return
    assert 0 <= len(audio) - sample.delay - len(original) < sample.frame
    assert lag(audio, original) == sample.delay
    ahead, behind = max(sample.delay, 0), max(-sample.delay, 0)
    edge = sample.rate // 10
    inner = slice(edge, min(len(audio) - ahead, len(original) - behind) - edge)
    there, here = audio[ahead:][inner], original[behind:][inner]
    assert level(there) == pytest.approx(level(here) + sample.gain, abs=0.2)
    assert level(there - here) - level(here) < -25


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.flac"])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_S8", "PCM_16", "PCM_24", "PCM_32"])
def test_integers_are_libsndfiles_bit_for_bit_full_scale_included(tmp_path, name, subtype):
    if subtype not in soundfile.available_subtypes(name[2:].upper()):
        subtype = "PCM_16"
    integers = np.random.default_rng(0).integers(-(2**31), 2**31, (10_000, 2), dtype=np.int64)
    integers[:2] = [[-(2**31), 2**31 - 1], [0, -1]]
    path = write(tmp_path / name, integers.astype(np.int32), RATE, subtype)
    assert np.array_equal(decoded(path), soundfile.read(path, dtype="float32")[0])


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_floats_over_full_scale_are_kept_bit_for_bit(tmp_path, subtype):
    audio = np.array([[3.75, -12.0], [1.0, -1.0], [1e-30, 1 / 3]], dtype=np.float32)
    assert decoded(write(tmp_path / "a.wav", audio, RATE, subtype)).tobytes() == audio.tobytes()


def test_one_sample_is_a_song(tmp_path):
    audio = np.full((1, 1), 0.25, dtype=np.float32)
    for name in ("a.wav", "a.flac"):
        assert np.array_equal(decoded(write(tmp_path / name, audio, 8000, "PCM_16")), audio)


# Where each channel of 5.1 goes: left, right, centre, bass effects, left and right surround (ITU-R BS.775).
MATRIX = np.array([[1, 0], [0, 1], [0.5**0.5] * 2, [0, 0], [0.5**0.5, 0], [0, 0.5**0.5]])


@pytest.mark.parametrize(("name", "subtype"), [("a.flac", "PCM_16"), ("a.wav", "PCM_24"), ("a.wav", "FLOAT")])
def test_5_1_is_mixed_down_by_the_standard_matrix_without_normalising(tmp_path, name, subtype):
    audio = music(20_000, 48000, 6)
    path = write(tmp_path / name, audio, 48000, subtype)
    with Decoder(path) as decoder:
        mixed = np.concatenate(list(decoder))
    assert (decoder.channels, decoder.source_channels) == (2, 6)
    assert np.abs(mixed - audio @ MATRIX).max() < 1e-6
    loud = np.full((1000, 6), 0.9, dtype=np.float32)
    over = decoded(write(tmp_path / f"loud_{name}", loud, 48000, subtype))
    assert over == pytest.approx(0.9 * (1 + 2 * 0.5**0.5), abs=1e-3)


@pytest.mark.parametrize("channels", [3, 4, 7, 8])
def test_other_numbers_of_channels_become_stereo_in_place(tmp_path, channels):
    audio = music(20_000, 48000, channels)
    mixed = decoded(write(tmp_path / "a.flac", audio, 48000, "PCM_16"))
    assert mixed.shape == (20_000, 2)
    only_front = audio.copy()
    only_front[:, 2:] = 0
    front = decoded(write(tmp_path / "b.flac", only_front, 48000, "PCM_16"))
    assert np.abs(front - audio[:, :2]).max() < 1e-6


def test_an_arrangement_of_channels_that_nobody_knows_is_an_error(tmp_path):
    with pytest.raises(UnbraidError, match="9 channels"):
        decoded(write(tmp_path / "a.wav", music(5000, RATE, 9), RATE, "PCM_16"))


@pytest.mark.parametrize("name", ["16.flac", "vbr.mp3", "vorbis.ogg", "aac.m4a", "opus.opus", "float.wav"])
def test_windows_are_exact_to_the_frame_and_join_to_the_whole(tmp_path, name):
    sample = next(sample for sample in SAMPLES if sample.name == name)
    path = sample.file(tmp_path)
    whole = decoded(path)
    cuts = [None, 0.1, 0.12345, 0.5 + 0.4 / sample.rate, 0.9, None]
    parts = [decoded(path, start, end) for start, end in itertools.pairwise(cuts)]
    assert np.array_equal(np.concatenate(parts), whole)
    first = round(0.12345 * sample.rate)
    assert np.array_equal(parts[2], whole[first : round(0.5 * sample.rate)])


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    return write(tmp_path_factory.mktemp("song") / "song.wav", music(RATE), RATE, "PCM_16")


@pytest.mark.parametrize("end", [1.0, 1.5, 1e9, math.inf])
def test_a_window_that_ends_beyond_the_song_ends_with_the_song(song, end):
    assert len(decoded(song, 0.25, end)) == RATE * 3 // 4


@pytest.mark.parametrize("window", [(1.0, None), (1.5, 2.0), (1e6, None)])
def test_a_window_that_begins_beyond_the_song_is_an_error_that_says_where_it_ends(song, window):
    with pytest.raises(UnbraidError, match=r"the song ends at 1\.000 s"):
        decoded(song, *window)


@pytest.mark.parametrize("window", [(0.5, 0.5), (0.5, 0.2), (-0.1, None), (math.nan, None), (0.0, math.nan)])
def test_a_window_that_is_empty_or_negative_is_an_error(song, window):
    with pytest.raises(UnbraidError, match="empty or negative"):
        Decoder(song, *window)


CUT = [
    ("16.wav", 0),
    ("24.wav", 0),
    ("rf64.wav", 0),
    ("16.aiff", 0),
    ("16.flac", 0),
    ("24.flac", 0),
    ("wavpack.wv", 0),
    ("tta.tta", 0),
    ("cbr.mp3", -30),
    ("vbr.mp3", -30),
    ("cover.mp3", -30),
    ("vorbis.ogg", -30),
    ("opus.opus", -30),
    ("wma.wma", -20),
    ("aac.mka", -30),
    ("video.mkv", 0),
]


def cut(tmp_path, name):
    sample = next(sample for sample in SAMPLES if sample.name == name)
    path = sample.make(tmp_path / name, music(4 * sample.rate, sample.rate), sample.rate)
    whole = decoded(path)
    return half(path), whole


@pytest.mark.parametrize(("name", "tolerance"), CUT)
def test_a_song_cut_in_half_is_an_error_that_says_where_and_how_to_accept_it(tmp_path, name, tolerance):
    path, _ = cut(tmp_path, name)
    with pytest.raises(UnbraidError, match=r"truncated or damaged after \d\.\d\d s") as caught:
        decoded(path)
    assert "truncated: accept" in caught.value.remedy


@pytest.mark.parametrize(("name", "tolerance"), CUT)
def test_of_a_song_cut_in_half_what_is_whole_can_be_taken(tmp_path, name, tolerance):
    path, whole = cut(tmp_path, name)
    with Decoder(path, truncated="accept") as decoder:
        part = np.concatenate(list(decoder))
    assert decoder.damaged
    assert 0.2 * len(whole) < len(part) < 0.7 * len(whole)
    end = len(part) - (2048 if tolerance else 0)  # the last frame of a lossy codec misses its neighbour
    difference = level(part[:end] - whole[:end])
    assert difference == -math.inf if tolerance == 0 else difference < level(whole) + tolerance


def test_a_whole_song_is_not_called_damaged(song):
    with Decoder(song, truncated="accept") as decoder:
        assert len(np.concatenate(list(decoder))) == RATE
    assert not decoder.damaged


@pytest.mark.parametrize("name", ["a.w64", "a.avi", "a.flv"])
def test_packets_that_the_end_of_the_file_cuts_are_damage(tmp_path, name):
    audio = music(RATE * 2)
    if name == "a.w64":
        path = write(tmp_path / name, audio, RATE, "PCM_16")
    else:
        path = encode(tmp_path / name, audio, RATE, "pcm_s16le" if name == "a.avi" else "aac")
    assert len(decoded(path)) == pytest.approx(len(audio), abs=2048)
    with pytest.raises(UnbraidError, match=r"damaged after (0\.9|1\.0)"):
        decoded(half(path))


def test_an_m4a_without_its_index_is_an_error(tmp_path):
    path, _ = cut(tmp_path, "aac.m4a")  # the index lies at the end
    with pytest.raises(UnbraidError, match="index is missing"):
        Decoder(path, truncated="accept")


def test_an_m4a_with_its_index_first_and_its_end_missing_is_damaged(tmp_path):
    path = encode(tmp_path / "a.m4a", music(RATE * 2), RATE, "aac", muxer={"movflags": "faststart"})
    whole = decoded(path)
    with pytest.raises(UnbraidError, match=r"damaged after (0\.9|1\.0)"):
        decoded(half(path))
    part = decoded(path, truncated="accept")
    assert np.array_equal(part[:-2048], whole[: len(part) - 2048])


@pytest.mark.parametrize("lost", [1, 200, 3000])
def test_a_flac_that_misses_only_its_very_end_is_damaged(tmp_path, lost):
    path = write(tmp_path / "a.flac", music(RATE), RATE, "PCM_16")
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(UnbraidError, match=r"damaged after 0\.9"):
        decoded(path)


@pytest.mark.parametrize("name", ["16.flac", "vorbis.ogg", "bare.mp3"])
@pytest.mark.parametrize("damage", ["zeros", "missing"])
def test_a_hole_in_the_middle_is_damage_and_what_comes_before_is_whole(tmp_path, name, damage):
    path, audio = tmp_path / name, music(RATE * 4)
    if name == "bare.mp3":
        encode(path, audio, RATE, "libmp3lame", bit_rate=192000, muxer=NO_XING)
    else:
        write(path, audio, RATE, "VORBIS" if name.endswith("ogg") else "PCM_16")
    whole = decoded(path)
    data = path.read_bytes()
    middle, size = len(data) // 2, len(data) // 20
    path.write_bytes(data[:middle] + (bytes(size) if damage == "zeros" else b"") + data[middle + size :])
    with pytest.raises(UnbraidError, match=r"damaged after [12]\."):
        decoded(path)
    part = decoded(path, truncated="accept")
    end = len(part) - (0 if name.endswith("flac") else 4096)
    assert end > RATE
    assert level(part[:end] - whole[:end]) < level(whole) - 60


@pytest.mark.parametrize(("place", "match"), [(0.5, r"after (0\.[6-9]|1\.)"), (0.999, r"after 1\.")])
def test_a_single_wrong_bit_in_a_flac_is_damage(tmp_path, place, match):
    path = write(tmp_path / "a.flac", music(RATE * 2), RATE, "PCM_16")
    data = bytearray(path.read_bytes())
    data[round(len(data) * place)] ^= 1
    path.write_bytes(data)
    with pytest.raises(UnbraidError, match=match):
        decoded(path)
    part = decoded(path, truncated="accept")
    assert np.array_equal(part, music(RATE * 2)[: len(part)])


def test_damage_after_the_end_of_the_window_does_not_matter(tmp_path):
    path, whole = cut(tmp_path, "16.flac")
    assert np.array_equal(decoded(path, 0.1, 0.2), whole[4410:8820])
    with pytest.raises(UnbraidError, match="damaged"):
        decoded(path, 0.1, 3.9)


def patched(path, at, value):
    data = bytearray(path.read_bytes())
    data[at : at + len(value)] = value
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF - 36, 0x80000000])
def test_a_wav_whose_writer_could_not_know_its_size_is_whole(tmp_path, size):
    audio = music(20_000)
    path = write(tmp_path / "a.wav", audio, RATE, "PCM_16")
    at = path.read_bytes().index(b"data") + 4
    patched(patched(path, at, size.to_bytes(4, "little")), 4, size.to_bytes(4, "little"))
    assert np.array_equal(decoded(path), audio)


def test_a_caf_whose_writer_could_not_know_its_size_is_whole_and_a_cut_one_is_not(tmp_path):
    audio = music(20_000)
    path = write(tmp_path / "a.caf", audio, RATE, "PCM_16")
    cut_path = half(write(tmp_path / "cut.caf", audio, RATE, "PCM_16"))
    at = path.read_bytes().index(b"data") + 4
    assert np.array_equal(decoded(patched(path, at, b"\xff" * 8)), audio)
    with pytest.raises(UnbraidError, match="damaged"):
        decoded(cut_path)


def test_a_flac_whose_writer_could_not_know_its_length_is_whole_and_a_cut_one_is_not(tmp_path):
    audio = music(RATE)
    path = write(tmp_path / "a.flac", audio, RATE, "PCM_16")
    patched(path, 21, bytes([path.read_bytes()[21] & 0xF0, 0, 0, 0, 0]))  # STREAMINFO's total, 36 bits
    assert np.array_equal(decoded(path), audio)
    with pytest.raises(UnbraidError, match="damaged"):
        decoded(half(path))


@pytest.mark.parametrize(
    "tail", [b"TAG" + b"x" * 125, b"APETAGEX" + bytes(range(256)) * 4, bytes(4000)], ids=["id3v1", "ape", "zeros"]
)
@pytest.mark.parametrize("name", ["bare.mp3", "vbr.mp3", "16.flac"])
def test_tags_and_filling_after_the_song_are_not_damage(tmp_path, name, tail):
    sample = next(sample for sample in SAMPLES if sample.name == name)
    path = sample.file(tmp_path)
    whole = decoded(path)
    path.write_bytes(path.read_bytes() + tail)
    # Where much follows, ffmpeg doubts the header of an mp3, and with it the padding that it tells.
    padding = 1152 if name == "vbr.mp3" else 0
    audio = decoded(path)
    assert np.array_equal(audio[: len(whole)], whole)
    assert len(audio) <= len(whole) + padding


@pytest.mark.parametrize("name", ["bare.mp3", "barevbr.mp3"])
def test_an_mp3_without_a_header_promises_nothing_and_is_never_cut(tmp_path, name):
    path, whole = cut(tmp_path, name)
    part = decoded(path)
    assert 0.4 * len(whole) < len(part) < 0.6 * len(whole)
    path.write_bytes(path.read_bytes()[1000:])  # nor one that begins in the middle of a frame
    assert len(decoded(path)) >= len(part) - 5 * 1152


def vbri(frames, size):
    """An MPEG frame (layer III, 320 kbit/s, 44.1 kHz, stereo) that holds nothing but Fraunhofer's header."""
    header = b"VBRI" + (1).to_bytes(2, "big") + bytes(4) + size.to_bytes(4, "big") + frames.to_bytes(4, "big")
    table = (1).to_bytes(2, "big") * 3 + (frames).to_bytes(2, "big") + (100).to_bytes(2, "big")
    return (b"\xff\xfb\xe0\x00" + bytes(32) + header + table).ljust(1044, b"\0")


def test_an_mp3_with_fraunhofers_header_is_held_to_it(tmp_path):
    path = encode(tmp_path / "a.mp3", music(RATE * 3), RATE, "libmp3lame", bit_rate=320000, muxer=NO_XING)
    data = path.read_bytes()
    whole = decoded(path)
    frames = data[data.index(b"\xff\xfb") :]
    count = len(whole) // 1152
    path.write_bytes(vbri(count, len(frames) + 1044) + frames)
    assert len(decoded(path)) == len(whole)
    with pytest.raises(UnbraidError, match=r"damaged after 1\."):
        decoded(half(path))


@pytest.mark.parametrize("muxer", [NO_XING, {}], ids=["bare", "header"])
def test_mp3s_joined_together_are_not_damaged_nor_held_to_the_first_ones_header(tmp_path, muxer):
    first = encode(tmp_path / "1.mp3", music(RATE), RATE, "libmp3lame", options=VBR, muxer=muxer)
    silence = np.zeros((RATE * 8, 2), np.float32)
    second = encode(tmp_path / "2.mp3", silence, RATE, "libmp3lame", options=VBR, muxer=muxer)
    both = tmp_path / "both.mp3"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    assert len(decoded(both)) > 8.9 * RATE


def test_oggs_joined_together_are_one_song(tmp_path):
    audio = music(RATE)
    path = write(tmp_path / "a.ogg", audio, RATE, "VORBIS")
    once = decoded(path)
    path.write_bytes(path.read_bytes() * 2)
    assert len(decoded(path)) >= 2 * len(once)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("frame", [0, 1234, 70_000, 80_000])
def test_a_sample_that_is_no_number_is_an_error_that_says_where(tmp_path, value, frame):
    audio = music(80_001)
    audio[frame, 1] = value
    audio[80_000, 0] = value
    path = write(tmp_path / "a.wav", audio, RATE, "FLOAT")
    with pytest.raises(UnbraidError, match=rf"NaN or infinity\) at {frame / RATE:.3f} s"):
        decoded(path)
    if frame == 1234:
        assert np.array_equal(decoded(path, 0.1, 1.0), audio[4410:RATE])
        audio[2000] = value
        with pytest.raises(UnbraidError, match=rf"at {2000 / RATE:.3f} s"):
            decoded(write(path, audio, RATE, "FLOAT"), 0.04)


def test_a_double_beyond_float32_is_an_error_and_not_infinity(tmp_path):
    path = write(tmp_path / "a.wav", np.full((10, 2), 1e300), RATE, "DOUBLE")
    with pytest.raises(UnbraidError, match="NaN or infinity"):
        decoded(path)


def test_zero_frames_are_an_error(tmp_path):
    with pytest.raises(UnbraidError, match="holds no sound"):
        Decoder(write(tmp_path / "a.wav", np.zeros((0, 2)), RATE, "PCM_16"))


def joined_mp3(tmp_path, *parts):
    path = tmp_path / "joined.mp3"
    made = [
        encode(tmp_path / f"{number}.mp3", music(rate, rate, channels), rate, "libmp3lame", muxer=NO_XING)
        for number, (rate, channels) in enumerate(parts)
    ]
    path.write_bytes(b"".join(part.read_bytes() for part in made))
    return path, [len(decoded(part)) for part in made]


def test_a_passage_in_mono_within_a_stereo_song_is_given_in_both_channels(tmp_path):
    path, lengths = joined_mp3(tmp_path, (RATE, 2), (RATE, 1))
    audio = decoded(path)
    assert sum(lengths) - 1152 <= len(audio) <= sum(lengths)  # a frame may be lost to the tag between the two
    assert audio.shape[1] == 2
    assert np.array_equal(audio[-40_000:, 0], audio[-40_000:, 1])
    assert not np.array_equal(audio[:40_000, 0], audio[:40_000, 1])


@pytest.mark.parametrize("second", [(48000, 2), (RATE, 2)])
def test_a_format_that_changes_within_the_song_is_an_error_that_names_both(tmp_path, second):
    path, _ = joined_mp3(tmp_path, (RATE, 1), second)
    with pytest.raises(UnbraidError, match="changes its format within the song") as caught:
        decoded(path)
    assert "44100 Hz" in str(caught.value)
    assert f"{second[0]} Hz" in str(caught.value)


def test_the_default_stream_is_the_song_and_else_the_first(tmp_path):
    path = tmp_path / "two.mka"
    loud, quiet = np.full((1, RATE), 16000, np.int16), np.full((1, RATE), 800, np.int16)
    for default in (0, 1, None):
        with av.open(str(path), "w") as container:
            streams = [container.add_stream("pcm_s16le", rate=RATE, layout="mono") for _ in range(2)]
            for number, stream in enumerate(streams):
                stream.disposition = av.stream.Disposition.default if number == default else 0
            for stream, values in zip(streams, (loud, quiet), strict=True):
                frame = av.AudioFrame.from_ndarray(values, format="s16", layout="mono")
                frame.sample_rate, frame.pts = RATE, 0
                container.mux(stream.encode(frame))
        expected = quiet if default == 1 else loud
        assert np.array_equal(decoded(path)[:, 0], expected[0] / np.float32(32768))


def test_tags_that_are_no_text_do_not_matter(tmp_path):
    audio = music(5000)
    path = write(tmp_path / "a.flac", audio, RATE, "PCM_16")
    data = path.read_bytes()
    comment = b"TITLE=\xff\xfe\xe9"
    body = (0).to_bytes(4, "little") + (1).to_bytes(4, "little") + len(comment).to_bytes(4, "little") + comment
    block = bytes([4]) + len(body).to_bytes(3, "big") + body
    path.write_bytes(data[:4] + bytes([data[4] & 0x7F]) + data[5:42] + block + data[42:])
    assert np.array_equal(decoded(path), audio)


def test_a_decoder_that_is_left_early_can_be_closed(song):
    decoder = Decoder(song)
    next(iter(decoder))
    decoder.close()


@pytest.mark.parametrize("fails_at", [0, 100_000, 2_000_000])
def test_a_disk_that_fails_while_reading_is_an_error_and_not_damage(tmp_path, monkeypatch, fails_at):
    class Failing(io.FileIO):
        def read(self, size=-1):
            if self.tell() >= fails_at:
                raise OSError(5, "Input/output error")
            return super().read(size)

    path = write(tmp_path / "a.wav", music(RATE * 15), RATE, "PCM_16")
    monkeypatch.setattr(source, "_opened", Failing)
    with pytest.raises(UnbraidError, match=r"cannot be read \(Input/output error\)"):
        decoded(path, truncated="accept")
    with pytest.raises(UnbraidError, match=r"cannot be read \(Input/output error\)"):
        probe(path)


@pytest.mark.parametrize("video", [False, True])
def test_a_matroska_without_durations_per_track_is_held_to_its_own_where_it_can_be(tmp_path, video):
    path = encode(tmp_path / "a.mkv", music(RATE * 4), RATE, "flac", sample_format="s16", video=video)
    path.write_bytes(path.read_bytes().replace(b"DURATION", b"DURATIOX"))
    assert np.array_equal(decoded(path), music(RATE * 4))
    if video:  # the picture may well be longer than the sound
        assert len(decoded(half(path))) < RATE * 3
    else:
        with pytest.raises(UnbraidError, match="damaged"):
            decoded(half(path))
