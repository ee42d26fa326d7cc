"""How the pictures of a video are turned for display, read without PyAV's `side_data`.

`frame.side_data` is never asked for: PyAV 17 and 18 let the frame and the wrapper each free the same metadata, so that
a picture with a named ICC profile ends the process at a later garbage collection, and kinds of data that are newer than
PyAV ("31 is not a valid Type") make it raise. `frame.rotation` does neither, but tells a mirrored picture from a turned
one only by halves: the matrix of the container, or a photograph's EXIF, tells the rest.
"""

from __future__ import annotations

import contextlib
import io
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import av
import numpy as np
from numpy.typing import NDArray

from avgn_edge.media.faults import LIBRARY_ERRORS

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

_EXIF_CODECS: Final = frozenset({"mjpeg", "png", "webp"})
_EXIF_BYTES: Final = 2**16
"""EXIF begins within this, if there is any."""
_EXIF_ORIENTATION: Final = 0x0112
_MATRIX_AT: Final = 44
"""Bytes from the name of MP4's "tkhd" box, version 0, to its matrix of nine big-endian int32."""


@dataclass(frozen=True)
class Orientation:
    """How a stored picture is turned for display: transposed first, then mirrored."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Orientation:
        """Return what `MirrorImage` noted on `frame`, else its rotation to the nearest quarter turn."""
        noted = frame.opaque
        if isinstance(noted, cls):
            return noted
        try:
            turns = round(frame.rotation / 90)  # counterclockwise
        except (ValueError, OverflowError):
            return cls()  # a matrix of zeros has no angle
        return {1: cls(True, False, True), -1: cls(True, True, False), 2: _HALF_TURN, -2: _HALF_TURN}.get(turns, cls())

    @classmethod
    def from_matrix(cls, a: int, b: int, c: int, d: int) -> Orientation:
        """Return what is nearest to a display matrix that shows the stored (x, y) at (a·x + c·y, b·x + d·y)."""
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
    """Notes on the frames of a stream that it is shown as a mirror image, where its container or `first` says so."""

    def __init__(self, stream: VideoStream, first: Packet[VideoStream] | None = None) -> None:
        found = [_container_orientation(stream)]
        if first is not None and stream.codec_context.name in _EXIF_CODECS:
            found.append(_EXIF_MIRRORED.get(_exif_orientation(bytes(first)[:_EXIF_BYTES])))
        self._orientation = next((one for one in found if one is not None and one.mirrored), None)

    def note(self, frame: av.VideoFrame) -> None:
        """Let `Orientation.of` know of `frame` what its rotation does not tell."""
        if self._orientation is not None:
            frame.opaque = replace(self._orientation)  # a copy each: PyAV lets go of an object with its first frame


def _container_orientation(stream: VideoStream) -> Orientation | None:
    """Read the display matrix that the container gives for `stream`; None without one that can be read.

    PyAV has no other way to it than the header of an MP4 file with the same stream: half a millisecond.
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
