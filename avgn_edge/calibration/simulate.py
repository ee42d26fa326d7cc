"""What exits would have done on clips whose whole answers are known: where each stops, its cost, its answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avgn_edge.calibration.trajectories import Trajectories
from avgn_edge.runtime.exits import Exits, confidence


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
