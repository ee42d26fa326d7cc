"""Which moment to look at next, and when to stop: the policy of section 3.5, an object with two methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class AttentionPolicy(Protocol):
    """Decides what is looked at; another paper's policy is another class."""

    def order(self, saliency: NDArray[np.float32]) -> list[int]:
        """Moments in the order in which to look at them, from their scores [T]."""
        ...

    def sure(self, probabilities: NDArray[np.float32]) -> bool:
        """Whether the answer [C] is good enough to stop."""
        ...


@dataclass(frozen=True)
class MostSalientFirst:
    """Most salient first; stops when the answer's confidence reaches a threshold (None: never)."""

    confidence: float | None
    task: str

    def order(self, saliency: NDArray[np.float32]) -> list[int]:
        """Most salient first, the earlier one of equals."""
        return [int(moment) for moment in np.argsort(-saliency, kind="stable")]

    def sure(self, probabilities: NDArray[np.float32]) -> bool:
        """One label: its probability. Several: the least decided of them."""
        if self.confidence is None:
            return False
        single = self.task == "single-label"
        confidence = probabilities.max() if single else np.maximum(probabilities, 1 - probabilities).min()
        return bool(confidence >= self.confidence)
