"""A cover small enough for a page: covers may be of any size, and some are larger than all previews."""

import io
from fractions import Fraction
from typing import Any

LARGEST = 25_000_000  # pixels, which a job's memory holds while they are reduced
SIDE = 480  # pixels, of the longer side at the most
QUALITY = "4"  # of ffmpeg's JPEG, 2 being the best


def reduced(cover: bytes) -> bytes | None:
    """An image file's content as a JPEG file's; None for what is no image that ffmpeg's libraries read, and for a huge one."""
    import av

    try:
        with av.open(io.BytesIO(cover), "r") as image:
            found = image.streams.video[0]
            if found.width * found.height > LARGEST:
                return None
            picture: Any = next(image.decode(video=0))
    except (av.FFmpegError, StopIteration, IndexError):
        return None
    scale = min(1.0, SIDE / max(picture.width, picture.height))
    size = {side: max(1, round(getattr(picture, side) * scale)) for side in ("width", "height")}
    encoder: Any = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = size["width"], size["height"], "yuvj444p"
    encoder.time_base = Fraction(1)
    encoder.options = {"qmin": QUALITY, "qmax": QUALITY}
    made = picture.reformat(**size, format="yuvj444p", interpolation="LANCZOS")
    made.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(made), *encoder.encode(None)])
