"""The frames that were looked at, in their own size with the boxes drawn, as arrays for programs."""

from __future__ import annotations

import math
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from avgn_edge._base.errors import ClipError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager
    from typing import BinaryIO

    from avgn_edge.media.moments import Moment
    from avgn_edge.runtime.moments_table import MomentReport

COLOUR: Final = (232, 89, 12)
EDGE: Final = (255, 255, 255)
"""Around the line: it is seen on whatever is behind it."""
_SAME_S: Final = 1e-3
_LINE: Final = 1 / 160
"""Width of the box's line, of the frame's shorter side."""


@runtime_checkable
class Pictures(Protocol):
    """What a clip needs to be drawn on: its moments, and their frames in their own size."""

    @property
    def moments(self) -> tuple[Moment, ...]:
        """The moments, in order of time."""

    def picture(self, index: int) -> NDArray[np.uint8]:
        """Return the whole frame of a moment, uint8 [H, W, 3], RGB, upright."""


@dataclass(frozen=True)
class Overlay:
    """One look, to be shown."""

    moment: int
    """The index of the moment."""
    rank: int
    """0 for the first look, 1 for the second …"""
    time_s: float
    box: tuple[float, float, float, float]
    """x, y, width, height, in pixels of `frame`."""
    frame: NDArray[np.uint8] = field(compare=False, repr=False)
    """uint8 [H, W, 3], RGB, upright, in the size of the video, with the box drawn."""
    patch: NDArray[np.uint8] = field(compare=False, repr=False)
    """uint8 [h, w, 3]: what lies in the box, without the line, at whole pixels. The network saw it as a square."""


def overlay(
    name: str, moments: Iterable[MomentReport], source: str | os.PathLike[str] | bytes | BinaryIO | Pictures
) -> tuple[Overlay, ...]:
    """Decode the frames that were looked at, and draw the boxes: one a look, in their order; `name` is the clip's.

    See `Result.overlay`.
    """
    looked = sorted((moment for moment in moments if moment.box is not None), key=lambda moment: moment.time_s)
    if not looked:
        return ()
    opened, indices = _opened(name, source, looked)
    with opened as clip:
        drawn = [_drawn(moment, clip.picture(index)) for moment, index in zip(looked, indices, strict=True)]
    return tuple(sorted(drawn, key=lambda one: one.rank))


def draw_box(frame: NDArray[np.uint8], box: tuple[float, float, float, float]) -> NDArray[np.uint8]:
    """Return a copy of `frame`, uint8 [H, W, 3], RGB, with a box around x, y, width, height in its pixels."""
    drawn = np.array(frame, dtype=np.uint8)
    line = max(1, round(min(drawn.shape[:2]) * _LINE))
    x, y, across, down = _whole(box, frame.shape)
    for out, colour in ((2 * line, EDGE), (line, COLOUR), (0, EDGE)):
        # From the outside in: each ring covers the inside of the one before, and the frame's own pixels the last.
        _fill(drawn, (x - out, y - out, across + 2 * out, down + 2 * out), colour)
    inside = _clipped((x + line, y + line, across - 2 * line, down - 2 * line), frame.shape)
    drawn[inside] = frame[inside]
    return drawn


def _opened(
    name: str, source: str | os.PathLike[str] | bytes | BinaryIO | Pictures, looked: Sequence[MomentReport]
) -> tuple[AbstractContextManager[Pictures], Sequence[int]]:
    """The clip to take pictures from, to be left open if it is the caller's, and the moments' places in it."""
    if isinstance(source, Pictures):
        for moment in looked:
            if (
                moment.index >= len(source.moments)
                or abs(source.moments[moment.index].time_s - moment.time_s) > _SAME_S
            ):
                why = f"its moments are not those of the result for {name}"
                raise ClipError(getattr(source, "name", "clip"), why, "give the clip that was classified")
        return nullcontext(source), [moment.index for moment in looked]
    from avgn_edge.media.opening import open_clip  # noqa: PLC0415 - imports PyAV

    clip = open_clip(cast("str | bytes | BinaryIO", source), times=[moment.time_s for moment in looked])
    return closing(cast("_Closing", clip)), range(len(looked))


class _Closing(Pictures, Protocol):
    def close(self) -> None: ...


def _drawn(moment: MomentReport, frame: NDArray[np.uint8]) -> Overlay:
    if moment.box is None or moment.rank is None:
        raise AssertionError("what was looked at has a box")
    patch = np.ascontiguousarray(frame[_clipped(_whole(moment.box, frame.shape), frame.shape)])
    return Overlay(moment.index, moment.rank, moment.time_s, moment.box, draw_box(frame, moment.box), patch)


def _whole(box: tuple[float, float, float, float], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The part of the box that lies in a frame of `shape`, in whole pixels: at least one."""
    x, across = _span(box[0], box[2], shape[1])
    y, down = _span(box[1], box[3], shape[0])
    return x, y, across, down


def _span(start: float, length: float, most: int) -> tuple[int, int]:
    first = min(max(0, math.floor(start + 0.5)), most - 1)
    return first, min(max(first + 1, math.floor(start + length + 0.5)), most) - first


def _clipped(box: tuple[int, int, int, int], shape: tuple[int, ...]) -> tuple[slice, slice]:
    x, y, across, down = box
    return slice(max(0, y), max(0, min(y + down, shape[0]))), slice(max(0, x), max(0, min(x + across, shape[1])))


def _fill(pixels: NDArray[np.uint8], box: tuple[int, int, int, int], colour: tuple[int, int, int]) -> None:
    pixels[_clipped(box, pixels.shape)] = colour
