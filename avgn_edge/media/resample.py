"""Sound of any rate, format and number of channels to 16 kHz mono, without delay (AVGN, section 4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np
from numpy.typing import NDArray

from avgn_edge.media.logmel import SAMPLE_RATE

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame


class Resampler:
    """One uninterrupted run of sound: what `push` and `end` return, joined, is the run at 16 kHz.

    Channels are averaged after resampling (both are linear) because libswresample's own mix to mono weighs them.
    """

    def __init__(self) -> None:
        self._resampler = av.AudioResampler(format="fltp", rate=SAMPLE_RATE)

    def push(self, frame: AudioFrame) -> NDArray[np.float32]:
        """Take the next frame of the run; return the samples that are ready, float32 [n]."""
        # Time is the caller's business: with a pts FFmpeg would stretch or fill.
        frame.pts = None
        return _mono(self._resampler.resample(frame))

    def end(self) -> NDArray[np.float32]:
        """Return the rest of the run, float32 [n]."""
        return _mono(self._resampler.resample(None))


def mono_frame(samples: NDArray[np.float32], rate: int) -> AudioFrame:
    """Wrap `samples` (float32 [n], mono) for `Resampler.push`."""
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[np.newaxis]), format="fltp", layout="mono")
    frame.sample_rate = rate
    return frame


def _mono(frames: list[AudioFrame]) -> NDArray[np.float32]:
    if not frames:
        return np.zeros(0, dtype=np.float32)
    pieces = [np.asarray(frame.to_ndarray(), dtype=np.float32).mean(axis=0, dtype=np.float32) for frame in frames]
    return np.concatenate(pieces)
