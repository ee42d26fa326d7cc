"""Temperature scaling, a step at a time (Guo et al., "On Calibration of Modern Neural Networks", 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avgn_edge.bundle.exits import MAX_TEMPERATURE
from avgn_edge.calibration.trajectories import Trajectories
from avgn_edge.runtime.exits import tempered

GRID = np.geomspace(0.2, 5.0, 131)
"""Candidates, 2.5 % apart; 1 is among them. Few clips, all answered rightly, would ask for ever sharper ones."""
FEWEST = 50
"""Clips with an answer at a step; with fewer, its temperature stays 1."""
DIGITS = 4


def fit_temperatures(trajectories: Trajectories, truth: NDArray[np.bool_]) -> tuple[float, ...]:
    """The temperature of each step under which the labels `truth`, bool [n, C], are the most likely."""
    return tuple(_fit(trajectories, truth, step) for step in range(trajectories.steps))


def _fit(trajectories: Trajectories, truth: NDArray[np.bool_], step: int) -> float:
    usable = trajectories.reached[:, step] & truth.any(axis=1)
    if usable.sum() < FEWEST:
        return 1.0
    scores, shown = trajectories.probabilities[usable, step], truth[usable]
    losses = [negative_log_likelihood(scores, shown, temperature, trajectories.task) for temperature in GRID]
    best = round(float(GRID[int(np.argmin(losses))]), DIGITS)
    return min(best, MAX_TEMPERATURE)


def negative_log_likelihood(
    scores: NDArray[np.float32], truth: NDArray[np.bool_], temperature: float, task: str
) -> float:
    """The mean over clips of -log of the true labels' scores [n, C] at a temperature."""
    p = np.clip(tempered(scores, temperature, task), 1e-12, 1.0)
    if task == "single-label":
        return float(-np.log(p[truth]).mean())
    rest = np.clip(1 - p, 1e-12, 1.0)
    return float(-np.where(truth, np.log(p), np.log(rest)).mean())
