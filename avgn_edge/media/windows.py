"""The 0.975 s of sound around each moment, filled from pieces of a track in whatever order they come (AVGN's a_t)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from avgn_edge.media.logmel import SAMPLE_RATE, WINDOW_SAMPLES

HEARD_PEAK: Final = 1e-4
"""A window with no sample above this is silence: 16-bit sound has steps of 3e-5, dithered silence one or two."""

FAR: Final = 2**62


class WindowBuffer:
    """The windows of a clip, zero until written; memory does not grow with the length of the track.

    Positions are samples at 16 kHz from the file's second 0; sample 0 of a window lies half a window before its moment.
    What lies outside `sound_s`, seconds of the file, stays zero; None is no limit.
    """

    def __init__(self, times_s: Iterable[float], sound_s: tuple[float | None, float | None] = (None, None)) -> None:
        half = WINDOW_SAMPLES / 2 / SAMPLE_RATE
        first_s, end_s = sound_s
        self._first = -FAR if first_s is None else round(first_s * SAMPLE_RATE)
        self._end = FAR if end_s is None else round(end_s * SAMPLE_RATE)
        self.starts: Final = tuple(round((time - half) * SAMPLE_RATE) for time in times_s)
        self.samples: Final = np.zeros((len(self.starts), WINDOW_SAMPLES), dtype=np.float32)

    def write(self, position: int, samples: NDArray[np.float32]) -> None:
        """Copy `samples` (float32 [n], the first at `position`) into every window they reach."""
        end = position + len(samples)
        for window, start in zip(self.samples, self.starts, strict=True):
            first, last = max(position, start, self._first), min(end, start + WINDOW_SAMPLES, self._end)
            if first < last:
                window[first - start : last - start] = samples[first - position : last - position]

    def next_needed(self, position: int) -> int | None:
        """Return the first sample at or after `position` that a window wants, or None when all lie before it."""
        wanted = [max(start, position) for start in self.starts if start + WINDOW_SAMPLES > position]
        return min(wanted, default=None)

    def spans(self) -> list[tuple[int, int]]:
        """Return the windows' (start, end), joined where they touch, in order of time."""
        spans: list[tuple[int, int]] = []
        for start in sorted(self.starts):
            if spans and start <= spans[-1][1]:
                spans[-1] = (spans[-1][0], start + WINDOW_SAMPLES)
            else:
                spans.append((start, start + WINDOW_SAMPLES))
        return spans

    def finish(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the windows (float32 [n, 15600]) and which of them have sound in them (bool [n])."""
        np.nan_to_num(self.samples, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        return self.samples, np.abs(self.samples).max(axis=1, initial=0.0) > HEARD_PEAK
