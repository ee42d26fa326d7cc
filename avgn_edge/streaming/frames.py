"""The frame of each moment that is due: taken when the stream comes to it, at 224 × 224, and kept until it is used."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

import av
import numpy as np

from avgn_edge.errors import ClipError
from avgn_edge.media.frames import FrameConverter, FrameGeometry
from avgn_edge.media.orientation import Orientation

if TYPE_CHECKING:
    from numpy.typing import NDArray

Taken = tuple["NDArray[np.uint8]", tuple[int, int]]
"""A frame at 224 × 224, and the (width, height) that it had upright."""


class FramesDue:
    """Takes the first frame at or after each time that it is asked for; no other is converted."""

    def __init__(self, geometry: FrameGeometry, keep: int) -> None:
        self._converter = FrameConverter(geometry)
        self._taken: deque[tuple[float, Taken]] = deque(maxlen=keep)
        self.end_s = -math.inf
        """The time of the newest frame that was offered."""

    def offer(self, frame: NDArray[np.uint8] | av.VideoFrame, time_s: float, due_s: float | None) -> None:
        """Note that there is a frame, and keep it if one is due. ClipError for what is no frame, due or not."""
        if not isinstance(frame, av.VideoFrame):
            frame = np.asarray(frame)
            if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
                why = f"it is {frame.dtype} {list(frame.shape)}"
                raise ClipError("a frame of a stream", why, "give frames of uint8 [H, W, 3], RGB")
        self.end_s = max(self.end_s, time_s)
        if due_s is not None and time_s >= due_s:
            self._taken.append((time_s, self._convert(frame)))

    def pop(self, time_s: float, until_s: float) -> Taken | None:
        """Take the frame that was kept for `time_s`, if it is of before `until_s`; older ones are let go."""
        while self._taken and self._taken[0][0] < time_s:
            self._taken.popleft()
        if self._taken and self._taken[0][0] < until_s:
            return self._taken.popleft()[1]
        return None

    def clear(self) -> None:
        """Forget everything: time begins anew."""
        self._taken.clear()
        self.end_s = -math.inf

    def _convert(self, frame: NDArray[np.uint8] | av.VideoFrame) -> Taken:
        if isinstance(frame, av.VideoFrame):
            orientation = Orientation.of(frame)
        else:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            orientation = Orientation()
        return self._converter.rgb(frame, orientation), orientation.size(frame.width, frame.height)
