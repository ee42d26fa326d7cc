"""A contact sheet: the frame at each segment's peak, the best first, with its rank, its time and its score."""

from __future__ import annotations

from functools import cache
from math import ceil, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import av
import numpy as np
from numpy.typing import NDArray

from avgn_edge._base.atomic import whole
from avgn_edge._base.errors import ClipError
from avgn_edge.media.frames import FrameGeometry
from avgn_edge.media.opening import open_clip

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from avgn_edge.runtime.highlights.long_video import VideoSource
    from avgn_edge.runtime.highlights.result import Highlights, Segment


WIDTH: Final = 5
HEIGHT: Final = 7
_ROWS: Final = {
    "0": "01110 10001 10011 10101 11001 10001 01110",
    "1": "00100 01100 00100 00100 00100 00100 01110",
    "2": "01110 10001 00001 00110 01000 10000 11111",
    "3": "11110 00001 00001 01110 00001 00001 11110",
    "4": "00010 00110 01010 10010 11111 00010 00010",
    "5": "11111 10000 11110 00001 00001 10001 01110",
    "6": "00110 01000 10000 11110 10001 10001 01110",
    "7": "11111 00001 00010 00100 01000 01000 01000",
    "8": "01110 10001 10001 01110 10001 10001 01110",
    "9": "01110 10001 10001 01111 00001 00010 01100",
    ":": "00000 00100 00100 00000 00100 00100 00000",
    ".": "00000 00000 00000 00000 00000 01100 01100",
    "#": "01010 01010 11111 01010 11111 01010 01010",
    "-": "00000 00000 00000 11111 00000 00000 00000",
    " ": "00000 00000 00000 00000 00000 00000 00000",
}


def draw(text: str, scale: int) -> NDArray[np.bool_]:
    """Return `text` as ink, bool [7 · scale, 6 · scale · len(text)]; what has no glyph is left blank."""
    letters = [np.pad(_glyph(character), ((0, 0), (0, 1))) for character in text] or [_glyph(" ")]
    return np.asarray(np.hstack(letters).repeat(scale, axis=0).repeat(scale, axis=1), dtype=np.bool_)


@cache
def _glyph(character: str) -> NDArray[np.bool_]:
    rows = _ROWS.get(character, _ROWS[" "]).split()
    return np.array([[pixel == "1" for pixel in row] for row in rows], dtype=np.bool_)


CELL: Final = 320
"""Pixels of a picture's longer side."""
GAP: Final = 8
SCALE: Final = 2
MOST_COLUMNS: Final = 6
PAPER: Final = 24
INK: Final = 224
_READ: Final = 480
"""Pixels square that frames are read at, before they get their shape back."""


def write_sheet(told: Highlights, source: VideoSource, path: Path) -> None:
    """Write the sheet as a PNG; ClipError for highlights without a picture to show.

    A cell says "#rank minutes:seconds score"; labels are in the JSON.
    """
    if not told.segments:
        raise ClipError(told.video, "it has no highlights to show", "leave the contact sheet out")
    pictures = _pictures(told, source)
    height, width = pictures[0].shape[:2]
    caption = HEIGHT * SCALE + GAP
    columns = min(MOST_COLUMNS, ceil(sqrt(len(pictures))))
    rows = ceil(len(pictures) / columns)
    step_x, step_y = width + GAP, height + caption + GAP
    # Even sizes suit every viewer and encoder.
    shape = (-(-(rows * step_y + GAP) // 2) * 2, -(-(columns * step_x + GAP) // 2) * 2, 3)
    sheet = np.full(shape, PAPER, np.uint8)
    for index, (picture, segment) in enumerate(zip(pictures, told.segments, strict=True)):
        top, left = GAP + index // columns * step_y, GAP + index % columns * step_x
        sheet[top : top + height, left : left + width] = picture
        text = draw(_caption(segment), SCALE)[:, :width]
        at = top + height + GAP // 2
        sheet[at : at + text.shape[0], left : left + text.shape[1]][text] = INK
    with whole(path) as unfinished:
        _write_png(unfinished, sheet)


def _pictures(told: Highlights, source: VideoSource) -> list[NDArray[np.uint8]]:
    """Return the peaks' frames in the order of the segments, uint8 [h, w, 3], upright, in their own shape."""
    order = sorted(range(len(told.segments)), key=lambda index: told.segments[index].peak_s)
    times = [told.segments[index].peak_s for index in order]
    with open_clip(cast("str", source), geometry=FrameGeometry(_READ, _READ), times=times) as clip:
        if not clip.has_video:
            raise ClipError(told.video, "it has no video", "leave the contact sheet out")
        frames = clip.frames(range(len(times)))
        across, down = clip.display_size or (_READ, _READ)
    scale = CELL / max(across, down)
    size = max(2, round(across * scale)), max(2, round(down * scale))
    return [_shaped(frames[order.index(index)], *size) for index in range(len(frames))]


def _shaped(frame: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(width=width, height=height)
    return picture.to_ndarray().astype(np.uint8, copy=False)


def _caption(segment: Segment) -> str:
    minutes, seconds = divmod(int(segment.peak_s), 60)
    return f"#{segment.rank} {minutes}:{seconds:02d} {segment.score:.2f}"


def _write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as output:
        stream = output.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = pixels.shape[1], pixels.shape[0], "rgb24"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        output.mux(stream.encode(None))
