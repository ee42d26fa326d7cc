"""What is known of a long video: a row a moment, the moments a fixed time apart (AVGN, 4.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from avgn_edge.runtime.budget import Run
    from avgn_edge.runtime.sessions import Flags, Floats


class HighlightPolicy(Protocol):
    """Made of a manifest and what runs its graphs."""

    listening: ClassVar[Run]
    """What hearing one moment runs."""
    glancing: ClassVar[Run]
    """What seeing one frame runs."""
    scoring: ClassVar[tuple[Run, ...]]
    """What the saliency of one window of T moments runs."""
    audio_width: int
    """D_A, of what is known of a moment's sound."""
    visual_width: int
    """D_G, of what is known of a moment's frame."""

    def listen(self, spectrogram: Floats) -> tuple[Floats, Floats]:
        """Log-mel of one moment [1, 1, 96, 64] -> features [D_A], what it says by itself [C]."""

    def glance(self, frames: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """Frames [n, H, W, 3] -> features [n, D_G], what each says by itself [n, C]."""

    def saliency(self, visual: Floats, glanced: Flags, audio: Floats, heard: Flags) -> Floats:
        """[T, D_G], bool [T], [T, D_A], bool [T] -> how much each moment is expected to tell, [T]."""


@dataclass
class Track:
    """Rows of `audio` and `visual` count where `heard` and `glanced` say so; 8 kB a moment, 38 MB an hour."""

    times_s: NDArray[np.float64]
    """Of the moments, rising, [n]."""
    audio: Floats
    """e^A [n, D_A]."""
    heard: Flags
    visual: Floats
    """e^G, averaged over space, [n, D_G]."""
    glanced: Flags
    audio_says: Floats
    """f_C^A of the moment alone, [n, C]: probabilities; zero where nothing is heard."""
    glance_says: Floats
    """FC^G, [n, C]: probabilities; zero where nothing was glanced at."""

    @classmethod
    def empty(cls, times_s: NDArray[np.float64], audio_width: int, visual_width: int, classes: int) -> Track:
        """Make one of which nothing is known yet."""
        count = len(times_s)
        return cls(
            times_s,
            np.zeros((count, audio_width), np.float32),
            np.zeros(count, np.bool_),
            np.zeros((count, visual_width), np.float32),
            np.zeros(count, np.bool_),
            np.zeros((count, classes), np.float32),
            np.zeros((count, classes), np.float32),
        )

    def __len__(self) -> int:
        return len(self.times_s)

    @property
    def spacing_s(self) -> float:
        """Seconds between two moments, and the length of the bin that each stands for."""
        return float(self.times_s[1] - self.times_s[0]) if len(self) > 1 else 2 * float(self.times_s[0])


def moment_times(duration_s: float, spacing_s: float, least: int) -> NDArray[np.float64]:
    """Return the centres of equal bins, `spacing_s` long or a little longer, shorter only to make `least` of them.

    float64 [n], seconds, rising.
    """
    count = max(least, int(duration_s / spacing_s))
    return np.asarray((np.arange(count) + 0.5) * (duration_s / count), dtype=np.float64)


class Salience:
    """The saliency of each moment."""

    def __init__(self, track: Track, policy: HighlightPolicy, window: int) -> None:
        """`window` is T, the moments that the network sees at once; the track has at least so many."""
        self._track, self._policy, self._window = track, policy, window
        self._starts = _starts(len(track), window)
        self._outputs = np.zeros((len(self._starts), window), np.float32)

    def update(self, moments: Iterable[int] | None = None) -> Floats:
        """Score the windows that hold any of `moments` (None: on all), and return s, float32 [n]."""
        changed = None if moments is None else np.fromiter(moments, np.int64)
        track = self._track
        for index, start in enumerate(self._starts):
            stop = start + self._window
            if changed is None or ((start <= changed) & (changed < stop)).any():
                rows = slice(start, stop)
                self._outputs[index] = self._policy.saliency(
                    track.visual[rows], track.glanced[rows], track.audio[rows], track.heard[rows]
                )
        total, count = np.zeros(len(track), np.float32), np.zeros(len(track), np.float32)
        for start, output in zip(self._starts, self._outputs, strict=True):
            total[start : start + self._window] += output
            count[start : start + self._window] += 1
        mean: Floats = total / count
        return mean


def window_count(moments: int, window: int) -> int:
    """Return how many windows cover so many moments."""
    return len(_starts(moments, window))


def _starts(moments: int, window: int) -> list[int]:
    last = moments - window
    return [*range(0, last, max(1, window // 2)), last]


_TINY = 1e-6


def answers(track: Track, task: str) -> Floats:
    """Return the probabilities of each moment, [n, C].

    One label a clip: the product of what sound and glance say, normalised (independent evidence, all classes as likely
    beforehand); neither leaves all classes as likely. Several labels: the larger of the two.
    """
    if task != "single-label":
        return np.maximum(track.audio_says, track.glance_says)
    classes = track.audio_says.shape[1]
    audio = np.where(track.heard[:, np.newaxis], track.audio_says, 1 / classes)
    glance = np.where(track.glanced[:, np.newaxis], track.glance_says, 1 / classes)
    product = np.maximum(audio, _TINY) * np.maximum(glance, _TINY)
    normal: Floats = (product / product.sum(axis=1, keepdims=True)).astype(np.float32)
    return normal


def sureness(probabilities: Floats, task: str) -> Floats:
    """Return how far the best class of each moment stands above chance, 0…1: [n, C] -> [n]."""
    best: Floats = probabilities.max(axis=1)
    chance = 1 / probabilities.shape[1] if task == "single-label" and probabilities.shape[1] > 1 else 0.0
    return np.asarray(np.clip((best - chance) / (1 - chance), 0, 1), dtype=np.float32)


def scores(saliency: Floats, track: Track, task: str) -> Floats:
    """Return the score of each moment, [n], 0 or more: how salient it is among its neighbours, times how sure."""
    return np.asarray(np.maximum(saliency, 0) * sureness(answers(track, task), task), dtype=np.float32)
