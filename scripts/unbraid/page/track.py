"""What a page has of one track, made while the track is read once."""

from unbraid.audio.pictures import Spectrogram, Waveform
from unbraid.audio.previews import Previews
from unbraid.audio.wav import Audio
from unbraid.page.song import Track


class Recorder:
    """Takes blocks [frames, channels] of a track of `frames` frames in all.

    bitrate: of the preview, in bits a second. top: in Hz, of the spectrogram at the most; all tracks of a page have one axis.
    """

    def __init__(self, name: str, frames: int, rate: int, channels: int, bitrate: int, top: float):
        self._name = name
        self._previews = Previews(rate, channels, bitrate)
        self._waveform = Waveform(frames, channels)
        self._spectrogram = Spectrogram(frames, rate, top)

    def add(self, block: Audio) -> None:
        for one in (self._previews, self._waveform, self._spectrogram):
            one.add(block)

    def result(self) -> Track:
        return Track(self._name, self._previews.result(), self._waveform.result(), self._spectrogram.png())
