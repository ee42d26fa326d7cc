"""Exit tables from labelled clips: temperatures, what stopping would have done, the counts that certify a risk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avgn_edge.bundle.calibration_tables import MAX_TEMPERATURE, ExitTable, RiskRow
from avgn_edge.calibration.trajectories import Trajectories
from avgn_edge.runtime.exits import Exits, confidence, tempered

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


@dataclass(frozen=True)
class Stopped:
    """Of n clips: the step each stopped at, whether before the last by being sure, and what it had spent."""

    step: NDArray[np.intp]
    sure: NDArray[np.bool_]
    macs: NDArray[np.int64]


def confidences(trajectories: Trajectories, temperatures: tuple[float, ...]) -> NDArray[np.float64]:
    """How sure each step's answer is, [n, S]; -1 where a clip has none, so that no threshold is reached."""
    exits = Exits(temperatures=temperatures)
    steps = [
        confidence(exits.tempered(trajectories.probabilities[:, step], step, trajectories.task), trajectories.task)
        for step in range(trajectories.steps)
    ]
    return np.where(trajectories.reached, np.stack(steps, axis=1), -1.0)


def stop(
    trajectories: Trajectories, sureness: NDArray[np.float64], exits: Exits, most_macs: int | None = None
) -> Stopped:
    """Stop each clip at the first step whose confidence reaches its threshold, else at its last.

    With `most_macs` the last step is the last one that costs no more; a clip that has none stops at its first step.
    """
    steps = trajectories.steps
    affordable = trajectories.reached if most_macs is None else trajectories.reached & (trajectories.macs <= most_macs)
    first = trajectories.reached.argmax(axis=1)
    none = ~affordable.any(axis=1)
    affordable[none, first[none]] = True
    last = steps - 1 - affordable[:, ::-1].argmax(axis=1)
    thresholds = np.array([exits.threshold(step) for step in range(steps)])
    sure = affordable & (sureness >= thresholds)
    early = np.where(sure.any(axis=1), sure.argmax(axis=1), last)
    rows = np.arange(trajectories.clips)
    return Stopped(early, early < last, trajectories.macs[rows, early])


def answer(trajectories: Trajectories, step: NDArray[np.intp]) -> NDArray[np.bool_]:
    """The classes that the answers at these steps [n] name, bool [n, C]; temperature changes none of them."""
    scores = trajectories.probabilities[np.arange(trajectories.clips), step]
    if trajectories.task != "single-label":
        return np.asarray(scores >= 0.5)
    return np.asarray(np.arange(scores.shape[1]) == scores.argmax(axis=1)[:, None])


def top1(trajectories: Trajectories, step: NDArray[np.intp], truth: NDArray[np.bool_]) -> float:
    """Share of clips whose best class at these steps [n] is a true one, of `truth` bool [n, C]."""
    rows = np.arange(trajectories.clips)
    best = trajectories.probabilities[rows, step].argmax(axis=1)
    return float(truth[rows, best].mean())


CONFIDENCES = tuple(round(float(1 - doubt), 12) for doubt in np.geomspace(1e-10, 0.7, 96))
"""Fixed beforehand, as Learn-then-Test needs it; from nearly never to nearly always."""


def exit_table(trajectories: Trajectories, temperatures: tuple[float, ...], full: NDArray[np.bool_]) -> ExitTable:
    """Count, at each confidence, the clips that stop early with another answer than `full`, bool [n, C].

    `trajectories` must be of clips that `temperatures` were not fitted on, for the guarantee to hold exactly.
    """
    sureness = confidences(trajectories, temperatures)
    rows = []
    for level in CONFIDENCES:
        stopped = stop(trajectories, sureness, Exits((level,), temperatures))
        differs = (answer(trajectories, stopped.step) != full).any(axis=1)
        rows.append(RiskRow(level, int((stopped.sure & differs).sum()), round(float(stopped.macs.mean()))))
    whole = round(float(trajectories.macs[:, -1].mean()))
    return ExitTable(trajectories.glances, temperatures, trajectories.clips, whole, tuple(rows))
