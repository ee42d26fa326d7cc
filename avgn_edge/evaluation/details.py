"""What a row's sums leave out: what was taken for what, how sure and how right, what clips cost, the worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avgn_edge.datasets import LabelledClip
from avgn_edge.evaluation import metrics
from avgn_edge.evaluation.row import Answer


@dataclass(frozen=True)
class Mistake:
    """A clip whose answer is none of its labels."""

    clip: LabelledClip
    label: str
    """The answer."""
    score: float
    true_score: float
    """Of the most probable of the clip's own labels; 0 where the bundle knows none of them."""


@dataclass(frozen=True)
class Details:
    """Of one row's answers."""

    labels: tuple[str, ...]
    confusion: NDArray[np.int64] | None
    """int64 [C, C]: clips by their label and by their answer; None where clips have several labels."""
    unknown: int
    """Clips that are in no row of it: the bundle does not know their label."""
    average_precisions: dict[str, float]
    """Of each label that some clip has; empty where clips have one label."""
    reliability: metrics.Reliability
    gflops: NDArray[np.float64]
    """Of each clip, [n], as is what follows."""
    glances: NDArray[np.int64]
    looks: NDArray[np.int64]
    mistakes: tuple[Mistake, ...]
    """The surest ones, the worst first."""


class Witness:
    """Sees each answer of a row as it comes; `details` sums up."""

    def __init__(self, labels: Sequence[str], task: str) -> None:
        self._labels, self._task = tuple(labels), task
        self._seen: list[tuple[LabelledClip, Answer]] = []

    def __call__(self, clip: LabelledClip, answer: Answer) -> None:
        """Take an answer in."""
        self._seen.append((clip, answer))

    def details(self, mistakes: int) -> Details:
        """Sum one answer or more up, with at most so many mistakes."""
        answers = [answer for _, answer in self._seen]
        probabilities = np.stack([answer.probabilities for answer in answers])
        truth = np.stack([answer.truth for answer in answers])
        answered = probabilities.argmax(axis=1)
        known = truth.any(axis=1)
        confusion, precisions = None, {}
        if self._task == "single-label":
            size = len(self._labels)
            confusion = np.zeros((size, size), dtype=np.int64)
            # Of several labels, the one that was answered, if it is among them.
            right = np.take_along_axis(truth, answered[:, np.newaxis], axis=1)[:, 0]
            np.add.at(confusion, (np.where(right, answered, truth.argmax(axis=1))[known], answered[known]), 1)
        else:
            each = metrics.average_precisions(probabilities, truth)
            precisions = {self._labels[index]: value for index, value in each.items()}
        return Details(
            labels=self._labels,
            confusion=confusion,
            unknown=int((~known).sum()),
            average_precisions=precisions,
            reliability=metrics.reliability(probabilities, truth, self._task),
            gflops=np.array([answer.spent_gflops for answer in answers]),
            glances=np.array([answer.glances for answer in answers]),
            looks=np.array([answer.looks for answer in answers]),
            mistakes=self._mistakes(mistakes),
        )

    def _mistakes(self, most: int) -> tuple[Mistake, ...]:
        wrong = [
            Mistake(
                clip,
                self._labels[int(answer.probabilities.argmax())],
                float(answer.probabilities.max()),
                float(answer.probabilities[answer.truth].max(initial=0.0)),
            )
            for clip, answer in self._seen
            if not answer.truth[int(answer.probabilities.argmax())]
        ]
        return tuple(sorted(wrong, key=lambda mistake: -mistake.score)[:most])
