"""The T_G, k and thresholds that were most accurate at each cost on labelled clips, and those for an average cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from avgn_edge.bundle.calibration_tables import FIRST_LOOK, ExitSettings, ExitTable, OperatingPoint
from avgn_edge.calibration import exit_tables
from avgn_edge.calibration.exit_tables import exit_table, fit_temperatures
from avgn_edge.calibration.trajectories import Row, Trajectories, doubling, gather
from avgn_edge.runtime.exits import ExitRules, Exits

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
        cost = float(exit_tables.stop(trajectories, sureness, Exits(thresholds)).macs.mean())
        if best is None or abs(cost - macs) < abs(best[1] - macs):
            best = thresholds, cost
        if cost < macs:
            low = middle
        else:
            high = middle
    if best is None:
        raise AssertionError("at least one q was tried")
    return best


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
    sureness = {g: exit_tables.confidences(one.trajectories, one.temperatures) for g, one in by_glances.items()}
    cheapest = min(_least_mean(one.trajectories) for one in by_glances.values())
    dearest = max(float(one.trajectories.macs[:, -1].mean()) for one in by_glances.values())
    count = int(np.ceil(np.log(dearest / cheapest) / np.log(AVERAGE_STEP))) + 1
    points = []
    for wanted in np.geomspace(cheapest, dearest, count):
        best: OperatingPoint | None = None
        for glances, one in by_glances.items():
            thresholds, cost = thresholds_for(one.trajectories, sureness[glances], float(wanted))
            if abs(cost / wanted - 1) > AVERAGE_STEP - 1:
                continue  # with so many glances there is no such average
            # Rounding must not move a clip across a threshold that it set.
            rounded = tuple(float(np.floor(value * 10**DIGITS) / 10**DIGITS) for value in thresholds)
            stopped = exit_tables.stop(one.trajectories, sureness[glances], Exits(rounded))
            accuracy = exit_tables.top1(one.trajectories, stopped.step, truth)
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
    sureness = [exit_tables.confidences(one.trajectories, one.temperatures) for one in cut]
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
    stopped = exit_tables.stop(steps, sureness, one.exits, limit)
    return exit_tables.top1(steps, stopped.step, truth), round(float(stopped.macs.mean()))


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


FITTED = 4
"""Of so many clips one fits temperatures and INT8 ranges, and the others certify risks and judge: none does both."""


@dataclass(frozen=True)
class ExitCalibration:
    """What one precision's clips came to."""

    tables: tuple[ExitTable, ...]
    points: tuple[OperatingPoint, ...]


def fitting(clips: int) -> NDArray[np.bool_]:
    """Which clips fit temperatures and ranges, bool [n]: every fourth, the first among them."""
    return np.asarray(np.arange(clips) % FITTED == 0)


def calibrate_exits(
    rows: Sequence[Mapping[int, Row]],
    truth: NDArray[np.bool_],
    fit: NDArray[np.bool_],
    *,
    own: int,
    task: str,
    precision: str,
) -> ExitCalibration:
    """Make the tables from clips' `rows` (by number of glances) and their labels, bool [n, C]; `own` is T_G.

    Temperatures come from the clips of `fit`, bool [n], and risks from the others, as their guarantee needs; operating
    points promise less, and take all clips, because a mean cost wants many.

    The full network's answer is that of T_G glances and k looks in the same precision.
    """
    by_glances = {glances: gather([row[glances] for row in rows], glances, task) for glances in sorted(rows[0])}
    last = np.full(len(rows), by_glances[own].steps - 1)
    full = exit_tables.answer(by_glances[own], last)[~fit]
    tables, calibrated = [], {}
    for glances, trajectories in by_glances.items():
        temperatures = fit_temperatures(trajectories.only(fit), truth[fit])
        deciding = trajectories.only(~fit)
        table = exit_table(deciding, temperatures, full)
        exits = ExitRules(ExitSettings(None, {precision: (table,)}), precision).at(glances)
        tables.append(table)
        calibrated[glances] = Calibrated(trajectories, temperatures, exits)
    points = (*limit_points(calibrated, truth, precision), *average_points(calibrated, truth, precision))
    return ExitCalibration(tuple(tables), points)
