"""Decoding as one writes it with PyAV and nothing else: what others do, and the floor under what this package does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
from numpy.typing import NDArray

from avgn_edge.media.logmel import SAMPLE_RATE, WINDOW_SAMPLES
from avgn_edge.media.source import UNPROBED

RESIZE, CROP = 256, 224
OFFSET = (RESIZE - CROP) // 2
READ_ON_S = 1.0
"""Reading on is what anyone does where the next frame is nearer than this: a seek would go back to the key frame."""
PREROLL_S = 0.1
"""Of sound before a window: a frame of AAC needs the one before it."""

Threads = Literal["AUTO", "SLICE"]


def frames_at(path: Path, seconds: Sequence[float], threads: Threads = "AUTO") -> NDArray[np.uint8]:
    """Decode the frames shown at `seconds`, which rise: uint8 [n, 224, 224, 3], RGB.

    Seek to each and decode on to it, reading on where the next is near. `threads` is PyAV's `thread_type`.
    """
    found = []
    # The header of these clips says all; probing would decode a frame that nobody asked for.
    with av.open(str(path), options=UNPROBED) as container:
        stream = container.streams.video[0]
        stream.thread_type = threads
        base = stream.time_base or Fraction(1)
        current: av.VideoFrame | None = None
        following = _frames(container, stream)
        for second in seconds:
            # The last frame at or before `second`; half a tick of slack for its rounding.
            wanted = int(second / base + 0.5)
            if current is None or second - float(_pts(current) * base) > READ_ON_S:
                container.seek(wanted, stream=stream)
                following, current = _frames(container, stream), None
            while current is None or _pts(current) + int(current.duration or 1) <= wanted:
                after = next(following, None)
                if after is None:
                    break
                current = after
            if current is None:
                raise ValueError(f"{path} has no frame at {second:.3f} s")
            small = current.reformat(width=RESIZE, height=RESIZE, format="rgb24").to_ndarray()
            found.append(small[OFFSET : OFFSET + CROP, OFFSET : OFFSET + CROP])
    return np.stack(found)


def whole_sound(path: Path) -> NDArray[np.float32]:
    """Decode all of the sound: float32 [n], mono at 16 kHz."""
    with av.open(str(path), options=UNPROBED) as container:
        return _resampled(container.decode(audio=0))


def sound_around(path: Path, seconds: Sequence[float]) -> NDArray[np.float32]:
    """Decode the 0.975 s of sound around each of `seconds`, which rise, and no other: float32 [n, 15600].

    Windows that are nearer to one another than `READ_ON_S` are read in one go.
    """
    half = WINDOW_SAMPLES / 2 / SAMPLE_RATE
    runs: list[list[float]] = []
    for second in seconds:
        if runs and second - runs[-1][-1] < 2 * half + READ_ON_S:
            runs[-1].append(second)
        else:
            runs.append([second])
    windows = []
    with av.open(str(path), options=UNPROBED) as container:
        stream = container.streams.audio[0]
        for run in runs:
            first_s, last_s = max(0.0, run[0] - half), run[-1] + half
            container.seek(int(max(0.0, first_s - PREROLL_S) / (stream.time_base or 1)), stream=stream)
            kept = []
            for frame in container.decode(stream):
                begin_s = frame.time or 0.0
                if begin_s >= last_s:
                    break
                if begin_s + frame.samples / frame.sample_rate > first_s:
                    kept.append((begin_s, frame))
            origin_s = kept[0][0] if kept else first_s
            sound = _resampled(frame for _, frame in kept)
            windows.append(windows_of(sound, [second - origin_s for second in run]))
    return np.concatenate(windows)


def windows_of(sound: NDArray[np.float32], seconds: Sequence[float]) -> NDArray[np.float32]:
    """Cut the windows around `seconds` out of a whole sound at 16 kHz: float32 [n, 15600], zero outside it."""
    padded = np.pad(sound, WINDOW_SAMPLES)
    starts = (round(second * SAMPLE_RATE) + WINDOW_SAMPLES // 2 for second in seconds)
    return np.stack([padded[start : start + WINDOW_SAMPLES] for start in starts])


def centres(seconds: float, count: int) -> list[float]:
    """Return the centres of `count` equal bins."""
    return [seconds * (at + 0.5) / count for at in range(count)]


def _pts(frame: av.VideoFrame) -> int:
    return frame.pts or 0


def _frames(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    return (frame for frame in container.decode(stream) if frame.pts is not None)


def _resampled(frames: Iterable[av.AudioFrame]) -> NDArray[np.float32]:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
    pieces = []
    for frame in frames:
        frame.pts = None
        pieces += [made.to_ndarray()[0] for made in resampler.resample(frame)]
    pieces += [made.to_ndarray()[0] for made in resampler.resample(None)]
    return np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.float32)
