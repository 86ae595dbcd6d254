"""Stage page: a song's stems to hear and to see, in one file."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unbraid import gates
from unbraid.audio import tags
from unbraid.audio.previews import bitrate_for
from unbraid.audio.read import read
from unbraid.audio.resample import resampled_frames
from unbraid.audio.wav import Audio
from unbraid.files import read_json
from unbraid.page.cover import reduced
from unbraid.page.song import MIX, Track, highest, write
from unbraid.page.track import track


def page(
    stems: Mapping[str, Path],
    mix: Path,
    quality: Path,
    provenance: Path,
    page: Path,
    *,
    limits: Mapping[str, Any] | None,
) -> None:
    """Write `page` from the delivered files by stem, the mix, and what qc.json and provenance.json say of them.

    limits: of the quality gates; None for none.
    """
    found = read_json(quality)
    found["warnings"] = gates.judge(found, limits)
    files = {**stems, MIX: mix}
    bitrate = bitrate_for(len(files), found["channels"])
    tracks = [_track(name, path, found, bitrate) for name, path in files.items()]
    # Each stem carries the song's cover.
    cover = tags.read(next(iter(stems.values()))).cover
    write(page, found, read_json(provenance), tracks, reduced(cover) if cover else None)


def _track(name: str, path: Path, song: Mapping[str, Any], bitrate: int) -> Track:
    rate, channels, _ = read(path)
    frames = resampled_frames(song["frames"], song["rate"], rate)
    # The mix as loud as the stems, where these were all turned down.
    gain = np.float32(song["gain"] if name == MIX else 1.0)

    def blocks() -> Iterator[Audio]:
        _, _, found = read(path)
        return (block * gain for block in found)

    return track(name, blocks, frames=frames, rate=rate, channels=channels, bitrate=bitrate, top=highest(song))
