"""Pictures as data URIs, encoded by PyAV: a page carries all it shows, and no package is needed for it."""

from __future__ import annotations

import base64
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import av
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

QUALITY: Final = "4"
"""Of JPEG, libavcodec's scale: 2 is best, 31 worst. A frame of 224 pixels takes some 9 kB."""


def jpeg(pixels: NDArray[np.uint8], width: int | None = None, height: int | None = None) -> str:
    """Return `pixels`, uint8 [H, W, 3], RGB, as the data URI of a JPEG, resized where a size is given."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    frame = frame.reformat(width=width or frame.width, height=height or frame.height, format="yuvj420p")
    return _uri("image/jpeg", _encoded(frame, "mjpeg", {"qmin": QUALITY, "qmax": QUALITY}))


def palette_png(indices: NDArray[np.uint8], palette: NDArray[np.uint8]) -> str:
    """Return the data URI of a PNG of `indices`, uint8 [H, W], into `palette`, uint8 [256, 4], RGBA."""
    # PyAV's palettes are in libav's order of bytes, ARGB.
    ordered = np.ascontiguousarray(palette[:, [3, 0, 1, 2]])
    parts: Any = (np.ascontiguousarray(indices), ordered)  # PyAV's types do not know of palettes
    frame = av.VideoFrame.from_ndarray(parts, format="pal8")
    return _uri("image/png", _encoded(frame, "png", {}))


def _encoded(frame: av.VideoFrame, codec: str, options: dict[str, str]) -> bytes:
    context: av.VideoCodecContext = av.CodecContext.create(codec, "w")  # type: ignore[assignment]
    context.width, context.height = frame.width, frame.height
    context.pix_fmt = frame.format.name
    context.time_base = Fraction(1, 25)  # a codec's formality
    context.thread_count = 1
    context.options = options
    frame.pts = 0
    return b"".join(bytes(packet) for packet in (*context.encode(frame), *context.encode(None)))


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
