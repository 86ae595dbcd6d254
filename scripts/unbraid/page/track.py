"""What a page has of one track."""

from collections.abc import Callable, Iterable

from unbraid.audio.pictures import Spectrogram, Waveform
from unbraid.audio.previews import pieces
from unbraid.audio.wav import Audio
from unbraid.page.song import Track


def track(
    name: str,
    read: Callable[[], Iterable[Audio]],
    *,
    frames: int,
    rate: int,
    channels: int,
    bitrate: int,
    top: float,
) -> Track:
    """The pictures of a track, and its previews, which are only made when they are written, so that no memory holds them.

    read: begins its blocks [frames, channels] anew; `frames` frames in all. bitrate: of the preview, in bits a second.
    top: in Hz, of the spectrogram at the most; all tracks of a page have one axis.
    """
    waveform, spectrogram = Waveform(frames, channels), Spectrogram(frames, rate, top)
    for block in read():
        waveform.add(block)
        spectrogram.add(block)
    return Track(name, pieces(read(), rate, channels, bitrate), waveform.result(), spectrogram.png())
