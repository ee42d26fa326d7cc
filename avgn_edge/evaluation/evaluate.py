"""How well a bundle does on labelled clips, at one budget: accuracy, cost, and when and where it looked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from avgn_edge.errors import ClipError, DataError
from avgn_edge.evaluation.labelled_clips import LabelledClip
from avgn_edge.evaluation.when_and_where import WhenAndWhere, judge
from avgn_edge.runtime.recognizer import Recognizer, Sampling
from avgn_edge.runtime.result import Result

MOST_UNREADABLE = 0.1


@dataclass(frozen=True)
class Row:
    """One budget's row of the table. Shares are in 0…1; None where nothing could be counted."""

    budget: str
    clips: int
    unreadable: tuple[str, ...]
    top1: float
    top5: float
    mean_gflops: float
    p95_gflops: float
    mean_glances: float
    mean_looks: float
    mean_ms: float
    when: float | None
    where: float | None
    where_clips: int

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {**asdict(self), "unreadable": list(self.unreadable)}


def evaluate(
    recognizer: Recognizer,
    clips: Sequence[LabelledClip],
    budget: str | None = None,
    *,
    truth: Mapping[str, Any] | None = None,
    sampling: Sampling = "cheap",
    progress: Callable[[], None] = lambda: None,
) -> Row:
    """Classify every clip. Unreadable ones are skipped and named; more than a tenth of them is a DataError."""
    results: list[tuple[LabelledClip, Result]] = []
    unreadable: list[str] = []
    for clip in clips:
        try:
            results.append((clip, recognizer.classify(clip.path, budget, sampling=sampling, top=5)))
        except ClipError:
            unreadable.append(clip.name)
        progress()
    if len(unreadable) > MOST_UNREADABLE * len(clips):
        why = f"{len(unreadable)} of {len(clips)} clips cannot be read, {unreadable[0]} among them"
        raise DataError("evaluation", why, "check the paths of the data set")
    judged = [judge(result, truth[clip.name]) for clip, result in results if truth and clip.name in truth]
    return _row(budget or "none", results, unreadable, judged)


def _row(
    budget: str, results: Sequence[tuple[LabelledClip, Result]], unreadable: list[str], judged: list[WhenAndWhere]
) -> Row:
    spent = [result.budget.spent_gflops for _, result in results]
    when = [one.when for one in judged if one.when is not None]
    where = [one.where for one in judged if one.where is not None]
    return Row(
        budget=budget,
        clips=len(results),
        unreadable=tuple(unreadable),
        top1=_mean([result.label in clip.labels for clip, result in results]),
        top5=_mean([any(score.label in clip.labels for score in result.top) for clip, result in results]),
        mean_gflops=_mean(spent),
        p95_gflops=float(np.percentile(spent, 95)),
        mean_glances=_mean([result.budget.glance for _, result in results]),
        mean_looks=_mean([result.budget.looks for _, result in results]),
        mean_ms=_mean([result.timing_ms.total for _, result in results]),
        when=_mean(when) if when else None,
        where=_mean(where) if where else None,
        where_clips=len(where),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
