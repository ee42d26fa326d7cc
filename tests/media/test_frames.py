from __future__ import annotations

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avgn_edge.media.frames import FrameConverter, FrameGeometry

WEIGHTS = {"bt601": (6, 0.299, 0.114), "bt709": (1, 0.2126, 0.0722), "bt2020": (9, 0.2627, 0.0593)}
COLOUR = (0.8, 0.3, 0.2)


def flat_frame(colour_space: str, pix_fmt: str, *, full_range: bool, size=(320, 240)) -> av.VideoFrame:
    """A frame of one colour, its YUV values computed from the standard's weights."""
    number, kr, kb = WEIGHTS[colour_space]
    r, g, b = COLOUR
    y = kr * r + (1 - kr - kb) * g + kb * b
    cb, cr = (b - y) / (2 * (1 - kb)), (r - y) / (2 * (1 - kr))
    values = (255 * y, 128 + 255 * cb, 128 + 255 * cr) if full_range else (16 + 219 * y, 128 + 224 * cb, 128 + 224 * cr)
    frame = av.VideoFrame(*size, pix_fmt)
    for plane, value in zip(frame.planes, values, strict=True):
        deep = "10" in pix_fmt
        sample = np.array([round(value * (4 if deep else 1))], dtype="<u2" if deep else "u1").tobytes()
        plane.update(sample * (plane.buffer_size // len(sample)))
    frame.colorspace, frame.color_range = number, 2 if full_range else 1
    return frame


@pytest.mark.parametrize("colour_space", WEIGHTS)
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("full_range", [False, True])
def test_colours_follow_the_tagged_standard(colour_space, pix_fmt, full_range):
    pixels = FrameConverter(FrameGeometry()).rgb(flat_frame(colour_space, pix_fmt, full_range=full_range))
    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    np.testing.assert_allclose(pixels.reshape(-1, 3), np.array([COLOUR]) * 255 * np.ones((224 * 224, 1)), atol=4)


@pytest.mark.parametrize(("size", "standard"), [((640, 480), "bt601"), ((1280, 720), "bt709")])
def test_untagged_colours_go_by_size(size, standard):
    frame = flat_frame(standard, "yuv444p", full_range=False, size=size)
    frame.colorspace = 2
    np.testing.assert_allclose(FrameConverter(FrameGeometry()).rgb(frame)[0, 0], np.array(COLOUR) * 255, atol=4)


@pytest.mark.parametrize("pix_fmt", ["rgba", "bgra", "yuva420p", "gray", "pal8", "rgb48le", "yuvj420p", "ya8", "gbrp"])
def test_every_pixel_format_converts(pix_fmt):
    frame = av.VideoFrame(33, 17, pix_fmt)
    assert FrameConverter(FrameGeometry()).rgb(frame).shape == (224, 224, 3)


def test_shrinking_averages_rather_than_skips():
    stripes = np.zeros((2048, 2048, 3), np.uint8)
    stripes[:, ::2] = 255
    pixels = FrameConverter(FrameGeometry()).rgb(av.VideoFrame.from_ndarray(stripes, format="rgb24"))
    assert abs(pixels.astype(int) - 127).max() <= 3


def test_crop_is_the_middle_of_the_resized_frame():
    """A ramp over the width tells where each column came from."""
    ramp = np.repeat(np.repeat(np.arange(256, dtype=np.uint8)[np.newaxis, :, np.newaxis], 256, axis=0), 3, axis=2)
    pixels = FrameConverter(FrameGeometry()).rgb(av.VideoFrame.from_ndarray(ramp, format="rgb24"))
    assert abs(pixels[100, :, 0].astype(int) - np.arange(16, 240)).max() <= 1


@given(st.integers(1, 8192), st.integers(1, 8192), st.floats(0, 224), st.floats(0, 224))
def test_boxes_map_linearly_to_the_displayed_frame(width, height, x, y):
    geometry = FrameGeometry()
    sx, sy, sw, sh = geometry.to_source((x, y, 224 - x, 224 - y), (width, height))
    assert sx == pytest.approx((x + 16) * width / 256)
    assert sy == pytest.approx((y + 16) * height / 256)
    assert sx + sw == pytest.approx(240 * width / 256)
    assert sy + sh == pytest.approx(240 * height / 256)


@pytest.mark.parametrize(("resize", "crop"), [(256, 0), (224, 256)])
def test_impossible_geometry_is_refused(resize, crop):
    with pytest.raises(ValueError, match="crop"):
        FrameGeometry(resize, crop)
