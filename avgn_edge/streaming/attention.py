"""Which moments of a stream are worth a glance, and which a look: a policy is an object with two methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class StreamAttention(Protocol):
    """Decides what is paid for; what cannot be paid for it is not asked about."""

    def worth_glance(self, saliency: NDArray[np.float32], fullness: float) -> bool:
        """Whether to glance at the newest moment, the last of `saliency` [n]; `fullness` is the bucket's, 0…1."""
        ...

    def next_look(self, saliency: NDArray[np.float32], candidates: Sequence[int], fullness: float) -> int | None:
        """Which of the moments `candidates` of `saliency` [n] to look at; None for no look now."""
        ...


@dataclass(frozen=True)
class MostSalientShare:
    """The fuller the bucket, the less a moment must stand out among those of the window to be worth it.

    Of a full bucket every moment is; of one with a share f, those that no more than f of the window's moments exceed.
    """

    def worth_glance(self, saliency: NDArray[np.float32], fullness: float) -> bool:
        """Whether to glance at the newest moment."""
        return _exceeded_by(saliency, len(saliency) - 1) <= fullness

    def next_look(self, saliency: NDArray[np.float32], candidates: Sequence[int], fullness: float) -> int | None:
        """Which moment to look at: the most salient one."""
        best = max(candidates, key=lambda at: float(saliency[at]), default=None)
        return best if best is not None and _exceeded_by(saliency, best) <= fullness else None


def _exceeded_by(saliency: NDArray[np.float32], at: int) -> float:
    """The share of the moments that are more salient than the one `at` this place."""
    return float(np.mean(saliency > saliency[at]))
