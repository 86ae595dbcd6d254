"""Sample files in many formats, made with ffmpeg's encoders and libsndfile, and the comparison with what went in."""

import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

Audio = NDArray[np.float32]

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


def music(frames: int, rate: int = 44100, channels: int = 2, seed: int = 0) -> Audio:
    """Below full scale and exact in 16 bits, [frames, channels] float32.

    Per channel a tone that glides over four octaves and some noise: lossy encoders keep nearly all of its energy, and
    it never repeats, so that a shift in time shows in the cross-correlation.
    """
    time = np.arange(frames)[:, None] / rate
    octaves = 4 * np.arange(frames)[:, None] / max(frames, 1)
    length = max(frames, 1) / rate
    glide = 2 * np.pi * 110 * length / (4 * np.log(2)) * 2**octaves
    swell = 0.25 + 0.15 * np.sin(2 * np.pi * 1.3 * time)
    noise = np.random.default_rng(seed).standard_normal((frames, channels))
    audio = swell * np.sin(glide + np.arange(channels)) + 0.003 * noise
    return (np.round(audio * 32768) / 32768).astype(np.float32)


def encode(
    path: Path,
    audio: Audio,
    rate: int,
    codec: str,
    *,
    bit_rate: int | None = None,
    options: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
    sample_format: str | None = None,
    video: bool = False,
    picture_seconds: float | None = None,
) -> Path:
    """Encode with ffmpeg's libraries; the name's extension chooses the container.

    video: a picture track goes first, as long as the audio or as `picture_seconds` says.
    """
    layout = LAYOUTS[audio.shape[1]]
    with av.open(str(path), "w", options=muxer or {}) as container:
        picture = container.add_stream("mpeg4", rate=25) if video else None
        if picture is not None:
            picture.width = picture.height = 64
            picture.pix_fmt = "yuv420p"
        stream = container.add_stream(codec, rate=rate, layout=layout, options=options or {})
        if sample_format:
            stream.format = sample_format
        if bit_rate:
            stream.bit_rate = bit_rate
        if picture is not None:
            _draw(container, picture, picture_seconds or len(audio) / rate)
        context = stream.codec_context
        if not context.is_open:  # the first picture opened it
            context.open()
        whole = av.AudioFrame.from_ndarray(np.ascontiguousarray(audio.T), format="fltp", layout=layout)
        whole.sample_rate, whole.pts = rate, 0
        convert = av.AudioResampler(context.format, layout, rate, frame_size=context.frame_size or 4096)
        for frame in [*convert.resample(whole), *convert.resample(None)]:
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def video_only(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=25)
        picture.width = picture.height = 64
        picture.pix_fmt = "yuv420p"
        _draw(container, picture, 1.0)
    return path


def _draw(container: Any, picture: Any, seconds: float) -> None:
    for number in range(max(1, round(seconds * 25))):
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), number % 256, dtype=np.uint8), format="rgb24")
        frame.pts = number
        container.mux(picture.encode(frame))
    container.mux(picture.encode(None))


def write(path: Path, audio: Audio, rate: int, subtype: str, container: str | None = None) -> Path:
    """Write with libsndfile."""
    soundfile.write(path, audio, rate, subtype=subtype, format=container)
    return path


def png() -> bytes:
    """A picture of one red pixel."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0\xff\0\0"))
        + chunk(b"IEND", b"")
    )


def add_mp3_cover(path: Path) -> Path:
    """Put an ID3v2.3 tag with a picture (APIC) before an mp3."""
    body = b"\0image/png\0\x03\0" + png()
    frame = b"APIC" + struct.pack(">IH", len(body), 0) + body
    size = bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\x03\0\0" + size + frame + path.read_bytes())
    return path


def add_flac_cover(path: Path) -> Path:
    """Put a PICTURE block behind a flac's STREAMINFO."""
    picture = png()
    body = struct.pack(">II", 3, 9) + b"image/png" + struct.pack(">IIIIII", 0, 1, 1, 24, 0, len(picture)) + picture
    data = path.read_bytes()
    info = bytes([data[4] & 0x7F]) + data[5:42]  # no longer the last block, whatever it was
    last = data[4] & 0x80
    block = bytes([last | 6]) + struct.pack(">I", len(body))[1:] + body
    path.write_bytes(data[:4] + info + block + data[42:])
    return path


def half(path: Path) -> Path:
    """Cut a file in half, in place."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


@dataclass(frozen=True)
class Sample:
    """A row of the table of formats.

    make: writes the file. lossless: its decoding must equal the original. delay: frames by which the decoding comes
    late (below zero: that it lacks in front), where the file does not say its encoder's delay. frame: frames of the
    codec's own blocks, which the last one may be padded to where the file does not say its exact end. gain: decibels
    that the encoder itself takes off (LAME does at low bit rates).
    """

    name: str
    make: Callable[[Path, Audio, int], Path]
    rate: int = 44100
    channels: int = 2
    lossless: bool = False
    delay: int = 0
    frame: int = 1
    gain: float = 0.0

    def original(self) -> Audio:
        return music(self.rate + 123, self.rate, self.channels)

    def file(self, folder: Path) -> Path:
        return self.make(folder / self.name, self.original(), self.rate)


def _ffmpeg(codec: str, **settings: Any) -> Callable[[Path, Audio, int], Path]:
    return lambda path, audio, rate: encode(path, audio, rate, codec, **settings)


def _sndfile(subtype: str, container: str | None = None) -> Callable[[Path, Audio, int], Path]:
    return lambda path, audio, rate: write(path, audio, rate, subtype, container)


NO_XING = {"write_xing": "0"}
VBR = {"flags": "+qscale", "global_quality": "118"}  # -V 1

SAMPLES = [
    Sample("16.wav", _sndfile("PCM_16"), lossless=True),
    Sample("24.wav", _sndfile("PCM_24"), lossless=True),
    Sample("32.wav", _sndfile("PCM_32"), lossless=True),
    Sample("float.wav", _sndfile("FLOAT"), lossless=True),
    Sample("double.wav", _sndfile("DOUBLE"), lossless=True),
    Sample("rf64.wav", _sndfile("PCM_16", "RF64"), lossless=True),
    Sample("16.aiff", _sndfile("PCM_16"), lossless=True),
    Sample("24.aiff", _sndfile("PCM_24"), lossless=True),
    Sample("16.flac", _sndfile("PCM_16"), lossless=True),
    Sample("24.flac", _sndfile("PCM_24"), lossless=True),
    Sample("cover.flac", lambda path, audio, rate: add_flac_cover(write(path, audio, rate, "PCM_16")), lossless=True),
    Sample("alac.m4a", _ffmpeg("alac", sample_format="s16p"), lossless=True),
    Sample("24.alac.m4a", _ffmpeg("alac", sample_format="s32p"), lossless=True),
    Sample("wavpack.wv", _ffmpeg("wavpack", sample_format="s16p"), lossless=True),
    Sample("tta.tta", _ffmpeg("tta", sample_format="s16"), lossless=True),
    Sample("video.mkv", _ffmpeg("flac", sample_format="s16", video=True), lossless=True),
    Sample("cbr.mp3", _ffmpeg("libmp3lame", bit_rate=320000)),
    Sample("vbr.mp3", _ffmpeg("libmp3lame", options=VBR)),
    Sample(
        "cover.mp3", lambda path, audio, rate: add_mp3_cover(encode(path, audio, rate, "libmp3lame", bit_rate=320000))
    ),
    Sample("bare.mp3", _ffmpeg("libmp3lame", bit_rate=320000, muxer=NO_XING), delay=1105, frame=1152),
    Sample("barevbr.mp3", _ffmpeg("libmp3lame", options=VBR, muxer=NO_XING), delay=1105, frame=1152),
    Sample("vorbis.ogg", _sndfile("VORBIS", "OGG")),
    Sample("opus.opus", _ffmpeg("libopus", bit_rate=160000), rate=48000),
    Sample("aac.m4a", _ffmpeg("aac", bit_rate=192000), frame=1024),
    Sample("video.mp4", _ffmpeg("aac", bit_rate=192000, video=True), frame=1024),
    Sample("aac.mka", _ffmpeg("aac", bit_rate=192000), frame=1024),
    Sample("ac3.ac3", _ffmpeg("ac3", bit_rate=448000), delay=256, frame=1536),
    # ffmpeg's decoder cuts the two frames off that WMA encoders put in front; ffmpeg's own encoder puts only one.
    Sample("wma.wma", _ffmpeg("wmav2", bit_rate=192000), delay=-2048, frame=2048),
    Sample("mono.flac", _sndfile("PCM_16"), channels=1, lossless=True),
    Sample("mono.mp3", _ffmpeg("libmp3lame", bit_rate=320000), channels=1),
    Sample("8k.wav", _sndfile("PCM_16"), rate=8000, lossless=True),
    Sample("8k.mp3", _ffmpeg("libmp3lame", bit_rate=64000), rate=8000, gain=20 * np.log10(0.95)),
    Sample("22k.ogg", _sndfile("VORBIS", "OGG"), rate=22050),
    Sample("22k.m4a", _ffmpeg("aac", bit_rate=128000), rate=22050, channels=1, frame=1024),
    Sample("48k.flac", _sndfile("PCM_24"), rate=48000, lossless=True),
    Sample("48k.mp3", _ffmpeg("libmp3lame", bit_rate=320000), rate=48000),
    Sample("96k.flac", _sndfile("PCM_24"), rate=96000, lossless=True),
    Sample("96k.m4a", _ffmpeg("aac", bit_rate=256000), rate=96000, frame=1024),
    Sample("192k.wav", _sndfile("FLOAT"), rate=192000, lossless=True),
]


def lag(decoded: Audio, original: Audio, reach: int = 4096) -> int:
    """By how many frames `decoded` comes later than `original`: the peak of their cross-correlation."""
    count = min(len(decoded), len(original))
    size = 1 << (count + reach).bit_length()
    spectrum = np.fft.rfft(decoded[:count].mean(axis=1), size) * np.conj(
        np.fft.rfft(original[:count].mean(axis=1), size)
    )
    correlation = np.fft.irfft(spectrum, size)
    shifts = np.arange(-reach, reach + 1)
    return int(shifts[np.argmax(correlation[shifts])])


def level(audio: Audio) -> float:
    """RMS in dB; silence is -inf."""
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(np.mean(np.square(audio, dtype=np.float64))))


def as_nobody(action: Callable[[], object]) -> str:
    """What `action` raises, as text, when done by the user nobody (root may read everything); empty if nothing."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        if os.geteuid() == 0:
            os.seteuid(65534)
        try:
            action()
            answer = ""
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    os.wait()
    with os.fdopen(reader, "rb") as pipe:
        return pipe.read().decode()


@dataclass(frozen=True)
class Broken:
    """What is no song. make: makes it in a folder; message: what must be said of it (a regular expression)."""

    name: str
    make: Callable[[Path], Path]
    message: str


def _text(folder: Path) -> Path:
    (folder / "a.mp3").write_text("This is a letter, not a song.\n" * 50)
    return folder / "a.mp3"


def _empty(folder: Path) -> Path:
    (folder / "a.mp3").touch()
    return folder / "a.mp3"


def _folder(folder: Path) -> Path:
    (folder / "song.mp3").mkdir(exist_ok=True)
    return folder / "song.mp3"


def _dangling(folder: Path) -> Path:
    link = folder / "a.wav"
    link.unlink(missing_ok=True)
    link.symlink_to(folder / "nowhere.wav")
    return link


def _silent(name: str) -> Callable[[Path], Path]:
    return lambda folder: write(folder / name, np.zeros((0, 2), dtype=np.float32), 44100, "PCM_16")


BROKEN = [
    Broken("missing", lambda folder: folder / "a.wav", "missing"),
    Broken("dangling link", _dangling, "points to nothing"),
    Broken("folder", _folder, "is a folder"),
    Broken("empty", _empty, "is empty"),
    Broken("text", _text, "not audio that can be read"),
    Broken("wav without frames", _silent("a.wav"), "no samples|zero frames|no audio"),
    Broken("flac without frames", _silent("a.flac"), "no samples|zero frames|no audio|empty"),
    Broken("video without audio", lambda folder: video_only(folder / "a.mp4"), "no audio track"),
]
