"""From a decoded frame to the pixels the networks see: upright, 256 × 256, the middle 224 (AVGN, section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from numpy.typing import NDArray

from avgn_edge.arguments import whole
from avgn_edge.errors import ArgumentError
from avgn_edge.media.orientation import Orientation

if TYPE_CHECKING:
    import av

Box = tuple[float, float, float, float]
"""x, y of the top-left corner, width, height."""

# libavutil's AVColorSpace numbers that are also swscale's: BT.709, FCC, BT.601 (twice), SMPTE 240M, BT.2020.
_KNOWN_COLOUR_SPACES: Final = frozenset({1, 4, 5, 6, 7, 9})
_BT709, _BT601 = 1, 5
_HD_WIDTH, _HD_HEIGHT = 1_280, 720
# PyAV before 18 cannot ask for accurate rounding, which moves a pixel by a level or two.
_INTERPOLATION: Final = Interpolation.BILINEAR | getattr(Interpolation, "ACCURATE_RND", Interpolation.BILINEAR)


@dataclass(frozen=True)
class FrameGeometry:
    """How a displayed frame becomes a network's input: squeezed to `resize` pixels square, then the middle `crop`."""

    resize: int = 256
    crop: int = 224

    def __post_init__(self) -> None:
        whole("resize", self.resize, 1)
        whole("crop", self.crop, 1)
        if self.crop > self.resize:
            raise ArgumentError(f"crop={self.crop}", f"it must lie in 1..{self.resize}, resize", "give fewer pixels")

    @property
    def offset(self) -> int:
        """Pixels cut off at the left and at the top of the resized frame."""
        return (self.resize - self.crop) // 2

    def to_source(self, box: Box, display_size: tuple[int, int]) -> Box:
        """Map `box` from pixels of the crop to pixels of the displayed frame, `display_size` = (width, height)."""
        x, y, width, height = box
        across, down = display_size[0] / self.resize, display_size[1] / self.resize
        return (x + self.offset) * across, (y + self.offset) * down, width * across, height * down


class FrameConverter:
    """Converts decoded frames and counts how many: the swscale context is kept between frames of one kind."""

    def __init__(self, geometry: FrameGeometry) -> None:
        self.conversions = 0
        self._geometry = geometry
        self._reformatter = VideoReformatter()

    def rgb(self, frame: av.VideoFrame, orientation: Orientation | None = None) -> NDArray[np.uint8]:
        """Return `frame` upright, resized (bilinear, with the filter widened for shrinking) and cropped.

        uint8 [crop, crop, 3], RGB, full range, contiguous. Transparency is dropped. `orientation` is the frame's own
        unless it is given.
        """
        geometry = self._geometry
        upright = self._upright(frame, geometry.resize, geometry.resize, orientation)
        first, last = geometry.offset, geometry.offset + geometry.crop
        return np.ascontiguousarray(upright[first:last, first:last])

    def whole(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        """Return all of `frame` upright, in its own size: uint8 [H, W, 3], RGB, full range, contiguous."""
        return np.ascontiguousarray(self._upright(frame, frame.width, frame.height))

    def _upright(
        self, frame: av.VideoFrame, width: int, height: int, orientation: Orientation | None = None
    ) -> NDArray[np.uint8]:
        sized = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            src_colorspace=_colour_space(frame),
            interpolation=_INTERPOLATION,
            dst_color_range=ColorRange.JPEG,
        )
        self.conversions += 1
        orientation = Orientation.of(frame) if orientation is None else orientation
        return orientation.apply(sized.to_ndarray().astype(np.uint8, copy=False))


def upright_size(frame: av.VideoFrame) -> tuple[int, int]:
    """Return (width, height) of `frame` turned upright; pixels are counted as stored, whatever their aspect."""
    return Orientation.of(frame).size(frame.width, frame.height)


def _colour_space(frame: av.VideoFrame) -> int | None:
    """Return swscale's number for the colours of `frame`; untagged ones go by size, as players do."""
    if frame.format.is_rgb:
        return None
    space = int(frame.colorspace)
    if space in _KNOWN_COLOUR_SPACES:
        return _BT601 if space == 6 else space
    return _BT709 if frame.width >= _HD_WIDTH or frame.height >= _HD_HEIGHT else _BT601
