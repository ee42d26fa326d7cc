"""Saliency over a video of any length: windows of T moments that overlap by half, averaged (AVGN, 3.3 and 4.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from avgn_edge.highlights.policy import HighlightPolicy
    from avgn_edge.highlights.track import Track
    from avgn_edge.runtime.graphs import Floats


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
