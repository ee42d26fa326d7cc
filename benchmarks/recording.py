"""A clip that the packaged network recognises: the packaged sample, of any size, again and again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from avgn_edge.bundle.reader import packaged_bundle_path
from benchmarks.scenery import SOUND_RATE, SensorNoise

SAMPLE: Final = packaged_bundle_path().parent / "sample.mp4"
TURN_S: Final = 12
"""The sample is a little shorter: its last frame stays, its sound pauses."""


class Recording:
    """The sample's pictures, resized, under the noise of a sensor; equal seeds show equal pictures."""

    def __init__(self, width: int, height: int, seed: int = 0) -> None:
        self._size = width, height
        self._seed = seed

    def frames(self, count: int, rate: int) -> Iterator[NDArray[np.uint8]]:
        """Yield the first `count` frames at `rate` a second: uint8 [H · 3 / 2, W], the planes of yuv420p."""
        width, height = self._size
        with av.open(str(SAMPLE)) as container:
            shown = list(container.decode(video=0))
            own_rate = container.streams.video[0].average_rate or rate
        noise = SensorNoise(width, height, self._seed)
        for number in range(count):
            at = min(int(number % (TURN_S * rate) * own_rate / rate), len(shown) - 1)
            planes = shown[at].reformat(width, height, format="yuv420p").to_ndarray()
            planes[:height] = noise.on(planes[:height])
            yield planes


def recorded_sound(seconds: float) -> NDArray[np.float32]:
    """Return the sample's sound, again and again: float32 [2, n] at 48 kHz."""
    resampler = av.AudioResampler(format="fltp", layout="stereo", rate=SOUND_RATE)
    with av.open(str(SAMPLE)) as container:
        pieces = [piece for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
    heard = np.concatenate([piece.to_ndarray() for piece in (*pieces, *resampler.resample(None))], axis=1)
    turn = np.zeros((2, TURN_S * SOUND_RATE), dtype=np.float32)
    length = min(heard.shape[1], turn.shape[1])
    turn[:, :length] = heard[:, :length]
    samples = round(seconds * SOUND_RATE)
    return np.tile(turn, (1, -(-samples // turn.shape[1])))[:, :samples]
