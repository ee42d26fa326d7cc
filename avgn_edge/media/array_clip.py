"""A clip of arrays, for programs that have a camera and a microphone of their own."""

from __future__ import annotations

import time
from bisect import bisect_right
from itertools import pairwise
from math import isfinite
from numbers import Real
from typing import TYPE_CHECKING, Final

import av
import numpy as np
from numpy.typing import NDArray

from avgn_edge._base.arguments import instance, shown, whole
from avgn_edge._base.errors import ClipError
from avgn_edge.media.clip import Clip, OutOfTime, SoundLimit, not_heard
from avgn_edge.media.frames import DEFAULT_GEOMETRY, FrameConverter, FrameGeometry
from avgn_edge.media.front_ends import YAMNET, FrontEnd
from avgn_edge.media.moments import DEFAULT_COUNT, centred_moments
from avgn_edge.media.source import as_clip_error
from avgn_edge.media.windows import ArrayPcm, WindowBuffer, fill_windows

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME: Final = "<arrays>"
FRAMES: Final = "frames of uint8 [H, W, 3], RGB, 0 to 255"
WAVEFORM: Final = "a waveform of [samples], [samples, channels] or [channels, samples]"
MOST_CHANNELS: Final = 64
"""As many as FFmpeg's layouts name."""
USUAL_CHANNELS: Final = 8
"""7.1."""
LEAST_RATE, MOST_RATE = 1_000, 1_000_000
"""Samples a second; less is kilohertz by mistake."""


class ArrayClip(Clip):
    """A `Clip` of frames and a waveform in memory; frames are converted only when asked for.

    Args:
        frames: uint8 [n, H, W, 3], RGB, upright, or a sequence of uint8 [H, W, 3]; None or empty is sound only.
        waveform: [samples], [samples, channels], or [channels, samples] where the shape leaves no doubt, its first
            sample at second 0; floats are ±1, integers are full scale. None is no sound.
        sample_rate: Of the waveform, in Hz.
        times: Seconds at which the frames start to be shown, never falling. None spreads the frames evenly over
            `duration_s`; without a duration or sound they are a second apart.
        duration_s: How long the clip lasts. None is until the last of `times`, else as long as the waveform.
        count: How many moments the clip has.
        geometry: The size of the frames that networks see.
        front_end: What the sound is made ready for.
        name: What to call the clip in messages and results.

    Raises:
        ClipError: The arrays are no frames, no waveform, or neither is given.
        ArgumentError: `count` or `geometry` is of a wrong type.
    """

    def __init__(
        self,
        frames: NDArray[np.uint8] | Sequence[NDArray[np.uint8]] | None,
        waveform: NDArray[np.generic] | None = None,
        sample_rate: int | None = None,
        times: Sequence[float] | NDArray[np.floating] | None = None,
        *,
        duration_s: float | None = None,
        count: int = DEFAULT_COUNT,
        geometry: FrameGeometry = DEFAULT_GEOMETRY,
        front_end: FrontEnd = YAMNET,
        name: str = NAME,
    ) -> None:
        self.name = name
        self._front_end = front_end
        whole("count", count, 1)
        instance("geometry", geometry, FrameGeometry)
        self._frames = _checked_frames(name, frames)
        self._pcm = None if waveform is None else checked_pcm(name, waveform, sample_rate)
        if not len(self._frames) and self._pcm is None:
            raise ClipError(name, "there are neither frames nor sound", "give at least one of them")
        sound_s = 0.0 if self._pcm is None else self._pcm.length / self._pcm.rate
        self._times = _checked_times(name, times, len(self._frames))
        self.duration_s = _duration(name, self._times, len(self._frames), sound_s, duration_s)
        if self._times is None and len(self._frames):
            self._times = [self.duration_s * i / len(self._frames) for i in range(len(self._frames))]
        self.moments = centred_moments(self.duration_s, count)
        self.has_video, self.has_audio = len(self._frames) > 0, self._pcm is not None
        self._warnings = [] if self.has_audio else ["no audio track"]
        self._converter = FrameConverter(geometry)
        self._windows: tuple[NDArray[np.float32], NDArray[np.bool_]] | None = None

    @property
    def display_size(self) -> tuple[int, int] | None:
        """(width, height) of the frames; None without any."""
        if not self.has_video:
            return None
        height, width = self._frames[0].shape[:2]
        return int(width), int(height)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was found wrong with the clip so far."""
        return tuple(self._warnings)

    @property
    def conversions(self) -> int:
        """How many frames have been converted."""
        return self._converter.conversions

    def windows(self, limit: SoundLimit | None = None) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the sound around the moments (float32 [moments, samples]) and whether there is any (bool [moments]).

        It is made ready once: what the limit of the first call left out stays out, and a warning says so.
        """
        if self._windows is None:
            buffer = WindowBuffer((moment.time_s for moment in self.moments), limit=limit, front_end=self._front_end)
            if self._pcm is not None:
                with as_clip_error(self.name, f"give {WAVEFORM}"):
                    fill_windows(buffer, self._pcm)
                if buffer.unread:
                    self._warnings.append(not_heard(len(buffer.unread), len(self.moments)))
            self._windows = buffer.finish()
            if buffer.not_finite:
                self._warnings.append("samples that are not finite numbers were taken for silence")
        return self._windows

    def work(self, indices: Sequence[int]) -> int:
        """Return about how much there is to convert for these moments, in thousands of pixels."""
        width, height = self.display_size or (0, 0)
        return len(indices) * (1 + width * height // 1_000)

    def frames(self, indices: Sequence[int], deadline: float | None = None) -> list[NDArray[np.uint8]]:
        """Convert the frames of the moments `indices`, each uint8 [crop, crop, 3], in that order.

        Raises OutOfTime if `deadline`, in seconds of `time.perf_counter`, has come before.
        """
        if not self.has_video:
            raise ClipError(self.name, "it has no frames", "ask for its sound only")
        if deadline is not None and time.perf_counter() > deadline:
            raise OutOfTime
        positions = [self._frame_at(self.moments[index].time_s) for index in indices]
        pixels = {position: self._rgb(position) for position in sorted(set(positions))}
        return [pixels[position] for position in positions]

    def picture(self, index: int) -> NDArray[np.uint8]:
        """Return the whole frame of a moment in its own size: uint8 [H, W, 3]; it may be the caller's own array."""
        if not self.has_video:
            raise ClipError(self.name, "it has no frames", "ask for its sound only")
        return _checked_frame(self.name, self._frames[self._frame_at(self.moments[index].time_s)])

    def _frame_at(self, time_s: float) -> int:
        return max(0, bisect_right(self._times or (), time_s) - 1)

    def _rgb(self, position: int) -> NDArray[np.uint8]:
        frame = _checked_frame(self.name, self._frames[position])
        with as_clip_error(self.name, "give frames of uint8 [H, W, 3]"):
            return self._converter.rgb(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"))


def _checked_frames(
    name: str, frames: NDArray[np.uint8] | Sequence[NDArray[np.uint8]] | None
) -> NDArray[np.uint8] | Sequence[NDArray[np.uint8]]:
    """Return the frames, checked: all arrays of a list, but of a lazy sequence only the first."""
    if frames is None:
        return ()
    if isinstance(frames, str | bytes | dict) or not (hasattr(frames, "__len__") and hasattr(frames, "__getitem__")):
        raise ClipError(name, f"the frames are {shown(frames)}", f"give {FRAMES}")
    if isinstance(frames, np.ndarray) and frames.ndim == 3:
        raise ClipError(name, f"the frames are {frames.dtype} {list(frames.shape)}", f"give {FRAMES}: [n, H, W, 3]")
    with as_clip_error(name, f"give {FRAMES}"):
        for at in range(len(frames) if isinstance(frames, list | tuple) else min(1, len(frames))):
            if at == 0 or isinstance(frames[at], np.ndarray):
                _checked_frame(name, frames[at])
    return frames


def _checked_frame(name: str, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    with as_clip_error(name, f"give {FRAMES}"):
        frame = np.asarray(frame)
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise ClipError(name, f"a frame is {frame.dtype} {list(frame.shape)}", f"give {FRAMES}")
    return frame


def checked_pcm(name: str, waveform: NDArray[np.generic], sample_rate: int | None) -> ArrayPcm:
    """Return a waveform so that it can be read at any sample.

    Args:
        name: What to call the clip in errors.
        waveform: [samples], [samples, channels], or [channels, samples] as torchaudio has it. The last is known by its
            shape, for no waveform has more than `MOST_CHANNELS` channels. If both sizes may be channels, it is
            [samples, channels], unless there would be fewer samples than channels, and more channels than 7.1.
        sample_rate: In Hz.

    Raises:
        ClipError: It is no waveform, or the shape leaves doubt.
    """
    with as_clip_error(name, f"give {WAVEFORM}"):
        waveform = np.asarray(waveform)
    rate = _checked_rate(name, sample_rate)
    if waveform.ndim not in {1, 2} or (waveform.ndim == 2 and waveform.shape[1] == 0):
        raise ClipError(name, f"the waveform is {list(waveform.shape)}", f"give {WAVEFORM}")
    if waveform.dtype.kind not in "fiu":
        raise ClipError(name, f"the waveform is of {waveform.dtype}", "give float32 between -1 and 1, or integers")
    if waveform.ndim == 2 and not _channels_last(*waveform.shape):
        if not 1 <= waveform.shape[0] <= MOST_CHANNELS < waveform.shape[1]:
            why = f"the waveform is {list(waveform.shape)}, and neither size is clearly that of channels"
            raise ClipError(name, why, f"give {WAVEFORM}")
        waveform = waveform.T
    return ArrayPcm(waveform, rate)


def _checked_rate(name: str, rate: object) -> int:
    number = float(rate) if isinstance(rate, Real) and not isinstance(rate, bool) else 0.0
    if not (LEAST_RATE <= number <= MOST_RATE and number.is_integer()):
        what_to_do = f"give sample_rate, in samples a second, {LEAST_RATE} to {MOST_RATE}"
        raise ClipError(name, f"the sample rate of the waveform is {shown(rate)}", what_to_do)
    return int(number)


def _channels_last(first: int, second: int) -> bool:
    """Return whether a waveform of these sizes is [samples, channels], or too short for a doubt to matter."""
    if second > MOST_CHANNELS:
        return False
    return first == 0 or first >= second or second <= USUAL_CHANNELS


def _checked_times(name: str, times: Sequence[float] | NDArray[np.floating] | None, frames: int) -> list[float] | None:
    if times is None:
        return None
    with as_clip_error(name, "give a sequence of seconds, one a frame"):
        seconds = [float(time) for time in times]
    if len(seconds) != frames:
        raise ClipError(name, f"there are {len(seconds)} times for {frames} frames", "give one time a frame")
    if not np.isfinite(seconds).all() or any(b < a for a, b in pairwise(seconds)):
        raise ClipError(name, "the times fall or are not finite", "give the frames in order of time")
    return seconds


def _duration(name: str, times: list[float] | None, frames: int, sound_s: float, wanted_s: float | None) -> float:
    """Return the clip's seconds: `wanted_s`, else as long as the frames last, else as the sound does."""
    if wanted_s is not None:
        if not (isinstance(wanted_s, Real) and isfinite(wanted_s) and wanted_s >= 0):
            raise ClipError(name, f"its duration is {shown(wanted_s)} s", "give seconds, or leave it out")
        return float(wanted_s)
    if times:
        # The last frame is taken to last as long as the others do on average.
        step = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.0
        return max(0.0, times[-1] + step)
    return sound_s if sound_s > 0 or not frames else float(frames)
