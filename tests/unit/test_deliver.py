"""Delivery against libsndfile's own reading of the delivered files."""

import numpy as np
import pytest
import soundfile

from unbraid.audio import wav
from unbraid.audio.decode import Decoder
from unbraid.errors import UnbraidError
from unbraid.files import read_json, write_json
from unbraid.stages.deliver import choose_bits, deliver, full_scale, gain_of, quantise


def source(**changes):
    return {
        "lossy": False,
        "is_float": False,
        "bit_depth": 16,
        "rate": 48000,
        "channels": 2,
        "tags": {},
        "cover": False,
        **changes,
    }


@pytest.mark.parametrize(
    ("asked", "container", "song", "peak", "bits"),
    [
        ("auto", "wav", source(), 0.5, 16),
        ("auto", "flac", source(), 0.5, 16),
        ("auto", "wav", source(bit_depth=24), 0.5, 24),
        ("auto", "wav", source(bit_depth=8), 0.5, 16),
        ("auto", "wav", source(bit_depth=32), 0.5, None),
        ("auto", "flac", source(bit_depth=32), 0.5, 24),
        ("auto", "wav", source(is_float=True, bit_depth=None), 0.5, None),
        ("auto", "flac", source(is_float=True, bit_depth=None), 0.5, 24),
        ("auto", "wav", source(lossy=True, bit_depth=None), 0.5, 24),
        ("auto", "wav", source(), 1.01, None),
        ("auto", "wav", source(), 1.0, None),
        ("auto", "wav", source(), full_scale(16), 16),
        ("auto", "flac", source(), 1.01, 24),
        ("auto", "wav", source(lossy=True, bit_depth=None), 1.01, None),
        ("16", "wav", source(bit_depth=24), 3.0, 16),
        ("24", "flac", source(), 0.5, 24),
        ("float", "wav", source(), 0.5, None),
    ],
)  # fmt: skip
def test_the_bit_depth_follows_the_source_and_the_peak(asked, container, song, peak, bits):
    assert choose_bits(asked, container, song, peak) == bits


def test_float_flac_is_an_error_with_a_remedy():
    with pytest.raises(UnbraidError, match="FLAC cannot hold float"):
        choose_bits("float", "flac", source(), 0.5)


@pytest.mark.parametrize("bits", [16, 24])
def test_integer_samples_come_back_bit_for_bit(bits):
    scale = 2 ** (bits - 1)
    integers = np.array([-scale, -scale + 1, -1, 0, 1, 12345, scale - 1])
    samples, over = quantise((integers / scale).astype(np.float32)[:, None], bits)
    assert over == 0
    assert np.array_equal(samples[:, 0].astype(np.int64) >> (0 if bits == 16 else 8), integers)


def test_samples_over_full_scale_are_clipped_and_counted():
    samples, over = quantise(np.array([[1.0], [-1.0], [-1.1], [2.0], [0.999]], np.float32), 16)
    assert over == 3
    assert samples[:, 0].tolist() == [32767, -32768, -32768, 32767, 32735]


def delivered(tmp_path, audio, extension="wav", bit_depth="auto", clip="scale", **song):
    """Deliver `loud` = audio and `soft` = audio − half of it; returns both as read back, their subtypes, the report."""
    tmp_path.mkdir(exist_ok=True)
    for name, samples in (("a", audio), ("half", audio * np.float32(0.5))):
        with wav.create(tmp_path / f"{name}.wav", 48000, 2) as file:
            file.write(samples)
    write_json(tmp_path / "mix.json", {**source(frames=len(audio)), **song})
    outputs = {stem: tmp_path / "out" / f"{stem}.{extension}" for stem in ("loud", "soft")}
    stems = {"loud": [(1, tmp_path / "a.wav")], "soft": [(1, tmp_path / "a.wav"), (-1, tmp_path / "half.wav")]}
    deliver(
        stems,
        tmp_path / "mix.json",
        outputs,
        tmp_path / "report.json",
        bit_depth=bit_depth,
        bitrate=None,
        clip=clip,
        source=tmp_path,
    )
    read = {stem: soundfile.read(path, dtype="float32", always_2d=True) for stem, path in outputs.items()}
    assert all(rate == 48000 for _, rate in read.values())
    subtypes = {soundfile.info(path).subtype for path in outputs.values()}
    return read["loud"][0], read["soft"][0], subtypes, read_json(tmp_path / "report.json")


def noise(peak=0.9, frames=70_000):
    audio = np.random.default_rng(0).uniform(-1, 1, (frames, 2)).astype(np.float32)
    return np.round(audio / np.abs(audio).max() * peak * 32768).astype(np.float32) / 32768


@pytest.mark.parametrize(
    ("extension", "bit_depth", "subtype"),
    [("wav", "auto", "PCM_16"), ("wav", "24", "PCM_24"), ("wav", "float", "FLOAT"), ("flac", "auto", "PCM_16"), ("flac", "24", "PCM_24")],
)  # fmt: skip
def test_sums_and_differences_are_exact_in_every_format_that_holds_them(tmp_path, extension, bit_depth, subtype):
    audio = noise()
    loud, soft, subtypes, report = delivered(tmp_path, audio, extension, bit_depth)
    assert subtypes == {subtype}
    assert np.array_equal(loud, audio)
    assert np.abs(soft - audio / 2).max() <= (0.5 / 32768 if subtype == "PCM_16" else 0)
    assert (report["gain"], report["clipped_by_delivery"]) == (1.0, {"loud": 0, "soft": 0})


def test_over_full_scale_survives_as_float_when_nothing_was_forced(tmp_path):
    loud, _, subtypes, report = delivered(tmp_path, noise(1.5))
    assert subtypes == {"FLOAT"}
    assert np.array_equal(loud, noise(1.5))
    assert report["bit_depth"] == "float"


@pytest.mark.parametrize(("extension", "bit_depth"), [("wav", "16"), ("wav", "24"), ("flac", "auto")])
def test_scale_turns_all_stems_down_alike_so_that_none_clips(tmp_path, caplog, extension, bit_depth):
    loud, soft, _, report = delivered(tmp_path, noise(1.5), extension, bit_depth)
    step = 2.0 ** -(15 if bit_depth == "16" else 23)
    assert report["gain"] == pytest.approx(1 / 1.5, rel=1e-4)
    assert np.abs(loud - noise(1.5) * np.float32(report["gain"])).max() <= step
    assert np.abs(soft - noise(1.5) / 2 * np.float32(report["gain"])).max() <= step
    assert report["clipped_by_delivery"] == {"loud": 0, "soft": 0}
    assert "turned down by 3.52 dB" in caplog.text


def test_clip_clips_counts_and_says_so(tmp_path, caplog):
    loud, _, _, report = delivered(tmp_path, noise(1.5), "wav", "16", "clip")
    over = int(np.count_nonzero(np.rint(noise(1.5) * 32768) != np.clip(np.rint(noise(1.5) * 32768), -32768, 32767)))
    assert report["clipped_by_delivery"] == {"loud": over, "soft": 0}
    assert report["gain"] == 1.0
    assert np.array_equal(loud, np.clip(noise(1.5), -1, 32767 / 32768))
    assert "were clipped" in caplog.text


def test_error_names_the_stem_and_its_peak_and_writes_nothing(tmp_path):
    with pytest.raises(UnbraidError, match=r"'loud' peaks at \+3.52 dBFS"):
        delivered(tmp_path, noise(1.5), "wav", "16", "error")
    assert not (tmp_path / "out").exists()


def test_silence_and_one_frame_are_delivered(tmp_path):
    loud, _, _, report = delivered(tmp_path, np.zeros((1, 2), np.float32))
    assert loud.shape == (1, 2)
    assert not loud.any()
    assert report["gain"] == 1.0


def test_a_stem_that_was_cut_short_in_the_store_is_an_error_that_says_what_to_delete(tmp_path):
    with pytest.raises(
        UnbraidError, match=r"a\.wav is damaged: it has 100 frames, and the song has 99\. Delete the folder"
    ):
        delivered(tmp_path, np.zeros((100, 2), np.float32), frames=99)


def test_the_remedy_for_flac_over_full_scale_does_not_ask_flac_for_floats(tmp_path):
    loud = np.full((100, 2), 1.5, np.float32)
    with pytest.raises(UnbraidError, match="Set format=wav with bit_depth=float"):
        delivered(tmp_path, loud, extension="flac", clip="error")


def test_sixteen_bits_of_a_song_that_has_more_are_dithered_the_same_way_every_time(tmp_path):
    audio = np.full((70_000, 2), 100.25 / 32768, np.float32)
    first, _, _, _ = delivered(tmp_path, audio, bit_depth="16", is_float=True)
    again, _, _, _ = delivered(tmp_path, audio, bit_depth="16", is_float=True)
    assert np.array_equal(first, again)
    error = first * 32768 - 100.25
    assert abs(error.mean()) < 0.01  # undithered it would be -0.25
    assert error.std() == pytest.approx(0.5, abs=0.01)  # of the noise, 1/sqrt(6), and of rounding, 1/sqrt(12)
    _, _, _, report = delivered(tmp_path, np.full((9000, 2), 1.5, np.float32), bit_depth="16", is_float=True)
    assert report["clipped_by_delivery"] == {"loud": 0, "soft": 0}  # turned down to full scale: noise alone passes it
    plain, _, _, _ = delivered(tmp_path, audio, bit_depth="16")
    assert np.unique(plain * 32768).tolist() == [100]


@pytest.mark.parametrize("extension", ["mp3", "opus", "m4a", "ogg"])
def test_lossy_formats_hold_nothing_over_full_scale_and_say_what_was_done(tmp_path, extension):
    song = [(1, tmp_path / "a.wav")]
    with wav.create(tmp_path / "a.wav", 48000, 2) as file:
        file.write(noise(1.5, 48000))
    write_json(tmp_path / "mix.json", source(frames=48000))
    outputs = {"loud": tmp_path / f"loud.{extension}"}

    def report(clip):
        deliver(
            {"loud": song},
            tmp_path / "mix.json",
            outputs,
            tmp_path / "r.json",
            bit_depth=None,
            bitrate=64_000,
            clip=clip,
            source=tmp_path,
        )
        return read_json(tmp_path / "r.json")

    scaled, clipped = report("scale"), report("clip")
    assert scaled["gain"] == pytest.approx(1 / 1.5, rel=1e-4)
    assert (scaled["clipped_by_delivery"], scaled["bit_depth"], scaled["bitrate"]) == ({"loud": 0}, None, 64_000)
    assert clipped["clipped_by_delivery"]["loud"] == np.count_nonzero(np.abs(noise(1.5, 48000)) > 1)
    with pytest.raises(UnbraidError, match=f"which {extension} cannot hold"):
        report("error")


def test_a_format_that_lacks_the_songs_rate_gets_the_nearest_and_the_log_says_so(tmp_path, caplog):
    with wav.create(tmp_path / "a.wav", 96000, 1) as file:
        file.write(noise(0.5, 96000)[:, :1])
    write_json(tmp_path / "mix.json", source(frames=96000, rate=96000, channels=1))
    for extension, rate in (("mp3", 48000), ("m4a", 96000)):
        outputs = {"a": tmp_path / f"a.{extension}"}
        stems = {"a": [(1, tmp_path / "a.wav")]}
        deliver(
            stems,
            tmp_path / "mix.json",
            outputs,
            tmp_path / "r.json",
            bit_depth=None,
            bitrate=None,
            clip="scale",
            source=tmp_path,
        )
        with Decoder(outputs["a"]) as decoder:
            assert (decoder.rate, sum(map(len, decoder))) == (rate, rate)
    assert caplog.text.count("resampled to") == 1
    assert "mp3 holds no 96000 Hz: the stems are resampled to 48000 Hz." in caplog.text
    outputs = {"a": tmp_path / "a.opus"}
    deliver(
        stems,
        tmp_path / "mix.json",
        outputs,
        tmp_path / "r.json",
        bit_depth=None,
        bitrate=320_000,
        clip="scale",
        source=tmp_path,
    )
    assert read_json(tmp_path / "r.json")["bitrate"] == 255_000
    assert "opus of this song holds no 320000 bit/s: the stems get 255000." in caplog.text


@pytest.mark.parametrize("bits", [16, 24])
def test_the_gain_that_makes_a_peak_fit_makes_it_fit_when_it_is_rounded_too(bits):
    highest = full_scale(bits)
    for peak in np.random.default_rng(0).uniform(1, 4, 2000).astype(np.float32):
        gain = np.float32(gain_of({"a": float(peak)}, bits, "scale", "wav"))
        assert highest * (1 - 1e-6) < peak * gain <= highest
