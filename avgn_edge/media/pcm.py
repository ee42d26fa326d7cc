"""The windows of sound that can be read at any sample: arrays, and the plain audio files libsndfile knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from avgn_edge.media.logmel import SAMPLE_RATE
from avgn_edge.media.resample import Resampler, mixed, mono_frame, whole_step

if TYPE_CHECKING:
    import soundfile

    from avgn_edge.media.windows import WindowBuffer

BLOCK_S: Final = 1.0
MARGIN_S: Final = 0.1
"""Read on either side of what is wanted, so that the resampler's filter never sees an edge that is not there."""


class Pcm(Protocol):
    """Sound that can be read at any sample."""

    @property
    def rate(self) -> int:
        """Samples a second."""

    @property
    def length(self) -> int:
        """Samples of one channel."""

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return samples `start` … `stop`, float32 [n, channels]; fewer where the sound ends early."""


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


class SoundFilePcm:
    """A plain audio file, opened with libsndfile."""

    def __init__(self, sound: soundfile.SoundFile) -> None:
        self._sound = sound
        self.rate: int = int(sound.samplerate)
        self.length: int = int(sound.frames)

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return samples `start` … `stop`, float32 [n, channels]; raises what soundfile raises."""
        self._sound.seek(start)
        return np.asarray(self._sound.read(stop - start, dtype="float32", always_2d=True), dtype=np.float32)

    def close(self) -> None:
        """Close the file."""
        self._sound.close()


def fill_windows(windows: WindowBuffer, pcm: Pcm) -> None:
    """Write the sound around every moment into `windows`; nothing else is read, a second at a time."""
    step = whole_step(pcm.rate)
    margin = round(MARGIN_S * pcm.rate)
    place = min(windows.starts, default=0)
    resampler = Resampler()
    while windows.go_on(place):
        following = [span for span in windows.spans() if span[1] > place]
        if not following:
            break
        start, end = max(following[0][0], place), following[0][1]
        place = end
        first = max(0, (start * pcm.rate // SAMPLE_RATE - margin) // step * step)
        last = min(pcm.length, -(-end * pcm.rate // SAMPLE_RATE) + margin)
        if first < last:
            _fill_span(windows, pcm, resampler, first, last)


def _fill_span(windows: WindowBuffer, pcm: Pcm, resampler: Resampler, first: int, last: int) -> None:
    block = max(1, round(BLOCK_S * pcm.rate))
    position = first * SAMPLE_RATE // pcm.rate
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
