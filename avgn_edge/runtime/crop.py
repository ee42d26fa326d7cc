"""The patch a look sees: the bilinear crop of Eq. 17, in NumPy.

Positions are in pixels from the outer edge of the frame's first pixel: (0, 0) is the frame's top-left corner, not the
centre of its first pixel. The corner of a P×P patch lies in [0, W - P] × [0, H - P], so a patch never leaves the frame
and a whole-numbered corner copies pixels exactly. This is `grid_sample(..., align_corners=False)`'s convention, which
training uses. The fraction of the corner is the same for every pixel of the patch, so that the crop is a weighted sum
of four shifted views.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from avgn_edge._base.errors import ClipError

if TYPE_CHECKING:
    from numpy.typing import NDArray

OVERSHOOT = 1e-3
"""Pixels that rounding may put a corner outside its range; it is moved back. More is a mistake, and an error."""


def crop(frame: NDArray[np.uint8], top_left: tuple[float, float], size: int) -> NDArray[np.float32]:
    """Return the patch of `frame` whose top-left corner is `top_left`.

    frame: uint8 [H, W, 3], RGB. top_left: (x, y) in pixels. Returns float32 [size, size, 3] in 0–255. ClipError for a
    patch outside the frame.
    """
    height, width = frame.shape[:2]
    if not 1 <= size <= min(height, width):
        why = f"a patch of {size} pixels does not fit a frame of {width}×{height}"
        raise ClipError("a look", why, "give clips whose frames are of the bundle's size")
    x, across = _split(top_left[0], width - size, "x")
    y, down = _split(top_left[1], height - size, "y")
    # One row and column more where there is a fraction; where there is none they might not exist.
    patch = frame[y : y + size + (down > 0), x : x + size + (across > 0)].astype(np.float32)
    if down > 0:
        patch = _blend(patch[:-1], patch[1:], down)
    if across > 0:
        patch = _blend(patch[:, :-1], patch[:, 1:], across)
    return patch


def _split(position: float, last: int, axis: str) -> tuple[int, float]:
    """Return the whole pixels and the fraction of a corner's position in [0, last]."""
    value = float(position)
    if not -OVERSHOOT <= value <= last + OVERSHOOT:  # NaN fails this too
        why = f"the patch's {axis} is {value}, outside 0 to {last}"
        raise ClipError("a look", why, "the graph spatial gave it: try --precision fp32, or export the bundle again")
    value = min(max(value, 0.0), float(last))
    whole = math.floor(value)
    return whole, value - whole


def _blend(first: NDArray[np.float32], second: NDArray[np.float32], fraction: float) -> NDArray[np.float32]:
    """Return first + fraction · (second - first), in one new array."""
    result = second - first
    result *= np.float32(fraction)
    result += first
    return result
