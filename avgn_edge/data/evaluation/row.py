"""One budget's row of the table, summed up from the answers to all clips, and the details that a report shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from math import isclose
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from avgn_edge.bundle.manifest import Manifest
from avgn_edge.data.datasets import LabelledClip
from avgn_edge.data.evaluation import metrics
from avgn_edge.data.evaluation.when_and_where import WhenAndWhere
from avgn_edge.runtime.exits import Exit

AUDIO_GFLOPS = 0.68
"""f_A over the 16 moments of a clip."""
GLANCE_GFLOPS = 0.33
"""f_G on one frame."""
LOOK_GFLOPS = 1.35
"""f_L on one patch of 128 pixels."""

_EXACT_GFLOPS = {"global_encoder": 0.2995, "local_encoder": 1.3346}
"""What the paper's two visual encoders multiply by our count, MobileNetV2 at 224 pixels and ResNet-50 at 128."""


def paper_gflops(glanced: Collection[int], selected: Collection[int], looks: int) -> float:
    """Price a clip as the paper does: the three encoders only, at its rounded prices, in 10^9 multiply-accumulates.

    `glanced` are the moments AV-TeST saw, `selected` those that were looked at, `looks` how many looks there were. A
    selected moment that was not glanced at pays for its own global encoding; AV-TeST, AESPA, π, ψ and f_C cost nothing.
    """
    return AUDIO_GFLOPS + GLANCE_GFLOPS * len({*glanced, *selected}) + LOOK_GFLOPS * looks


def has_paper_encoders(manifest: Manifest) -> bool:
    """Whether a bundle's encoders are the paper's, by what they multiply: only then do the paper's prices mean it."""
    if manifest.architecture != "avgn":
        return False
    sound = manifest.cost["audio_encoder"].macs(manifest.preprocessing.moments) / 1e9
    return isclose(sound, AUDIO_GFLOPS, rel_tol=0.05) and all(
        isclose(manifest.cost[graph].macs(1) / 1e9, price, rel_tol=0.02) for graph, price in _EXACT_GFLOPS.items()
    )


@dataclass(frozen=True)
class Answer:
    """The part of one clip's result that a row needs: a set's whole results would not fit in memory."""

    truth: NDArray[np.bool_]
    """The classes the clip shows, bool [C]; none of them for labels that the bundle does not know."""
    probabilities: NDArray[np.float32]
    """Of every class, float32 [C]."""
    exit: Exit | None
    spent_gflops: float
    glances: int
    looks: int
    total_ms: float
    when_and_where: WhenAndWhere | None
    """None for a clip whose truth is not known."""


@dataclass(frozen=True)
class Failure:
    """A clip that could not be used, and why in one line."""

    clip: str
    error: str


@dataclass(frozen=True)
class Setting:
    """The bundle, device and budget that a row is of."""

    model: str
    device: str
    precision: str
    task: str
    budget: str
    paper_encoders: bool
    """Whether the paper's convention of cost means anything for this bundle."""


@dataclass(frozen=True)
class Row:
    """One budget's row of the table. Shares and errors are in 0…1; None where there is nothing to count."""

    model: str
    device: str
    precision: str
    task: str
    budget: str
    clips: int
    """Those with an answer: all that follows is over them, `failed` aside."""
    failed: tuple[Failure, ...]
    unknown_clips: int
    """Clips none of whose labels the bundle knows; they are counted, and can never be right."""
    top1: float
    top5: float
    mean_average_precision: float | None
    average_precision_classes: int
    """The classes that some clip shows, which is what the mean is over."""
    expected_calibration_error: float
    chance: float
    """What knowing nothing reaches: in top-1, or with several labels a clip in mAP."""
    mean_gflops: float
    p95_gflops: float
    mean_paper_gflops: float | None
    """In the paper's convention; None for a bundle without the paper's encoders."""
    mean_glances: float
    mean_looks: float
    mean_ms: float
    p95_ms: float
    """From the start of a clip to its answer, decoding included (a segment's file is opened before)."""
    exits: dict[str, int]
    """The number of clips by why they ended."""
    when: float | None
    """Of `when_clips`: the most salient moment lies in a true episode."""
    when_clips: int
    where: float | None
    """Of `where_clips`, whose first look falls on a card that can be read: its box contains the card's centre."""
    where_clips: int
    where_of_readable: float | None
    """Of all `readable_clips`, which hold a card that can be read: as `where`, and a first look at another time, or
    none at all, counts as a miss. None where no clip was looked at.
    """
    readable_clips: int

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {**asdict(self), "failed": [asdict(failure) for failure in self.failed]}


def row_of(setting: Setting, answers: Sequence[Answer], failed: Sequence[Failure] = ()) -> Row:
    """Sum up the answers, at least one."""
    probabilities = np.stack([answer.probabilities for answer in answers])
    truth = np.stack([answer.truth for answer in answers])
    precision = metrics.mean_average_precision(probabilities, truth)
    spent = [answer.spent_gflops for answer in answers]
    taken = [answer.total_ms for answer in answers]
    ends = Counter(answer.exit for answer in answers)
    compared = [answer.when_and_where for answer in answers if answer.when_and_where is not None]
    when = [one.when for one in compared if one.when is not None]
    where = [one.where for one in compared if one.where is not None]
    readable = [one.where_of_readable for one in compared if one.where_of_readable is not None]
    return Row(
        model=setting.model,
        device=setting.device,
        precision=setting.precision,
        task=setting.task,
        budget=setting.budget,
        clips=len(answers),
        failed=tuple(failed),
        unknown_clips=int((~truth.any(axis=1)).sum()),
        top1=metrics.top_k_accuracy(probabilities, truth, 1),
        top5=metrics.top_k_accuracy(probabilities, truth, 5),
        mean_average_precision=precision.value,
        average_precision_classes=precision.classes,
        expected_calibration_error=metrics.reliability(probabilities, truth, setting.task).error,
        chance=metrics.chance(truth, setting.task),
        mean_gflops=_mean(spent),
        p95_gflops=_p95(spent),
        mean_paper_gflops=_mean([_paper_gflops(answer) for answer in answers]) if setting.paper_encoders else None,
        mean_glances=_mean([answer.glances for answer in answers]),
        mean_looks=_mean([answer.looks for answer in answers]),
        mean_ms=_mean(taken),
        p95_ms=_p95(taken),
        exits={name: ends[name] for name in get_args(Exit)},
        when=_mean(when) if when else None,
        when_clips=len(when),
        where=_mean(where) if where else None,
        where_clips=len(where),
        where_of_readable=_mean(readable) if readable and any(answer.looks for answer in answers) else None,
        readable_clips=len(readable),
    )


def _paper_gflops(answer: Answer) -> float:
    # `glances` counts the moments that were encoded when they were looked at too.
    return paper_gflops(range(answer.glances), (), answer.looks)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _p95(values: Sequence[float]) -> float:
    return float(np.percentile(values, 95))


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
    """Details of one row's answers, for the report."""

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
    """Collects the answers of a row as they come; `details` sums them up."""

    def __init__(self, labels: Sequence[str], task: str) -> None:
        self._labels, self._task = tuple(labels), task
        self._seen: list[tuple[LabelledClip, Answer]] = []

    def __call__(self, clip: LabelledClip, answer: Answer) -> None:
        """Take an answer in."""
        self._seen.append((clip, answer))

    def details(self, mistakes: int) -> Details:
        """Sum up the answers, at least one, with the `mistakes` surest mistakes."""
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
