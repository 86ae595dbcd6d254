"""Reading delivered files: wav, flac and ogg by libsndfile, the others by ffmpeg.

ffmpeg finds some ogg files a few hundred samples too long or short; libsndfile's mp3, block by block, is wrong where blocks meet.
"""

from collections.abc import Iterator
from pathlib import Path

import soundfile

from unbraid.audio import wav
from unbraid.audio.wav import Audio


def read(path: Path) -> tuple[int, int, Iterator[Audio]]:
    """Rate, channels, and blocks [frames, channels] of `wav.BLOCK` frames, the last one as short as it comes."""
    if path.suffix in (".wav", ".flac", ".ogg"):
        info = soundfile.info(path)
        return info.samplerate, info.channels, wav.blocks(path)
    from unbraid.audio.decode import Decoder

    decoder = Decoder(path)
    return decoder.rate, decoder.channels, iter(decoder)
