"""The scores of a long video's moments: saliency over windows that overlap, times how sure they are (AVGN, 4.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from avgn_edge.bundle.manifest import Manifest
    from avgn_edge.runtime.budget import Run
    from avgn_edge.runtime.moments_table import MomentsTable
    from avgn_edge.runtime.sessions import Floats, GraphRunner


class HighlightPolicy(Protocol):
    """What a network runs on the moments of a long video, and writes into their rows of `seen`."""

    listening: ClassVar[Run]
    """What hearing one moment runs."""
    glancing: ClassVar[Run]
    """What seeing one frame runs."""
    scoring: ClassVar[tuple[Run, ...]]
    """What the saliency of one window of T moments runs."""
    seen: MomentsTable

    def __init__(self, manifest: Manifest, runner: GraphRunner, moments: int) -> None:
        """Begin with a table of so many moments."""

    def listen(self, spectrogram: Floats, moment: int) -> None:
        """Hear a moment: its log-mel, [1, 1, 96, 64]."""

    def glance(self, frames: NDArray[np.uint8], moments: Sequence[int]) -> None:
        """See the frames of moments, uint8 [n, H, W, 3], RGB."""

    def saliency(self, window: slice) -> Floats:
        """How much each of T moments is expected to tell, [T]."""


def moment_times(duration_s: float, spacing_s: float, least: int) -> NDArray[np.float64]:
    """Return the centres of equal bins, `spacing_s` long or a little longer, shorter only to make `least` of them.

    float64 [n], seconds, rising.
    """
    count = max(least, int(duration_s / spacing_s))
    return np.asarray((np.arange(count) + 0.5) * (duration_s / count), dtype=np.float64)


class Salience:
    """The saliency of each moment."""

    def __init__(self, policy: HighlightPolicy, window: int) -> None:
        """`window` is T, the moments that the network sees at once; its table has at least so many."""
        self._policy, self._moments, self._window = policy, len(policy.seen), window
        self._starts = _starts(self._moments, window)
        self._outputs = np.zeros((len(self._starts), window), np.float32)

    def update(self, moments: Iterable[int] | None = None) -> Floats:
        """Score the windows that hold any of `moments` (None: on all), and return s, float32 [n]."""
        changed = None if moments is None else np.fromiter(moments, np.int64)
        for index, start in enumerate(self._starts):
            stop = start + self._window
            if changed is None or ((start <= changed) & (changed < stop)).any():
                self._outputs[index] = self._policy.saliency(slice(start, stop))
        total, count = np.zeros(self._moments, np.float32), np.zeros(self._moments, np.float32)
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


def answers(seen: MomentsTable, classes: int, task: str) -> Floats:
    """Return the probabilities of each moment, [n, C].

    One label a clip: the product of what sound and glance say, normalised (independent evidence, all classes as likely
    beforehand); neither leaves all classes as likely. Several labels: the larger of the two.
    """
    unknown = 1 / classes if task == "single-label" else 0.0
    sound, glance = (np.full((len(seen), classes), unknown, np.float32) for _ in range(2))
    for says, known in ((sound, seen.sound_probabilities), (glance, seen.glance_probabilities)):
        for moment, probabilities in known.items():
            says[moment] = probabilities
    if task != "single-label":
        return np.maximum(sound, glance)
    product = np.maximum(sound, _TINY) * np.maximum(glance, _TINY)
    normal: Floats = (product / product.sum(axis=1, keepdims=True)).astype(np.float32)
    return normal


def sureness(probabilities: Floats, task: str) -> Floats:
    """Return how far the best class of each moment stands above chance, 0…1: [n, C] -> [n]."""
    best: Floats = probabilities.max(axis=1)
    chance = 1 / probabilities.shape[1] if task == "single-label" and probabilities.shape[1] > 1 else 0.0
    return np.asarray(np.clip((best - chance) / (1 - chance), 0, 1), dtype=np.float32)


def scores(saliency: Floats, says: Floats, task: str) -> Floats:
    """Return the score of each moment, [n], 0 or more: how salient it is among its neighbours, times how sure."""
    return np.asarray(np.maximum(saliency, 0) * sureness(says, task), dtype=np.float32)
