"""Sound of any rate, format and number of channels to 16 kHz mono, without delay (AVGN, section 4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import av
import numpy as np
from numpy.typing import NDArray

from avgn_edge.media.logmel import SAMPLE_RATE

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

TOGETHER_S: Final = 0.25
"""Seconds of sound that are resampled at once: as much later comes what a stream is told."""
NOTHING: Final = np.zeros(0, dtype=np.float32)


class Resampler:
    """One uninterrupted run of sound: what `push` and `end` return, joined, is the run at 16 kHz.

    Channels are averaged in NumPy because libswresample's own mix to mono weighs them: floats before resampling, which
    then has one channel to do (both are linear), other formats after it.
    Frames are resampled some at a time: a frame of AAC lasts 23 ms, and Python takes longer over one than FFmpeg does.
    """

    def __init__(self, together_s: float = TOGETHER_S) -> None:
        self._together_s = together_s
        self._resampler = av.AudioResampler(format="fltp", rate=SAMPLE_RATE)
        self._waiting = av.AudioFifo()

    def push(self, frame: AudioFrame) -> NDArray[np.float32]:
        """Take the next frame of the run, of the same kind; return the samples that are ready, float32 [n]."""
        # Time is the caller's business: with a pts FFmpeg would stretch or fill.
        frame.pts = None
        self._waiting.write(frame)
        if self._waiting.samples < self._together_s * frame.sample_rate:
            return NOTHING
        return self._resampled()

    def end(self) -> NDArray[np.float32]:
        """Return the rest of the run, float32 [n]."""
        return np.concatenate([self._resampled(), _mono(self._resampler.resample(None))])

    def _resampled(self) -> NDArray[np.float32]:
        waiting = self._waiting.read()
        if waiting is None:
            return NOTHING
        waiting.pts = None
        if waiting.format.name == "fltp" and waiting.layout.nb_channels > 1:
            waiting = mono_frame(_mono([waiting]), waiting.sample_rate)
        return _mono(self._resampler.resample(waiting))


def mono_frame(samples: NDArray[np.float32], rate: int) -> AudioFrame:
    """Wrap `samples` (float32 [n], mono) for `Resampler.push`."""
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[np.newaxis]), format="fltp", layout="mono")
    frame.sample_rate = rate
    return frame


def _mono(frames: list[AudioFrame]) -> NDArray[np.float32]:
    pieces = [np.asarray(frame.to_ndarray(), dtype=np.float32) for frame in frames]
    mono = [piece[0] if len(piece) == 1 else piece.mean(axis=0, dtype=np.float32) for piece in pieces]
    return mono[0] if len(mono) == 1 else np.concatenate(mono or [NOTHING])
