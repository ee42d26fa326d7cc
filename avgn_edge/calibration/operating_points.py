"""The T_G, k and thresholds that were most accurate at each cost, on calibration clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from avgn_edge.bundle.exits import FIRST_LOOK, OperatingPoint
from avgn_edge.calibration import averages, simulate
from avgn_edge.calibration.trajectories import Trajectories, doubling
from avgn_edge.runtime.exits import Exits

AVERAGE_STEP = 1.04
"""Averages on the grid are this factor apart, so that the nearest is within 2 % of any that is asked for."""
LIMITS = 40
"""How many limits of compute are on the grid."""
DIGITS = 6


@dataclass(frozen=True)
class Calibrated:
    """One number of glances: its trajectories, their temperatures, and its usual exits."""

    trajectories: Trajectories
    temperatures: tuple[float, ...]
    exits: Exits

    def up_to(self, looks: int) -> Calibrated:
        """The same with at most so many looks."""
        return replace(self, trajectories=self.trajectories.up_to(looks))


def average_points(
    by_glances: Mapping[int, Calibrated], truth: NDArray[np.bool_], precision: str
) -> list[OperatingPoint]:
    """For each average cost on a geometric grid, the most accurate thresholds; the number of looks is theirs to set."""
    sureness = {g: simulate.confidences(one.trajectories, one.temperatures) for g, one in by_glances.items()}
    cheapest = min(_least_mean(one.trajectories) for one in by_glances.values())
    dearest = max(float(one.trajectories.macs[:, -1].mean()) for one in by_glances.values())
    count = int(np.ceil(np.log(dearest / cheapest) / np.log(AVERAGE_STEP))) + 1
    points = []
    for wanted in np.geomspace(cheapest, dearest, count):
        best: OperatingPoint | None = None
        for glances, one in by_glances.items():
            thresholds, cost = averages.thresholds_for(one.trajectories, sureness[glances], float(wanted))
            if abs(cost / wanted - 1) > AVERAGE_STEP - 1:
                continue  # with so many glances there is no such average
            # Rounding must not move a clip across a threshold that it set.
            rounded = tuple(float(np.floor(value * 10**DIGITS) / 10**DIGITS) for value in thresholds)
            stopped = simulate.stop(one.trajectories, sureness[glances], Exits(rounded))
            accuracy = simulate.top1(one.trajectories, stopped.step, truth)
            if best is None or accuracy > best.top1:
                looks = one.trajectories.steps - FIRST_LOOK
                mean = round(float(stopped.macs.mean()))
                best = OperatingPoint(precision, round(float(wanted)), glances, looks, rounded, accuracy, mean)
        if best is not None:
            points.append(best)
    return points


def limit_points(
    by_glances: Mapping[int, Calibrated], truth: NDArray[np.bool_], precision: str
) -> list[OperatingPoint]:
    """For each limit on a grid, the most accurate T_G and k under it, neither of which falls as the limit rises.

    The last is the bundle's own T_G and k, at the price of all of it.
    """
    own = max(by_glances)
    dearest = int(by_glances[own].trajectories.macs[:, -1].max())
    first_looks = [
        one.trajectories.macs[one.trajectories.reached[:, FIRST_LOOK], FIRST_LOOK] for one in by_glances.values()
    ]
    if not all(len(macs) for macs in first_looks):
        return []  # sound alone: nothing was looked at, whatever the limit
    cheapest = min(int(macs.max()) for macs in first_looks)
    limits = np.geomspace(cheapest, dearest, LIMITS).astype(np.int64)
    options = [
        (glances, looks)
        for glances in sorted(by_glances)
        for looks in doubling(by_glances[glances].trajectories.steps - FIRST_LOOK)
    ]
    cut = [by_glances[glances].up_to(looks) for glances, looks in options]
    sureness = [simulate.confidences(one.trajectories, one.temperatures) for one in cut]
    table = [
        [_outcome(one, sure, int(limit), truth) for one, sure in zip(cut, sureness, strict=True)] for limit in limits
    ]
    points = []
    for limit, outcomes, choice in zip(limits, table, _rising_path(table, options), strict=True):
        outcome = outcomes[choice]
        if outcome is not None:  # no path leads through what is out of reach
            points.append(OperatingPoint(precision, int(limit), *options[choice], None, *outcome))
    return points


def _least_mean(trajectories: Trajectories) -> float:
    """The mean cost of stopping every clip at its first answer."""
    first = trajectories.reached.argmax(axis=1)
    return float(trajectories.macs[np.arange(trajectories.clips), first].mean())


def _outcome(
    one: Calibrated, sureness: NDArray[np.float64], limit: int, truth: NDArray[np.bool_]
) -> tuple[float, int] | None:
    """Accuracy and mean cost under a limit; None where some clip cannot take a look within it."""
    steps = one.trajectories
    if (steps.macs[:, FIRST_LOOK][steps.reached[:, FIRST_LOOK]] > limit).any():
        return None
    stopped = simulate.stop(steps, sureness, one.exits, limit)
    return simulate.top1(steps, stopped.step, truth), round(float(stopped.macs.mean()))


def _rising_path(table: list[list[tuple[float, int] | None]], options: list[tuple[int, int]]) -> list[int]:
    """The option of each limit, with neither number falling up to the last, that has the highest sum of accuracies."""
    follows = np.array([[a[0] <= b[0] and a[1] <= b[1] for a in options] for b in options])
    best = np.full((len(table), len(options)), -np.inf)
    came = np.zeros((len(table), len(options)), dtype=np.intp)
    for at, row in enumerate(table):
        worth = np.array([-np.inf if cell is None else cell[0] - 1e-15 * cell[1] for cell in row])
        if at == 0:
            best[0] = worth
            continue
        reachable = np.where(follows, best[at - 1][None, :], -np.inf)
        came[at] = reachable.argmax(axis=1)
        best[at] = worth + reachable.max(axis=1)
    path = [len(options) - 1]
    for at in range(len(table) - 1, 0, -1):
        path.append(int(came[at][path[-1]]))
    return path[::-1]
