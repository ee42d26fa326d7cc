"""The 0.975 s of sound around each moment (AVGN's a_t), filled from pieces of a track in any order."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from avgn_edge.media.clip import SoundLimit
from avgn_edge.media.front_ends import YAMNET, FrontEnd
from avgn_edge.media.resample import Resampler, mixed, mono_frame, whole_step

if TYPE_CHECKING:
    import soundfile


HEARD_PEAK: Final = 1e-4
"""A window without a sample above this is silent: 16-bit sound has steps of 3e-5, and dithered silence one or two."""

FAR: Final = 2**62
BLOCK_S: Final = 1.0
MARGIN_S: Final = 0.1
"""Read in addition on either side of a window, so that the resampler's filter sees no false edge."""


class WindowBuffer:
    """The windows of a clip, zero until they are written; memory does not grow with the length of the track.

    Positions are samples at the front end's rate from the file's second 0; sample 0 of a window lies half a window
    before its moment.
    A reader goes forwards and tells `go_on` how far it has come. With a `limit`, as many windows are wanted as there is
    time for, the most important ones of those to come; they are chosen again after each complete window. While all
    are silent, one more is wanted whatever the time, for sound is the shortest way to an answer.

    Args:
        times_s: The moments, in seconds of the file.
        sound_s: Start and end of the sound that is used, in seconds of the file; what lies outside stays zero. None is
            no limit.
        limit: How much time there is; None is no limit.
        front_end: What the windows are for: their rate and their length.
    """

    def __init__(
        self,
        times_s: Iterable[float],
        sound_s: tuple[float | None, float | None] = (None, None),
        limit: SoundLimit | None = None,
        front_end: FrontEnd = YAMNET,
    ) -> None:
        self.rate: Final = front_end.sample_rate
        self._length = front_end.window_samples
        half = self._length / 2 / self.rate
        first_s, end_s = sound_s
        self._first = -FAR if first_s is None else round(first_s * self.rate)
        self._end = FAR if end_s is None else round(end_s * self.rate)
        self.starts: Final = tuple(round((moment_s - half) * self.rate) for moment_s in times_s)
        self.samples: Final = np.zeros((len(self.starts), self._length), dtype=np.float32)
        self.not_finite = False
        """Whether `finish` found infinite samples or NaN, and made them silent."""
        self._limit = limit
        self._rank = {moment: rank for rank, moment in enumerate(limit.order)} if limit else {}
        self._want(range(len(self.starts)))
        self._begun_s: float | None = None
        self._done: set[int] = set()
        self._stopped = False
        self._heard = False

    @property
    def patient(self) -> bool:
        """Whether time is unlimited."""
        return self._limit is None

    @property
    def unread(self) -> list[int]:
        """The windows that were not read for lack of time."""
        if self._limit is None:
            return []
        read = self._done if self._stopped else self._done | self._wanted
        return [moment for moment in range(len(self.starts)) if moment not in read]

    def go_on(self, position: int) -> bool:
        """Note that all wanted sound before `position` was read; return whether to read on."""
        limit = self._limit
        if limit is None:
            return True
        now = time.perf_counter()
        complete = {moment for moment in self._wanted if self.starts[moment] + self._length <= position}
        if self._begun_s is None:
            self._begun_s = now
            self._choose(limit, -FAR, complete, now, limit.each_s)  # windows before the track's start are complete
        elif complete != self._done:
            self._choose(limit, position, complete, now, (now - self._begun_s) / max(1, len(complete)))
        self._stopped = self._heard and now + limit.later_s(len(self._done)) > limit.deadline
        return not self._stopped

    def write(self, position: int, samples: NDArray[np.float32]) -> None:
        """Copy `samples` (float32 [n], the first at `position`) into every window they reach."""
        end = position + len(samples)
        for window, start in zip(self.samples, self.starts, strict=True):
            first, last = max(position, start, self._first), min(end, start + self._length, self._end)
            if first < last:
                window[first - start : last - start] = samples[first - position : last - position]

    def next_needed(self, position: int) -> int | None:
        """Return the first sample at or after `position` in a wanted window; None if all lie before it."""
        following = bisect_right(self._in_order, position - self._length)
        return max(self._in_order[following], position) if following < len(self._in_order) else None

    def spans(self) -> list[tuple[int, int]]:
        """Return (start, end) of the wanted windows, joined where they touch, in order of time."""
        spans: list[tuple[int, int]] = []
        for start in self._in_order:
            if spans and start <= spans[-1][1]:
                spans[-1] = (spans[-1][0], start + self._length)
            else:
                spans.append((start, start + self._length))
        return spans

    def finish(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the windows (float32 [n, samples]) and whether there is sound in them (bool [n])."""
        self.samples[self.unread] = 0.0
        peaks = _peaks(self.samples)
        self.not_finite = not np.isfinite(peaks).all()
        if self.not_finite:
            np.nan_to_num(self.samples, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
            peaks = _peaks(self.samples)
        return self.samples, peaks > HEARD_PEAK

    def _choose(self, limit: SoundLimit, position: int, done: set[int], now: float, each_s: float) -> None:
        """Choose as many whole windows to come as there is time for, and at least one while nothing was heard."""
        begun = {moment for moment in self._wanted - done if self.starts[moment] < position}
        to_come = [moment for moment, start in enumerate(self.starts) if start >= position and moment not in done]
        candidates = sorted(begun) + sorted(to_come, key=lambda moment: self._rank.get(moment, len(self._rank)))
        count = len(candidates)
        while count and now + each_s * count + limit.later_s(len(done) + count) > limit.deadline:
            count -= 1
        self._heard = self._heard or bool((_peaks(self.samples[sorted(done - self._done)]) > HEARD_PEAK).any())
        self._done = done
        self._want(done | set(candidates[: max(count, 0 if self._heard else 1)]))

    def _want(self, moments: Iterable[int]) -> None:
        self._wanted = set(moments)
        self._in_order = sorted(self.starts[moment] for moment in self._wanted)


def _peaks(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the largest magnitude in each window, [n, samples] -> [n]: not finite if any sample is not."""
    peaks: NDArray[np.float32] = np.maximum(windows.max(axis=1, initial=0.0), -windows.min(axis=1, initial=0.0))
    return peaks


class ArrayPcm:
    """A waveform in memory: [samples] or [samples, channels]; floats are ±1, integers full scale."""

    def __init__(self, waveform: NDArray[np.generic], rate: int) -> None:
        self._waveform = waveform[:, np.newaxis] if waveform.ndim == 1 else waveform
        self.rate = rate
        self.length = len(waveform)

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return samples `start` … `stop`, float32 [n, channels]."""
        samples = self._waveform[start:stop]
        if samples.dtype.kind not in "iu":
            return samples.astype(np.float32)
        limits = np.iinfo(samples.dtype)  # type: ignore[type-var]
        half = (int(limits.max) - int(limits.min) + 1) / 2
        return ((samples.astype(np.float64) - (int(limits.min) + half)) / half).astype(np.float32)


class SoundFileTrack:
    """The track of a plain audio file that is open in libsndfile: it can be read at any sample."""

    def __init__(self, sound: soundfile.SoundFile) -> None:
        self._sound = sound
        self.rate: int = int(sound.samplerate)
        self.length: int = int(sound.frames)
        self.duration_s = self.length / self.rate
        self.damaged = 0
        """How many packets could not be decoded: none, for a file is read or it is not."""
        self.decoded = 0
        """How often the sound was read."""

    def fill(self, windows: WindowBuffer) -> None:
        """Write the sound around every moment into `windows`; raises what soundfile raises."""
        fill_windows(windows, self)
        self.decoded += 1

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return samples `start` … `stop`, float32 [n, channels]; fewer where the sound ends early."""
        self._sound.seek(start)
        return np.asarray(self._sound.read(stop - start, dtype="float32", always_2d=True), dtype=np.float32)

    def close(self) -> None:
        """Close the file."""
        self._sound.close()


Pcm: TypeAlias = ArrayPcm | SoundFileTrack


def fill_windows(windows: WindowBuffer, pcm: Pcm) -> None:
    """Write the sound around every moment into `windows`; it is read a second at a time, and no other sound."""
    step = whole_step(pcm.rate, windows.rate)
    margin = round(MARGIN_S * pcm.rate)
    place = min(windows.starts, default=0)
    resampler = Resampler(windows.rate)
    while windows.go_on(place):
        following = [span for span in windows.spans() if span[1] > place]
        if not following:
            break
        start, end = max(following[0][0], place), following[0][1]
        place = end
        first = max(0, (start * pcm.rate // windows.rate - margin) // step * step)
        last = min(pcm.length, -(-end * pcm.rate // windows.rate) + margin)
        if first < last:
            _fill_span(windows, pcm, resampler, first, last)


def _fill_span(windows: WindowBuffer, pcm: Pcm, resampler: Resampler, first: int, last: int) -> None:
    block = max(1, round(BLOCK_S * pcm.rate))
    position = first * windows.rate // pcm.rate
    for start in range(first, last, block):
        samples = pcm.read(start, min(start + block, last))
        if len(samples) == 0:
            break
        ready = resampler.push(mono_frame(mixed(samples.T), pcm.rate))
        windows.write(position, ready)
        position += len(ready)
        if not windows.go_on(position):
            break
    windows.write(position, resampler.end() if last == pcm.length else resampler.pause())
