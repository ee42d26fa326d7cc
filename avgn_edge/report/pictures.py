"""The pictures in a page, as data URIs: frames as JPEG; the spectrogram and large tables as PNG with a palette."""

from __future__ import annotations

import base64
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, Literal

import av
import numpy as np

from avgn_edge.media.front_ends import YAMNET

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from avgn_edge.report.record import Box, Record


QUALITY: Final = "4"
"""Of JPEG, libavcodec's scale: 2 is best, 31 worst. A frame of 224 pixels takes some 9 kB."""
GLANCE_PIXELS: Final = 144
"""The longer side of a frame that was only glanced at."""
THUMBNAIL_PIXELS: Final = 96
WINDOW_S: Final = YAMNET.window_samples / YAMNET.sample_rate
COLUMNS: Final = 1_200
"""Pixels of the spectrogram's width."""
LEAST_SHARE: Final = 0.3
"""Of a moment's sixteenth that its sound takes at least: in an hour, a second would be invisible."""
SHADES: Final = 96
_LEAST_RANGE: Final = 4.0
"""In ln: what is even is drawn as even, not as its noise."""
_COLOURS: Final = (
    (20, 11, 53),
    (74, 16, 107),
    (140, 41, 99),
    (206, 67, 68),
    (244, 125, 21),
    (248, 192, 50),
    (252, 249, 180),
)
"""From quiet to loud, as light as they are loud: they read in grey too."""


def jpeg(pixels: NDArray[np.uint8], width: int | None = None, height: int | None = None) -> str:
    """Return `pixels`, uint8 [H, W, 3], RGB, as the data URI of a JPEG, resized where a size is given."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    frame = frame.reformat(width=width or frame.width, height=height or frame.height, format="yuvj420p")
    return _uri("image/jpeg", frame, "mjpeg", {"qmin": QUALITY, "qmax": QUALITY})


def palette_png(indices: NDArray[np.uint8], palette: NDArray[np.uint8]) -> str:
    """Return the data URI of a PNG of `indices`, uint8 [H, W], into `palette`, uint8 [256, 4], RGBA."""
    # PyAV's palettes are in libav's order of bytes, ARGB.
    ordered = np.ascontiguousarray(palette[:, [3, 0, 1, 2]])
    parts: Any = (np.ascontiguousarray(indices), ordered)  # PyAV's types do not know of palettes
    return _uri("image/png", av.VideoFrame.from_ndarray(parts, format="pal8"), "png")


def thumbnail(record: Record) -> str | None:
    """Return a small picture of the first look, or else of the first glance; None of a clip of which none was seen."""
    index = next((moment.index for moment in record.looked), next(iter(record.frames), None))
    if index is None or record.shown is None:
        return None
    return jpeg(record.frames[index], *fitted(record.shown, THUMBNAIL_PIXELS))


def fitted(shown: Box, longest: int) -> tuple[int, int]:
    """Return the (width, height) of the shown part with a longer side of `longest`, at least 16 and even."""
    scale = longest / max(shown[2], shown[3])
    width, height = (max(16, 2 * round(side * scale / 2)) for side in shown[2:])
    return width, height


def spectrogram(record: Record) -> NDArray[np.uint8]:
    """Return the sound on the clip's time axis, uint8 [bands, 1200]: 0 where nothing was heard, else a shade from 1 on.

    Low tones are at the bottom. Shades run from the quietest to the loudest of this clip.
    """
    picture = np.zeros((record.spectrograms.shape[2], COLUMNS), dtype=np.uint8)
    if not record.heard.any():
        return picture
    low = max(record.silence, float(np.quantile(record.spectrograms, 0.02)))
    high = max(float(np.quantile(record.spectrograms, 0.998)), low + _LEAST_RANGE)
    shades = 1 + np.clip((record.spectrograms - low) / (high - low) * (SHADES - 1), 0, SHADES - 1).astype(np.uint8)
    heard = [moment for moment in record.moments if record.heard[moment.index]]
    duration, count = record.result.duration_s, len(record.moments)
    for moment, shade in zip(heard, shades, strict=True):
        start, width = moment.index / count, 1 / count  # as shares of the clip
        if duration > 0:
            width = max(WINDOW_S / duration, LEAST_SHARE / count)
            start = moment.time_s / duration - width / 2
        columns = np.arange(max(0, int(start * COLUMNS)), min(COLUMNS, round((start + width) * COLUMNS)))
        frames = ((columns + 0.5) / COLUMNS - start) / width * len(shade)
        picture[:, columns] = shade[np.clip(frames, 0, len(shade) - 1).astype(np.intp)].T[::-1]
    return picture


def any_widened(record: Record) -> bool:
    """Whether the spectrogram's strips of sound are drawn wider than they are."""
    return record.result.duration_s * LEAST_SHARE > WINDOW_S * len(record.moments)


def palette() -> NDArray[np.uint8]:
    """Return the colours of the spectrogram's shades, uint8 [256, 4], RGBA; 0 is transparent."""
    anchors = np.array(_COLOURS, dtype=np.float64)
    at = np.linspace(0, len(anchors) - 1, SHADES)
    colours = np.zeros((256, 4), dtype=np.uint8)
    for channel in range(3):
        colours[1 : SHADES + 1, channel] = np.interp(at, np.arange(len(anchors)), anchors[:, channel]).round()
    colours[1 : SHADES + 1, 3] = 255
    return colours


def _uri(kind: str, frame: av.VideoFrame, codec: Literal["mjpeg", "png"], options: dict[str, str] | None = None) -> str:
    context = av.CodecContext.create(codec, "w")
    context.width, context.height = frame.width, frame.height
    context.pix_fmt = frame.format.name
    context.time_base = Fraction(1, 25)  # a codec's formality
    context.thread_count = 1
    context.options = options or {}
    frame.pts = 0
    data = b"".join(bytes(packet) for packet in (*context.encode(frame), *context.encode(None)))
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
