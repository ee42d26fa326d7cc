"""Thresholds for an average cost, as MSDNet sets them (Huang et al., "Multi-Scale Dense Networks", 2018, section 5).

Of the clips that come to step s, q^s (normalised over the steps) of all clips leave there: those that are the surest.
q is found by bisection on what the clips then cost in the mean, each by the runs it really takes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avgn_edge.calibration import simulate
from avgn_edge.calibration.trajectories import Trajectories
from avgn_edge.runtime.exits import Exits

NEVER = 2.0
"""A confidence that nothing reaches."""
_HALVINGS = 50
_WIDEST = 12.0
"""ln q runs from minus to plus this: nearly everything leaves at the first step, or at the last."""


def geometric_thresholds(trajectories: Trajectories, sureness: NDArray[np.float64], log_q: float) -> tuple[float, ...]:
    """The thresholds under which shares ∝ q^s of the clips leave at step s; who comes to the last has no choice."""
    steps = trajectories.steps
    weights = np.exp(log_q * np.arange(steps) - max(0.0, log_q * (steps - 1)))
    shares = weights / weights.sum()
    staying = np.ones(trajectories.clips, dtype=np.bool_)
    thresholds = []
    for step in range(steps - 1):
        candidates = staying & trajectories.reached[:, step]
        leaving = min(round(float(shares[step]) * trajectories.clips), int(candidates.sum()))
        threshold = NEVER
        if leaving:
            threshold = float(np.sort(sureness[candidates, step])[-leaving])
            staying &= ~(candidates & (sureness[:, step] >= threshold))
        thresholds.append(threshold)
    return (*thresholds, NEVER)  # with the last step the looks are used up, however sure the answer


def thresholds_for(
    trajectories: Trajectories, sureness: NDArray[np.float64], macs: float
) -> tuple[tuple[float, ...], float]:
    """The thresholds whose mean cost on these clips comes nearest to `macs`, and that cost."""
    low, high = -_WIDEST, _WIDEST
    best: tuple[tuple[float, ...], float] | None = None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        thresholds = geometric_thresholds(trajectories, sureness, middle)
        cost = float(simulate.stop(trajectories, sureness, Exits(thresholds)).macs.mean())
        if best is None or abs(cost - macs) < abs(best[1] - macs):
            best = thresholds, cost
        if cost < macs:
            low = middle
        else:
            high = middle
    if best is None:
        raise AssertionError("at least one q was tried")
    return best
