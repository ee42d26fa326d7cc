"""Pictures are what was put in, as any reader of JPEG and PNG sees them."""

from __future__ import annotations

import base64
import io

import av
import numpy as np
import pytest

from avgn_edge.report.pictures import jpeg, palette_png


def decoded(uri, form):
    with av.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as container:
        return next(container.decode(video=0)).to_ndarray(format=form)


@pytest.mark.parametrize("colour", [(200, 30, 30), (20, 200, 40), (255, 255, 255), (0, 0, 0)])
def test_a_jpeg_keeps_its_colours(colour):
    uri = jpeg(np.full((48, 64, 3), colour, np.uint8))
    assert uri.startswith("data:image/jpeg;base64,")
    pixels = decoded(uri, "rgb24")
    assert pixels.shape == (48, 64, 3)
    assert np.abs(pixels.astype(int) - colour).max() <= 4


def test_a_jpeg_can_be_made_smaller():
    assert decoded(jpeg(np.zeros((224, 224, 3), np.uint8), 96, 54), "rgb24").shape == (54, 96, 3)


def test_a_palette_keeps_colours_and_transparency():
    palette = np.zeros((256, 4), np.uint8)
    palette[1], palette[2] = (255, 0, 10, 255), (3, 200, 5, 255)
    indices = np.array([[0, 1], [2, 1]], np.uint8).repeat(8, 0).repeat(8, 1)
    uri = palette_png(indices, palette)
    assert uri.startswith("data:image/png;base64,")
    np.testing.assert_array_equal(decoded(uri, "rgba"), palette[indices])
