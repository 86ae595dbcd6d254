"""Covers on pages."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from unbraid.page import cover
from unbraid.page.cover import SIDE, reduced


def picture(width, height, codec="png", pixels="rgb24"):
    """An image file of that size, red on the left and blue on the right."""
    colours = np.zeros((height, width, 3), dtype=np.uint8)
    colours[:, : width // 2, 0] = colours[:, width // 2 :, 2] = 200
    encoder = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, pixels, Fraction(1)
    frame = av.VideoFrame.from_ndarray(colours, format="rgb24").reformat(format=pixels)
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def decoded(content):
    with av.open(io.BytesIO(content)) as file:
        return next(file.decode(video=0)).to_ndarray(format="rgb24")


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1000, 500), (SIDE, SIDE // 2)),
        ((300, 3000), (SIDE // 10, SIDE)),
        ((100, 90), (100, 90)),
        ((5000, 2), (SIDE, 1)),
    ],
)
def test_a_cover_is_reduced_to_the_side_of_a_page_and_keeps_its_shape_and_colours(size, expected):
    made = decoded(reduced(picture(*size)))
    assert made.shape[1::-1] == expected
    assert (made[:, 0] > 150).any(axis=-1).all()
    assert made[0, 0].argmax() == 0
    assert made[0, -1].argmax() == 2


def test_a_jpeg_cover_is_taken_too():
    assert decoded(reduced(picture(640, 640, "mjpeg", "yuvj420p"))).shape == (SIDE, SIDE, 3)


@pytest.mark.parametrize("content", [b"", b"no image at all", picture(64, 64)[:40], b"\xff\xd8", b"\x89PNG"])
def test_what_is_no_image_is_no_cover(content):
    assert reduced(content) is None


def test_a_huge_one_is_left_out(monkeypatch):
    monkeypatch.setattr(cover, "LARGEST", 64 * 64 - 1)
    assert reduced(picture(64, 64)) is None


def test_a_playlist_by_an_image_s_name_opens_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "private.png").write_bytes(picture(64, 64))
    assert reduced(b"ffconcat version 1.0\nfile private.png\n") is None
