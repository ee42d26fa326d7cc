"""The NumPy crop is Eq. 17: the same as pixel by pixel, and as the crop of training."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from avgn_edge.runtime.crop import crop


def frame_of(seed, height, width):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def slow_crop(frame, top_left, size):
    """Eq. 17 read aloud, a pixel at a time, in double precision."""
    x, y = top_left
    last_row, last_column = frame.shape[0] - 1, frame.shape[1] - 1
    x0, y0 = math.floor(x), math.floor(y)
    fx, fy = x - x0, y - y0
    patch = np.zeros((size, size, 3))
    for i in range(size):
        for j in range(size):
            top, bottom = y0 + i, min(y0 + i + 1, last_row)
            left, right = x0 + j, min(x0 + j + 1, last_column)
            patch[i, j] = (
                (1 - fy) * (1 - fx) * frame[top, left].astype(float)
                + (1 - fy) * fx * frame[top, right].astype(float)
                + fy * (1 - fx) * frame[bottom, left].astype(float)
                + fy * fx * frame[bottom, right].astype(float)
            )
    return patch


def torch_crop(frame, top_left, size):
    torch = pytest.importorskip("torch")
    height, width = frame.shape[:2]
    (x, y), image = top_left, torch.from_numpy(frame.astype(np.float64) / 255).permute(2, 0, 1)[None]
    across, down = (2 * x + size) / width - 1, (2 * y + size) / height - 1  # the patch's centre in [-1, 1]
    theta = torch.tensor([[[size / width, 0, across], [0, size / height, down]]], dtype=torch.float64)
    grid = torch.nn.functional.affine_grid(theta, [1, 3, size, size], align_corners=False)
    sampled = torch.nn.functional.grid_sample(image, grid, padding_mode="border", align_corners=False)
    return sampled[0].permute(1, 2, 0).numpy() * 255


@st.composite
def cases(draw, longest):
    height, width = draw(st.integers(1, longest)), draw(st.integers(1, longest))
    size = draw(st.integers(1, min(height, width)))
    position = []
    for last in (width - size, height - size):
        inside = st.floats(0, last, width=32)
        position.append(float(draw(st.sampled_from([0, last]) | st.integers(0, last) | inside)))
    return frame_of(draw(st.integers(0, 999)), height, width), tuple(position), size


@settings(max_examples=300, deadline=None)
@given(cases(12))
def test_the_crop_is_eq_17_pixel_by_pixel(case):
    np.testing.assert_allclose(crop(*case), slow_crop(*case), atol=255e-6)


@settings(max_examples=150, deadline=None)
@given(cases(60))
@example((frame_of(0, 224, 224), (96.0, 96.0), 128))
@example((frame_of(1, 224, 224), (95.99999, 0.00001), 128))
@example((frame_of(2, 224, 224), (0.0, 48.5), 128))
@example((frame_of(3, 224, 224), (17.25, 33.875), 128))
@example((frame_of(4, 200, 224), (0.1, 95.9), 96))
def test_the_crop_is_training_s_crop(case):
    np.testing.assert_allclose(crop(*case), torch_crop(*case), atol=255e-5)


@settings(max_examples=100, deadline=None)
@given(x=st.floats(0, 96, width=32), y=st.floats(0, 96, width=32))
@example(x=96.0, y=0.0)
@example(x=96.0, y=95.99999)
def test_the_crop_is_the_model_s_own_crop(x, y):
    torch = pytest.importorskip("torch")
    from avgn_edge.architectures.avgn.network.patch_policy import crop as models_crop

    frame = frame_of(10, 224, 224)
    theirs = models_crop(torch.from_numpy(frame)[None], torch.tensor([[x, y]], dtype=torch.float32), 128)[0].numpy()
    np.testing.assert_allclose(crop(frame, (x, y), 128), theirs, atol=255e-5)


@given(x=st.integers(0, 96), y=st.integers(0, 96))
def test_a_whole_numbered_corner_copies_pixels_exactly(x, y):
    frame = frame_of(5, 224, 224)
    patch = crop(frame, (x, y), 128)
    assert np.array_equal(patch, frame[y : y + 128, x : x + 128])


def test_the_result_is_float32_writable_and_apart_from_the_frame():
    frame = frame_of(6, 20, 30)
    for corner in ((0, 0), (1.5, 2.5), (22, 12)):
        patch = crop(frame, corner, 8)
        assert (patch.dtype, patch.shape) == (np.float32, (8, 8, 3))
        assert patch.flags.c_contiguous
        before = frame.copy()
        patch[:] = -1
        assert np.array_equal(frame, before)


def test_x_runs_along_the_width():
    frame = np.zeros((10, 20, 3), np.uint8)
    frame[2, 11] = 200
    assert crop(frame, (11, 2), 4)[0, 0, 0] == 200
    assert crop(frame, (10.5, 2), 4)[0, 0, 0] == 100


@pytest.mark.parametrize("corner", [(-5e-4, 0), (96 + 5e-4, 96.0005), (np.float32(96.0005), np.float32(-0.0005))])
def test_rounding_past_the_border_is_moved_back(corner):
    frame = frame_of(7, 224, 224)
    nearest = tuple(min(max(float(value), 0), 96) for value in corner)
    assert np.array_equal(crop(frame, corner, 128), crop(frame, nearest, 128))


@pytest.mark.parametrize(
    "corner", [(-0.01, 0), (0, 96.01), (math.nan, 0), (0, math.inf), (-math.inf, 0), (1e30, 0), (np.float32("nan"), 0)]
)
def test_a_corner_outside_is_an_error(corner):
    with pytest.raises(ValueError, match="outside"):
        crop(frame_of(8, 224, 224), corner, 128)


@pytest.mark.parametrize("size", [0, -1, 21])
def test_a_patch_that_does_not_fit_is_an_error(size):
    with pytest.raises(ValueError, match="does not fit"):
        crop(frame_of(9, 20, 30), (0, 0), size)
