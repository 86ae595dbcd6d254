"""A cover small enough for a page: covers may be of any size, and some are larger than all previews."""

from fractions import Fraction
from typing import Any

KINDS = {b"\x89PNG": "png", b"\xff\xd8": "mjpeg"}
LARGEST = 25_000_000  # pixels, which a job's memory holds while they are reduced
SIDE = 480  # pixels, of the longer side at the most
QUALITY = "4"  # of ffmpeg's JPEG, 2 being the best


def reduced(cover: bytes) -> bytes | None:
    """An image file's content as a JPEG file's; None for what is neither JPEG nor PNG, is damaged, or huge."""
    import av

    # By its first bytes and without a container: a playlist by an image's name could ask for other files.
    codec = next((name for start, name in KINDS.items() if cover.startswith(start)), None)
    if codec is None:
        return None
    decoder: Any = av.CodecContext.create(codec, "r")
    decoder.options = {"max_pixels": str(LARGEST)}
    try:
        pictures = [*decoder.decode(av.Packet(cover)), *decoder.decode(None)]
    except av.FFmpegError:
        return None
    if not pictures:
        return None
    picture = pictures[0]
    scale = min(1.0, SIDE / max(picture.width, picture.height))
    size = {side: max(1, round(getattr(picture, side) * scale)) for side in ("width", "height")}
    encoder: Any = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = size["width"], size["height"], "yuvj444p"
    encoder.time_base = Fraction(1)
    encoder.options = {"qmin": QUALITY, "qmax": QUALITY}
    made = picture.reformat(**size, format="yuvj444p", interpolation="LANCZOS")
    made.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(made), *encoder.encode(None)])
