"""Which moment to look at next, and how sure an answer is: the policy of section 3.5, an object with two methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from avgn_edge.runtime import exits


class AttentionPolicy(Protocol):
    """Decides what is looked at; another paper's policy is another class."""

    def order(self, saliency: NDArray[np.float32]) -> list[int]:
        """Moments in the order in which to look at them, from their scores [T]."""
        ...

    def confidence(self, probabilities: NDArray[np.floating]) -> float:
        """How sure the answer [C] is, in 0…1; a threshold on it ends the clip."""
        ...


@dataclass(frozen=True)
class MostSalientFirst:
    """Most salient first, and as sure as the answer's best class, or with several labels its least decided one."""

    task: str

    def order(self, saliency: NDArray[np.float32]) -> list[int]:
        """Most salient first, the earlier one of equals."""
        return [int(moment) for moment in np.argsort(-saliency, kind="stable")]

    def confidence(self, probabilities: NDArray[np.floating]) -> float:
        """How sure the answer [C] is."""
        return float(exits.confidence(probabilities, self.task))
