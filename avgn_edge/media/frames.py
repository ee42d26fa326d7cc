"""Turns decoded frames into what networks see: upright, 256 × 256, the middle 224 (AVGN, section 4.1)."""

from __future__ import annotations

import contextlib
import io
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from numpy.typing import NDArray

from avgn_edge._base.arguments import whole
from avgn_edge._base.errors import ArgumentError
from avgn_edge.media.source import LIBRARY_ERRORS

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream


_EXIF_CODECS: Final = frozenset({"mjpeg", "png", "webp"})
_EXIF_BYTES: Final = 2**16
"""How much of a picture is searched for EXIF."""
_EXIF_ORIENTATION: Final = 0x0112
_MATRIX_AT: Final = 44
"""Bytes from the name of MP4's "tkhd" box, version 0, to its matrix of nine big-endian int32."""
Pixels = NDArray[np.uint8]
"""A picture: [height, width, 3], RGB."""
Box = tuple[float, float, float, float]
"""x, y of the top-left corner, width, height."""
# Numbers of libavutil's AVColorSpace that swscale has too: BT.709, FCC, BT.601 (twice), SMPTE 240M, BT.2020.
_KNOWN_COLOUR_SPACES: Final = frozenset({1, 4, 5, 6, 7, 9})
_BT709, _BT601 = 1, 5
_HD_WIDTH, _HD_HEIGHT = 1_280, 720
# Accurate rounding, which changes a pixel by a level or two, is missing before PyAV 18.
_INTERPOLATION: Final = Interpolation.BILINEAR | getattr(Interpolation, "ACCURATE_RND", Interpolation.BILINEAR)


@dataclass(frozen=True)
class Orientation:
    """How a stored picture is displayed: transposed first, then mirrored."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Orientation:
        """Return the orientation that `MirrorImage` set, else the frame's rotation to the nearest quarter turn."""
        if isinstance(frame.opaque, cls):
            return frame.opaque
        try:
            turns = round(frame.rotation / 90)  # counterclockwise
        except (ValueError, OverflowError):
            return cls()  # a matrix of zeros has no angle
        return {1: cls(True, False, True), -1: cls(True, True, False), 2: _HALF_TURN, -2: _HALF_TURN}.get(turns, cls())

    @classmethod
    def from_matrix(cls, a: int, b: int, c: int, d: int) -> Orientation:
        """Return the orientation nearest to a matrix that displays the stored (x, y) at (a·x + c·y, b·x + d·y)."""
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(False, a < 0, d < 0)
        return cls(True, c < 0, b < 0)

    @property
    def mirrored(self) -> bool:
        """Whether it shows a mirror image."""
        return self.transpose ^ self.mirror_x ^ self.mirror_y

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn `pixels` (uint8 [H, W, 3]) upright; the result may be a view."""
        if self.transpose:
            pixels = pixels.swapaxes(0, 1)
        return pixels[:: -1 if self.mirror_y else 1, :: -1 if self.mirror_x else 1]

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return the displayed (width, height) of a picture stored as `width` × `height`."""
        return (height, width) if self.transpose else (width, height)


_HALF_TURN: Final = Orientation(False, True, True)


# The mirror images among EXIF's orientations.
_EXIF_MIRRORED: Final = {
    2: Orientation(mirror_x=True),
    4: Orientation(mirror_y=True),
    5: Orientation(transpose=True),
    7: Orientation(True, True, True),
}


class MirrorImage:
    """Marks the frames of a stream that is displayed as a mirror image, which a frame's rotation cannot say.

    The container says so, or the EXIF in the first packet.
    """

    def __init__(self, stream: VideoStream, first: Packet[VideoStream] | None = None) -> None:
        orientations = [_container_orientation(stream)]
        if first is not None and stream.codec_context.name in _EXIF_CODECS:
            orientations.append(_EXIF_MIRRORED.get(_exif_orientation(bytes(first)[:_EXIF_BYTES])))
        self._orientation = next((one for one in orientations if one is not None and one.mirrored), None)

    def note(self, frame: av.VideoFrame) -> None:
        """Store the orientation in `frame`, for `Orientation.of`."""
        if self._orientation is not None:
            frame.opaque = replace(self._orientation)  # a copy each: PyAV lets go of an object with its first frame


def _container_orientation(stream: VideoStream) -> Orientation | None:
    """Return the orientation in the container's display matrix for `stream`; None without one that can be read.

    PyAV gives no access to it: it is read from the header of an MP4 file made with the same stream, in half a
    millisecond.
    """
    if not {"mov", "matroska"} & set(stream.container.format.name.split(",")):
        return None
    header = io.BytesIO()
    with contextlib.suppress(*LIBRARY_ERRORS):
        output = av.open(header, "w", format="mov", options={"movflags": "empty_moov"})
        with contextlib.closing(output):
            output.add_stream_from_template(stream)
            output.start_encoding()
    start = header.getvalue().find(b"tkhd") + _MATRIX_AT
    values = np.frombuffer(header.getvalue()[start : start + 20], dtype=">i4")
    if start < _MATRIX_AT or len(values) < 5:
        return None
    a, b, _, c, d = (int(value) for value in values)
    return Orientation.from_matrix(a, b, c, d)


def _exif_orientation(picture: bytes) -> int:
    """Return the orientation in the EXIF of a JPEG, PNG or WebP file, 1…8; 1 where there is none."""
    start = max(picture.find(b"II*\0"), picture.find(b"MM\0*"))
    if start < 0:
        return 1
    tiff, order = picture[start:], "<" if picture[start : start + 1] == b"I" else ">"
    with contextlib.suppress(struct.error):
        (at,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, at)
        for entry in range(count):
            tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, at + 2 + 12 * entry)
            if tag == _EXIF_ORIENTATION:
                return int(value)
    return 1


@dataclass(frozen=True)
class FrameGeometry:
    """How a displayed frame becomes a network's input: squeezed to a square, of which the middle is cut out.

    Args:
        resize: The side of the square in pixels.
        crop: The side of the middle in pixels.
    """

    resize: int = 256
    crop: int = 224

    def __post_init__(self) -> None:
        whole("resize", self.resize, 1)
        whole("crop", self.crop, 1)
        if self.crop > self.resize:
            raise ArgumentError(f"crop={self.crop}", f"it must lie in 1..{self.resize}, resize", "give fewer pixels")

    @property
    def offset(self) -> int:
        """How many pixels are cut off at the left and at the top of the resized frame."""
        return (self.resize - self.crop) // 2

    def to_source(self, box: Box, display_size: tuple[int, int]) -> Box:
        """Map `box` from pixels of the crop to pixels of the displayed frame, `display_size` = (width, height)."""
        x, y, width, height = box
        across, down = display_size[0] / self.resize, display_size[1] / self.resize
        return (x + self.offset) * across, (y + self.offset) * down, width * across, height * down


DEFAULT_GEOMETRY: Final = FrameGeometry()


class FrameConverter:
    """Converts decoded frames and counts them; it keeps swscale's context for frames of the same kind."""

    def __init__(self, geometry: FrameGeometry) -> None:
        self.conversions = 0
        self._geometry = geometry
        self._reformatter = VideoReformatter()

    def rgb(self, frame: av.VideoFrame, orientation: Orientation | None = None) -> NDArray[np.uint8]:
        """Return `frame` upright, resized (bilinear, with the filter widened for shrinking) and cropped.

        Args:
            frame: As it was decoded. Transparency is dropped.
            orientation: How it is displayed; None is as the frame says.

        Returns:
            uint8 [crop, crop, 3], RGB, full range, contiguous.
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
    """Return (width, height) of `frame` turned upright, in stored pixels, whatever their aspect ratio."""
    return Orientation.of(frame).size(frame.width, frame.height)


def _colour_space(frame: av.VideoFrame) -> int | None:
    """Return swscale's number for the colour space of `frame`; untagged frames go by their size, as in players."""
    if frame.format.is_rgb:
        return None
    space = int(frame.colorspace)
    if space in _KNOWN_COLOUR_SPACES:
        return _BT601 if space == 6 else space
    return _BT709 if frame.width >= _HD_WIDTH or frame.height >= _HD_HEIGHT else _BT601
