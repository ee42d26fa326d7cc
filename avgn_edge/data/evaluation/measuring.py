"""How well a bundle does on labelled clips, at one budget: accuracy, cost, and when and where it looked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from avgn_edge._base.errors import BudgetError, ClipError, DataError
from avgn_edge.bundle.manifest import Manifest
from avgn_edge.data.datasets import DataSet, LabelledClip
from avgn_edge.data.datasets.data_set import listed
from avgn_edge.data.evaluation.row import Answer, Failure, Row, Setting, has_paper_encoders, row_of
from avgn_edge.data.evaluation.when_and_where import Truth, compare_with_truth
from avgn_edge.media.clip import Clip
from avgn_edge.runtime.front_end import open_for
from avgn_edge.runtime.options import Options, Sampling
from avgn_edge.runtime.recognizer import Recognizer
from avgn_edge.runtime.result import Result

MOST_FAILED = 0.1
"""Share of a set's clips: where more fail, the rest says little about the set."""


def evaluate(
    recognizer: Recognizer,
    clips: Sequence[LabelledClip],
    options: Options = Options(),  # noqa: B008 - frozen
    *,
    truth: Mapping[str, Truth] | None = None,
    progress: Callable[[], None] = lambda: None,
    witness: Callable[[LabelledClip, Answer], None] | None = None,
) -> Row:
    """Classify every clip with the same options, and sum up.

    Clips that cannot be read, or get no answer within the budget, are skipped and named in the row.

    Args:
        recognizer: The bundle on its device.
        clips: The clips.
        options: The budget and the like.
        truth: When and where each clip's evidence is, by the clips' names, if that is known.
        progress: Called after each clip.
        witness: Called with each clip and its answer.

    Raises:
        DataError: More than a tenth of the clips have no answer, or the bundle knows none of the set's labels.
    """
    recognizer.strategy(options)
    known = {label: index for index, label in enumerate(recognizer.labels)}
    _check_labels(clips, known)
    answers: list[Answer] = []
    failed: list[Failure] = []
    for clip in clips:
        try:
            result = _classify(recognizer, clip, options)
        except (ClipError, BudgetError) as error:
            failed.append(Failure(clip.name, str(error)))
            _check_failed(failed, len(clips))
        else:
            answers.append(_answer(clip, result, known, (truth or {}).get(clip.name)))
            if witness is not None:
                witness(clip, answers[-1])
        progress()
    manifest = recognizer.manifest
    setting = Setting(
        model=manifest.name,
        device=recognizer.device.used,
        precision=recognizer.precision,
        task=manifest.task,
        budget=_named(options),
        paper_encoders=has_paper_encoders(manifest),
    )
    return row_of(setting, answers, failed)


def _named(options: Options) -> str:
    """Name the budget, the average and the risk of a row."""
    average, risk = options.average, options.exit_risk
    parts = [] if average is None else [f"average {average.asked}"]
    parts += [] if risk is None else [f"risk {risk:g}"]
    limited = options.budget.asked != "none" or not parts
    return ", ".join([options.budget.asked, *parts] if limited else parts)


def unknown_labels(data: DataSet, labels: Sequence[str]) -> tuple[str, ...]:
    """Labels of the set's clips that a bundle with these `labels` does not know, sorted."""
    return tuple(sorted({label for clip in data.clips for label in clip.labels} - set(labels)))


def warm_up(recognizer: Recognizer, clips: Sequence[LabelledClip]) -> None:
    """Open and run every graph once, as a time budget does beforehand, so that the first clip's time is its own."""
    with contextlib.suppress(ClipError):
        recognizer.classify(clips[0].path, "1ms")


def _classify(recognizer: Recognizer, clip: LabelledClip, options: Options) -> Result:
    if clip.start_s is None and clip.end_s is None:
        return recognizer.answer(clip.path, options)
    with open_labelled(clip, recognizer.manifest, options.sampling) as segment:
        return recognizer.answer(segment, options)


def open_labelled(clip: LabelledClip, manifest: Manifest, sampling: Sampling = "cheap") -> Clip:
    """Open a labelled clip, or its segment of a file, with the moments and frame sizes that a bundle takes."""
    return open_for(manifest.preprocessing, clip.path, sampling=sampling, start_s=clip.start_s, end_s=clip.end_s)


def _answer(clip: LabelledClip, result: Result, known: Mapping[str, int], truth: Truth | None) -> Answer:
    return Answer(
        truth=shown(clip, known),
        probabilities=result.probabilities,
        exit=result.exit,
        spent_gflops=result.budget.spent_gflops,
        glances=result.budget.glances,
        looks=result.budget.looks,
        total_ms=result.timing_ms.total,
        when_and_where=None if truth is None else compare_with_truth(result, truth, clip.start_s or 0.0),
    )


def shown(clip: LabelledClip, known: Mapping[str, int]) -> NDArray[np.bool_]:
    """The classes that a clip shows, bool [C], of those `known` by their index."""
    truth: NDArray[np.bool_] = np.zeros(len(known), dtype=np.bool_)
    truth[[known[label] for label in clip.labels if label in known]] = True
    return truth


def _check_failed(failed: Sequence[Failure], clips: int) -> None:
    if len(failed) <= MOST_FAILED * clips:
        return
    raise DataError(
        "evaluation",
        f"{len(failed)} of {clips} clips have no answer already, {failed[0].clip} among them ({failed[0].error})",
        "mend or remove them, or give the budget that they ask for",
    )


def _check_labels(clips: Sequence[LabelledClip], known: Mapping[str, int]) -> None:
    found = sorted({label for clip in clips for label in clip.labels})
    if not any(label in known for label in found):
        raise DataError(
            "evaluation",
            f"the bundle knows none of the set's labels ({listed(found)}); it knows {listed(list(known))}",
            "evaluate a bundle that was trained for them, or correct the labels",
        )
