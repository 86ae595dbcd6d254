"""Stage have: a stem that the user has, in the form of its mix."""

import datetime
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from unbraid.audio import wav
from unbraid.audio.decode import Decoder
from unbraid.audio.resample import resample, resampled_frames
from unbraid.audio.wav import Audio
from unbraid.errors import UnbraidError
from unbraid.files import read_json, replacing, write_json
from unbraid.progress import Progress
from unbraid.stages.convert import check_unchanged
from unbraid.stages.segment import arrange

# Seconds by which a stem may be longer or shorter than its song: codecs pad their last frame, and some their first.
TOLERANCE = 0.1


def have(
    source: Path,
    mix_info: Path,
    stem: Path,
    info: Path,
    *,
    digest: str,
    column: str,
    start: float | None,
    end: float | None,
    seconds: float | None,
    problem: tuple[str, str] | None = None,
) -> None:
    """Decode `source` to `stem` (float32 wav) at the rate, channels and frames of its mix, and write `info` (have.json).

    A stem that is a little longer or shorter than its song (TOLERANCE) is cut or filled with silence at its end.
    mix_info: what convert said of the song. digest: the sha256 of the source when it was planned.
    column: of the table of songs, that names the source.
    start, end: the window of the song in seconds; the source is a stem of the whole song and is cut alike.
    seconds: how long the whole song is, which is only looked at when `end` hides its end.
    problem: what was found to be wrong with it when it was planned, and what to do.
    Raises: UnbraidError for that, and for a source that cannot be decoded, has changed, or is not as long as the song.
    """
    if problem:
        what, remedy = problem
        raise UnbraidError(what, remedy=remedy)
    begun = time.monotonic()
    song = read_json(mix_info)
    rate, channels, frames = song["rate"], song["channels"], song["frames"]
    skip = round(Fraction(start or 0.0) * rate)
    check_unchanged(source, digest)
    try:
        with (
            Decoder(source) as decoder,
            replacing(stem) as partial,
            wav.create(partial, rate, channels) as file,
        ):
            counted = 0

            def arranged() -> Iterator[Audio]:
                nonlocal counted
                for block in decoder:
                    counted += len(block)
                    yield arrange(block, channels)

            # Resampled as a whole, so that a window of it is a window of the same samples.
            whole = wav.window(resample(arranged(), decoder.rate, rate, skip + frames), skip, frames)
            for block in Progress(frames / rate, "decoding").of(whole, rate):
                file.write(block)
            found = resampled_frames(counted, decoder.rate, rate)
            expected = skip + frames if end is None or seconds is None else round(seconds * rate)
            if abs(found - expected) > TOLERANCE * rate:
                raise UnbraidError(
                    f"{source} lasts {found / rate:.3f} s, and its song {expected / rate:.3f} s.", remedy=""
                )
    except UnbraidError as error:
        raise UnbraidError(
            error.what,
            remedy=f"Give a whole stem of the whole song, or take it out of the column `{column}`.",
        ) from error
    # What a window leaves out at the end is not missed.
    longer = found - skip - frames if end is None else min(found - skip - frames, 0)
    notices = []
    if (decoder.rate, decoder.source_channels) != (rate, channels):
        notices.append(
            f"{source.name} was brought from {decoder.rate} Hz and {decoder.source_channels} channel(s) to the song's "
            f"{rate} Hz and {channels}."
        )
    if abs(longer) > (decoder.rate != rate):  # one frame may be rounding
        what = "longer than the song and was cut" if longer > 0 else "shorter than the song and was filled with silence"
        notices.append(f"{source.name} was {abs(longer) / rate:.3f} s ({abs(longer)} frames) {what} at its end.")
    write_json(
        info,
        {
            "frames": counted,
            "rate": decoder.rate,
            "channels": decoder.source_channels,
            "codec": decoder.encoding.codec,
            "notices": notices,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            "seconds": round(time.monotonic() - begun, 3),
        },
    )
