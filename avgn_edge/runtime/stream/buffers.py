"""The frames and the last seconds of sound of a stream, kept until the moments that need them."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final

import av
import numpy as np

from avgn_edge._base.errors import ClipError
from avgn_edge.media.array_clip import checked_pcm
from avgn_edge.media.frames import FrameConverter, FrameGeometry, Orientation
from avgn_edge.media.front_ends import YAMNET, FrontEnd
from avgn_edge.media.resample import Resampler, mixed, mono_frame
from avgn_edge.media.windows import HEARD_PEAK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.frame import AudioFrame
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


HALF_WINDOW_S: Final = YAMNET.window_samples / 2 / YAMNET.sample_rate
"""Of every front end."""
PIECE_S: Final = 1.0
"""Sound is taken in pieces of at most this."""
SLACK_S: Final = 0.1
"""Time stamps of devices tremble: nearer than this to where the samples counted so far would put it is on time."""


class SoundRing:
    """The sound of the last `seconds`; gaps are silent, and what comes late overwrites what is there."""

    def __init__(self, seconds: float, front_end: FrontEnd = YAMNET) -> None:
        self._rate, self._length = front_end.sample_rate, front_end.window_samples
        self._samples = np.zeros(round(seconds * self._rate), dtype=np.float32)
        self._end: int | None = None  # the position after the last sample, at that rate from second 0
        self._resampler: Resampler | None = None
        self._kind: tuple[str, str, int] | None = None
        self.due_s: float | None = None
        """When the next piece begins if it does not say; None before the first."""

    @property
    def end_s(self) -> float:
        """Up to when there is sound that can be used; before any, -inf."""
        return -math.inf if self._end is None else self._end / self._rate

    def push(self, frame: AudioFrame, time_s: float) -> None:
        """Take the next piece, of any rate, format and channels, that begins at `time_s`.

        What begins elsewhere than the piece before ended, or is of another kind, starts a run of its own.
        """
        if frame.samples < 1 or frame.sample_rate < 1:
            return
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        due_s = time_s if self.due_s is None else self.due_s
        if self._resampler is None or kind != self._kind or abs(time_s - due_s) > SLACK_S:
            self.end_run()
            self._resampler, self._kind, due_s = Resampler(self._rate), kind, time_s
            self._place(round(time_s * self._rate))
        self.due_s = due_s + frame.samples / frame.sample_rate
        self._write(self._resampler.push(frame))

    def end_run(self) -> None:
        """Let the rest of what was pushed through: nothing follows it."""
        if self._resampler is not None:
            self._write(self._resampler.end())
        self._resampler = None

    def window(self, time_s: float) -> tuple[NDArray[np.float32], bool]:
        """Return the sound around `time_s`, float32 [samples], zero where there is none, and whether there is any."""
        out = np.zeros(self._length, dtype=np.float32)
        if self._end is None:
            return out, False
        start = round((time_s - HALF_WINDOW_S) * self._rate)
        oldest = self._end - len(self._samples)
        first, last = max(start, oldest), min(start + self._length, self._end)
        if first < last:
            out[first - start : last - start] = self._samples[first - oldest : last - oldest]
        np.nan_to_num(out, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        return out, bool(np.abs(out).max() > HEARD_PEAK)

    def clear(self) -> None:
        """Forget everything: time begins anew."""
        self._resampler, self._end, self.due_s = None, None, None
        self._samples[:] = 0.0

    def _place(self, position: int) -> None:
        """Go to a position: silence up to it, or back over what was there."""
        if self._end is None or position - self._end >= len(self._samples) or self._end - position > len(self._samples):
            self._samples[:] = 0.0
            self._end = position
        elif position >= self._end:
            self._write(np.zeros(position - self._end, dtype=np.float32))
        else:
            back = self._end - position
            self._samples[back:] = self._samples[:-back].copy() if back < len(self._samples) else 0.0
            self._samples[:back] = 0.0
            self._end = position

    def _write(self, samples: NDArray[np.float32]) -> None:
        if self._end is None or not len(samples):
            return
        self._end += len(samples)
        samples = samples[-len(self._samples) :]
        kept = len(self._samples) - len(samples)
        self._samples[:kept] = self._samples[len(samples) :].copy()
        self._samples[kept:] = samples


def sound_frames(samples: NDArray[np.generic] | AudioFrame, sample_rate: int | None) -> Iterator[AudioFrame]:
    """Samples, [n] or [n, channels], as PyAV's mono frames of at most `PIECE_S`; ClipError for what is no sound."""
    if not isinstance(samples, np.ndarray):
        if not hasattr(samples, "sample_rate"):
            raise ClipError("the sound of a stream", f"it is a {type(samples).__name__}", "give an array of samples")
        yield samples
        return
    pcm = checked_pcm("the sound of a stream", samples, sample_rate)
    block = max(1, round(PIECE_S * pcm.rate))
    for start in range(0, pcm.length, block):
        yield mono_frame(mixed(pcm.read(start, min(start + block, pcm.length)).T), pcm.rate)
