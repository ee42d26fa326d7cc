"""Resamples sound of any rate, format and number of channels to a front end's mono, without delay (AVGN, 4.1)."""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING, Final

import av
import numpy as np
from numpy.typing import NDArray

from avgn_edge.media.front_ends import YAMNET

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

TOGETHER_S: Final = 0.25
"""Seconds of sound that are resampled at once: the delay of a stream's answers."""
PAUSE_S: Final = 0.01
"""The least silence between two runs: several times what the filter reaches."""
MOST_PLANES: Final = 7
"""PyAV 17 and 18 read beyond the array of planes of a planar frame with more channels, which ends the process."""
CANCELLED: Final = 0.01
"""Channels whose sum has less than this share of their energy cancel each other, as a stereo pair wired crosswise."""
NOTHING: Final = np.zeros(0, dtype=np.float32)


class Resampler:
    """Streaming resampler to mono at `rate`: concatenate the samples that `push` and then `end` or `pause` return.

    Channels are averaged in NumPy because libswresample's own mix to mono weighs them: floats before resampling, which
    leaves it a single channel (both are linear), and other formats after it. More than `MOST_PLANES` channels are first
    packed into one plane. Several frames are resampled at once: a frame of AAC lasts 23 ms, over which Python takes
    longer than FFmpeg.
    """

    def __init__(self, rate: int = YAMNET.sample_rate, together_s: float = TOGETHER_S) -> None:
        self.rate = rate
        self._together_s = together_s
        self._waiting = av.AudioFifo()
        self._resampler = av.AudioResampler(format="fltp", rate=self.rate)
        self._packer = av.AudioResampler(format="flt")
        self._floats = False
        self._source_rate = rate
        self._taken = 0  # samples of this run that went in
        self._given = 0  # samples of it that came out
        self._late = 0  # samples of earlier runs that are still to come out

    def push(self, frame: AudioFrame) -> NDArray[np.float32]:
        """Add the next frame of the run, of the same kind; return the samples that are ready, float32 [n]."""
        # With a pts FFmpeg would stretch the sound or fill gaps.
        frame.pts = None
        self._waiting.write(frame)
        self._source_rate = frame.sample_rate
        if self._waiting.samples < self._together_s * frame.sample_rate:
            return NOTHING
        return self._resampled()

    def end(self) -> NDArray[np.float32]:
        """Return the rest of the run, float32 [n]. The next frame, of the same kind, begins another run."""
        rest = np.concatenate([self._resampled(), self._due(_mono(self._resampler.resample(None)))])
        self._resampler = av.AudioResampler(format="fltp", rate=self.rate)
        self._taken = self._given = self._late = 0
        return rest

    def pause(self) -> NDArray[np.float32]:
        """Return the rest of the run, float32 [n]. The next frame, of the same kind, begins another run.

        Unlike `end`, this keeps the filter: making it takes 0.3 ms, as long as resampling a second of sound. Silence
        drives the rest out, so much of it that the next run begins on a whole sample of what comes out.
        """
        rest = self._resampled()
        if not self._floats:
            return np.concatenate([rest, self.end()])
        step = whole_step(self._source_rate, self.rate)
        together = -(-(self._taken + round(PAUSE_S * self._source_rate)) // step) * step
        silence = mono_frame(np.zeros(together - self._taken, dtype=np.float32), self._source_rate)
        rest = np.concatenate([rest, self._due(_mono(self._resampler.resample(silence)))])
        beyond = self._given - round(self._taken * self.rate / self._source_rate)
        self._late = together * self.rate // self._source_rate - self._given
        self._taken = self._given = 0
        return rest[: len(rest) - beyond]

    def _resampled(self) -> NDArray[np.float32]:
        waiting = self._waiting.read()
        if waiting is None:
            return NOTHING
        waiting.pts = None
        self._taken += waiting.samples
        many = waiting.layout.nb_channels > MOST_PLANES
        self._floats = many or waiting.format.name == "fltp"
        if many:
            waiting = mono_frame(mixed(self._packed(waiting).T), waiting.sample_rate)
        elif self._floats and waiting.layout.nb_channels > 1:
            waiting = mono_frame(_mono([waiting]), waiting.sample_rate)
        return self._due(_mono(self._resampler.resample(waiting)))

    def _packed(self, frame: AudioFrame) -> NDArray[np.float32]:
        """Return the samples of `frame`, float32 [n, channels], without reading its planes."""
        packed = [np.asarray(part.to_ndarray(), dtype=np.float32) for part in self._packer.resample(frame)]
        return np.concatenate(packed, axis=1).reshape(-1, frame.layout.nb_channels)

    def _due(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return `samples` without those that belong to earlier runs."""
        late = min(self._late, len(samples))
        self._late -= late
        self._given += len(samples) - late
        return samples[late:]


def whole_step(rate: int, other: int) -> int:
    """Return the smallest number of samples at `rate` that last a whole number of samples at the rate `other`."""
    return rate // gcd(rate, other)


def mono_frame(samples: NDArray[np.float32], rate: int) -> AudioFrame:
    """Wrap `samples` (float32 [n], mono) for `Resampler.push`."""
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[np.newaxis]), format="fltp", layout="mono")
    frame.sample_rate = rate
    return frame


def mixed(channels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean of `channels`, float32 [channels, n] -> [n], or the loudest if they cancel each other."""
    mono: NDArray[np.float32] = channels[0]
    if len(channels) > 1:
        mono = channels.mean(axis=0, dtype=np.float32)
        energies = np.einsum("cn,cn->c", channels, channels)
        if len(channels) ** 2 * np.einsum("n,n->", mono, mono) < CANCELLED * energies.sum():
            mono = channels[int(energies.argmax())]
    return mono


def _mono(frames: list[AudioFrame]) -> NDArray[np.float32]:
    mono = [mixed(np.asarray(frame.to_ndarray(), dtype=np.float32)) for frame in frames]
    return mono[0] if len(mono) == 1 else np.concatenate(mono or [NOTHING])
