"""What is known of a long video: a row a moment, the moments a fixed time apart (AVGN, 4.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from avgn_edge.runtime.graphs import Flags, Floats


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
