"""Stage page: a song's stems to hear and to see, in one file."""

from collections.abc import Mapping
from pathlib import Path

from unbraid.audio import tags
from unbraid.audio.previews import bitrate_for
from unbraid.audio.read import read
from unbraid.audio.resample import resampled_frames
from unbraid.files import read_json
from unbraid.page.cover import reduced
from unbraid.page.song import MIX, Track, write
from unbraid.page.track import Recorder
from unbraid.progress import Progress


def page(stems: Mapping[str, Path], mix: Path, quality: Path, provenance: Path, page: Path) -> None:
    """Write `page` from the delivered files by stem, the mix, and what qc.json and provenance.json say of them."""
    found = read_json(quality)
    files = {**stems, MIX: mix}
    bitrate = bitrate_for(len(files), found["channels"])
    tracks = [_track(name, path, found["frames"], found["rate"], bitrate) for name, path in files.items()]
    # Each stem carries the song's cover.
    cover = tags.read(next(iter(stems.values()))).cover
    write(page, found, read_json(provenance), tracks, reduced(cover) if cover else None)


def _track(name: str, path: Path, frames: int, song_rate: int, bitrate: int) -> Track:
    rate, channels, blocks = read(path)
    recorder = Recorder(name, resampled_frames(frames, song_rate, rate), rate, channels, bitrate)
    for block in Progress(frames / song_rate, name).of(blocks, rate):
        recorder.add(block)
    return recorder.result()
