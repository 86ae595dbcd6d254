"""Stage stem_mp4: the song and its four stems in one file for DJs."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from unbraid.audio import stem_mp4, tags
from unbraid.audio.resample import resample, resampled_frames
from unbraid.audio.tags import Tags
from unbraid.audio.wav import Audio, reblocked
from unbraid.files import read_json, replacing
from unbraid.stages.deliver import Linear, gain_of, limit, peak_of
from unbraid.stages.segment import arrange, combine

log = logging.getLogger("unbraid")


def write(mix: Path, stems: Mapping[str, Linear], mix_info: Path, output: Path, *, clip: str, source: Path) -> None:
    """Write `output`, a stem file (see `unbraid.audio.stem_mp4`).

    mix: the song. stems: four, by name, in the order that they are to have. mix_info: what convert said of the song. clip: as
    configured. source: the song's file, whose cover it gets. A song in mono becomes stereo; one of another rate is resampled.
    Raises: UnbraidError for `clip: error` when one of them passes full scale.
    """
    song = read_json(mix_info)
    rate = min(stem_mp4.RATES, key=lambda held: (abs(held - song["rate"]), -held))
    if rate != song["rate"]:
        log.info("Stem files hold no %d Hz: the stems are resampled to %d Hz.", song["rate"], rate)
    frames = resampled_frames(song["frames"], song["rate"], rate)
    linears: dict[str, Linear] = {"mix": [(1, mix)], **stems}

    def blocks(linear: Linear) -> Iterator[Audio]:
        made = (arrange(block, 2) for block in combine(linear, song["frames"]))
        return reblocked(resample(made, song["rate"], rate, frames))

    gain = gain_of({name: peak_of(blocks(linear)) for name, linear in linears.items()}, None, clip, "a stem file")
    together = zip(*(blocks(linear) for linear in linears.values()), strict=True)
    fitted = ([limit(block * np.float32(gain))[0] for block in tracks] for tracks in together)
    said = tags.read(source) if song["cover"] else Tags(song["tags"])
    with replacing(output) as partial:
        stem_mp4.write(partial, rate, fitted)
        if said:
            tags.write(partial, "m4a", said)
        stem_mp4.describe(partial, [name.capitalize() for name in stems])
