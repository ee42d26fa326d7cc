"""Temperatures, exit tables and operating points of one precision, from how answers form on labelled clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from avgn_edge.bundle.calibration_tables import (
    FIRST_LOOK,
    MAX_TEMPERATURE,
    ExitSettings,
    ExitTable,
    OperatingPoint,
    RiskRow,
)
from avgn_edge.calibration import trajectories as replay
from avgn_edge.calibration.trajectories import Row, Trajectories, gather, powers_of_two
from avgn_edge.runtime.exits import ExitRules, Exits, tempered

FITTED = 4
"""One clip in so many fits temperatures and INT8 ranges; the others certify risks and compare: none does both."""
TEMPERATURES = np.geomspace(0.2, 5.0, 131)
"""Candidates, 2.5 % apart; 1 is among them. Few clips, all answered rightly, would ask for ever sharper ones."""
FEWEST = 50
"""Clips with an answer at a step; with fewer, its temperature stays 1."""
CONFIDENCES = tuple(round(float(1 - doubt), 12) for doubt in np.geomspace(1e-10, 0.7, 96))
"""Fixed beforehand, as Learn-then-Test needs it; from nearly never to nearly always."""
NEVER = 2.0
"""A threshold that no confidence reaches, as the manifest has it: JSON has no infinity."""
AVERAGE_STEP = 1.04
"""Averages on the grid are this factor apart, so that the nearest is within 2 % of any that is asked for."""
LIMITS = 40
"""How many limits of compute are on the grid."""
DIGITS = 6
"""Of thresholds, after the point."""
_HALVINGS = 50
_WIDEST = 12.0
"""ln q runs from minus to plus this: nearly everything leaves at the first step, or at the last."""


@dataclass(frozen=True)
class ExitCalibration:
    """What is calibrated for one precision."""

    tables: tuple[ExitTable, ...]
    points: tuple[OperatingPoint, ...]


@dataclass(frozen=True)
class Calibrated:
    """One number of glances: how its answers form, the temperatures of its steps, and its exits at the usual risk."""

    trajectories: Trajectories
    temperatures: tuple[float, ...]
    exits: Exits

    def up_to(self, looks: int) -> Calibrated:
        """The same with at most `looks` looks."""
        return replace(self, trajectories=self.trajectories.up_to(looks))

    def confidences(self) -> NDArray[np.float64]:
        """How sure each step's answer is, [n, S]; `trajectories.confidences`."""
        return replay.confidences(self.trajectories, self.temperatures)


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
    """Make the exit tables and operating points of one precision.

    Temperatures come from the clips of `fit`, and risks from the others, as their guarantee needs; operating points
    promise less, and take all clips, because a mean cost wants many. Answers are compared with the full network's: T_G
    glances and all looks in the same precision.

    Args:
        rows: Of each clip, how its answer forms, by number of glances.
        truth: The classes that each clip shows, bool [n, C].
        fit: The clips that temperatures are fitted on, bool [n].
        own: The bundle's own number of glances, T_G.
        task: "single-label" or "multi-label".
        precision: Which precision the rows are of.
    """
    by_glances = {glances: gather([row[glances] for row in rows], glances, task) for glances in sorted(rows[0])}
    last = np.full(len(rows), by_glances[own].steps - 1)
    full = replay.named_classes(by_glances[own], last)[~fit]
    tables, calibrated = [], {}
    for glances, trajectories in by_glances.items():
        temperatures = fit_temperatures(trajectories.only(fit), truth[fit])
        table = exit_table(trajectories.only(~fit), temperatures, full)
        exits = ExitRules(ExitSettings(None, {precision: (table,)}), precision).at(glances)
        tables.append(table)
        calibrated[glances] = Calibrated(trajectories, temperatures, exits)
    points = (*limit_points(calibrated, truth, precision), *average_points(calibrated, truth, precision))
    return ExitCalibration(tuple(tables), points)


def fit_temperatures(trajectories: Trajectories, truth: NDArray[np.bool_]) -> tuple[float, ...]:
    """The temperature of each step under which the labels `truth`, bool [n, C], are the most likely."""
    return tuple(_temperature(trajectories, truth, step) for step in range(trajectories.steps))


def _temperature(trajectories: Trajectories, truth: NDArray[np.bool_], step: int) -> float:
    usable = trajectories.reached[:, step] & truth.any(axis=1)
    if usable.sum() < FEWEST:
        return 1.0
    scores, shown = trajectories.probabilities[usable, step], truth[usable]
    losses = [_negative_log_likelihood(scores, shown, temperature, trajectories.task) for temperature in TEMPERATURES]
    return min(round(float(TEMPERATURES[np.argmin(losses)]), 4), MAX_TEMPERATURE)


def _negative_log_likelihood(
    scores: NDArray[np.float32], truth: NDArray[np.bool_], temperature: float, task: str
) -> float:
    """The mean over clips of -log of the true labels' scores [n, C] at a temperature."""
    p = np.clip(tempered(scores, temperature, task), 1e-12, 1.0)
    if task == "single-label":
        return float(-np.log(p[truth]).mean())
    rest = np.clip(1 - p, 1e-12, 1.0)
    return float(-np.where(truth, np.log(p), np.log(rest)).mean())


def exit_table(trajectories: Trajectories, temperatures: tuple[float, ...], full: NDArray[np.bool_]) -> ExitTable:
    """Count, at each confidence, the clips that stop early with another answer than `full`, bool [n, C].

    `trajectories` must be of clips that `temperatures` were not fitted on, for the guarantee to hold exactly.
    """
    sureness = replay.confidences(trajectories, temperatures)
    rows = []
    for level in CONFIDENCES:
        stopped = replay.stop(trajectories, sureness, Exits((level,), temperatures))
        differs = (replay.named_classes(trajectories, stopped.step) != full).any(axis=1)
        rows.append(RiskRow(level, int((stopped.sure & differs).sum()), round(float(stopped.macs.mean()))))
    whole = round(float(trajectories.macs[:, -1].mean()))
    return ExitTable(trajectories.glances, temperatures, trajectories.clips, whole, tuple(rows))


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
    tried: list[tuple[tuple[float, ...], float]] = []
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        thresholds = geometric_thresholds(trajectories, sureness, middle)
        cost = float(replay.stop(trajectories, sureness, Exits(thresholds)).macs.mean())
        tried.append((thresholds, cost))
        if cost < macs:
            low = middle
        else:
            high = middle
    return min(tried, key=lambda pair: abs(pair[1] - macs))


def average_points(
    by_glances: Mapping[int, Calibrated], truth: NDArray[np.bool_], precision: str
) -> list[OperatingPoint]:
    """For each average cost on a geometric grid, the most accurate thresholds; the number of looks is theirs to set."""
    sureness = {glances: one.confidences() for glances, one in by_glances.items()}
    cheapest = min(_least_mean(one.trajectories) for one in by_glances.values())
    dearest = max(float(one.trajectories.macs[:, -1].mean()) for one in by_glances.values())
    count = int(np.ceil(np.log(dearest / cheapest) / np.log(AVERAGE_STEP))) + 1
    points = []
    for wanted in np.geomspace(cheapest, dearest, count):
        candidates = []
        for glances, one in by_glances.items():
            thresholds, cost = thresholds_for(one.trajectories, sureness[glances], float(wanted))
            if abs(cost / wanted - 1) > AVERAGE_STEP - 1:
                continue  # with so many glances there is no such average
            # Rounding must not move a clip across a threshold that it set.
            rounded = tuple(float(np.floor(value * 10**DIGITS) / 10**DIGITS) for value in thresholds)
            stopped = replay.stop(one.trajectories, sureness[glances], Exits(rounded))
            accuracy = replay.top1(one.trajectories, stopped.step, truth)
            looks, mean = one.trajectories.steps - FIRST_LOOK, round(float(stopped.macs.mean()))
            candidates.append(OperatingPoint(precision, round(float(wanted)), glances, looks, rounded, accuracy, mean))
        if candidates:
            points.append(max(candidates, key=lambda point: point.top1))
    return points


def _least_mean(trajectories: Trajectories) -> float:
    """The mean cost of stopping every clip at its first answer."""
    first = trajectories.reached.argmax(axis=1)
    return float(trajectories.macs[np.arange(trajectories.clips), first].mean())


def limit_points(
    by_glances: Mapping[int, Calibrated], truth: NDArray[np.bool_], precision: str
) -> list[OperatingPoint]:
    """For each limit on a grid, the most accurate T_G and k under it, neither of which falls as the limit rises.

    The last is the bundle's own T_G and k, at the price of all of it. Nothing where no clip was looked at.
    """
    dearest = int(by_glances[max(by_glances)].trajectories.macs[:, -1].max())
    first_looks = [
        one.trajectories.macs[one.trajectories.reached[:, FIRST_LOOK], FIRST_LOOK] for one in by_glances.values()
    ]
    if not all(len(macs) for macs in first_looks):
        return []
    cheapest = min(int(macs.max()) for macs in first_looks)
    limits = np.geomspace(cheapest, dearest, LIMITS).astype(np.int64)
    choices = [
        (glances, looks)
        for glances in sorted(by_glances)
        for looks in powers_of_two(by_glances[glances].trajectories.steps - FIRST_LOOK)
    ]
    cut = [by_glances[glances].up_to(looks) for glances, looks in choices]
    sureness = [one.confidences() for one in cut]
    table = [
        [_outcome(one, sure, int(limit), truth) for one, sure in zip(cut, sureness, strict=True)] for limit in limits
    ]
    points = []
    for limit, outcomes, choice in zip(limits, table, _rising_path(table, choices), strict=True):
        outcome = outcomes[choice]
        if outcome is not None:  # no path leads through what is out of reach
            points.append(OperatingPoint(precision, int(limit), *choices[choice], None, *outcome))
    return points


def _outcome(
    one: Calibrated, sureness: NDArray[np.float64], limit: int, truth: NDArray[np.bool_]
) -> tuple[float, int] | None:
    """Accuracy and mean cost under a limit; None where some clip cannot take a look within it."""
    steps = one.trajectories
    if (steps.macs[:, FIRST_LOOK][steps.reached[:, FIRST_LOOK]] > limit).any():
        return None
    stopped = replay.stop(steps, sureness, one.exits, limit)
    return replay.top1(steps, stopped.step, truth), round(float(stopped.macs.mean()))


def _rising_path(table: list[list[tuple[float, int] | None]], choices: list[tuple[int, int]]) -> list[int]:
    """The choice for each limit that has the highest sum of accuracies, with neither number ever falling.

    Args:
        table: Of each limit and choice, the accuracy and the mean cost, which decides between equals; None where the
            choice is out of reach.
        choices: The numbers of glances and looks; the path ends with the last.
    """
    follows = np.array([[a[0] <= b[0] and a[1] <= b[1] for a in choices] for b in choices])
    best = np.full((len(table), len(choices)), -np.inf)
    came = np.zeros((len(table), len(choices)), dtype=np.intp)
    for at, row in enumerate(table):
        worth = np.array([-np.inf if cell is None else cell[0] - 1e-15 * cell[1] for cell in row])
        if at == 0:
            best[0] = worth
            continue
        reachable = np.where(follows, best[at - 1][None, :], -np.inf)
        came[at] = reachable.argmax(axis=1)
        best[at] = worth + reachable.max(axis=1)
    path = [len(choices) - 1]
    for at in range(len(table) - 1, 0, -1):
        path.append(int(came[at][path[-1]]))
    return path[::-1]
