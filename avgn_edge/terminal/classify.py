"""`classify`: a batch of clips, a line each; a clip that cannot be read does not stop the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from avgn_edge.errors import BundleError, DeviceError
from avgn_edge.terminal import lines
from avgn_edge.terminal.progress import Bar
from avgn_edge.terminal.tables import counted, duration, pad, width

if TYPE_CHECKING:
    from avgn_edge.runtime.budget import Budget
    from avgn_edge.runtime.recognizer import Recognizer, Sampling
    from avgn_edge.runtime.result import Result
    from avgn_edge.terminal.clips import Found

WIDEST_CLIP = 60
"""Cells. A longer name pushes its own line out, not everybody's."""
WIDEST_LABEL = 24


class Writer(Protocol):
    """How outcomes are told."""

    def answer(self, result: Result) -> None:
        """Tell an answer."""
        ...

    def failure(self, clip: str, error: Exception) -> None:
        """Tell why a clip has none."""
        ...


class JsonLines:
    """One JSON object a clip on stdout."""

    def answer(self, result: Result) -> None:
        """Tell an answer."""
        lines.json_line(result.to_dict())

    def failure(self, clip: str, error: Exception) -> None:
        """Tell why a clip has none."""
        lines.json_line({"clip": clip, "error": lines.one_line(error)})


class AlignedLines:
    """One line a clip: its name, its best classes with their scores, and what they cost.

    The columns are wide enough for every clip and label from the start, so that lines fit together as they come.
    """

    def __init__(self, found: Sequence[Found], labels: Sequence[str]) -> None:
        self._alone = len(found) == 1
        self._clip = min(WIDEST_CLIP, max((width(lines.printable(item.clip)) for item in found), default=0))
        self._label = min(WIDEST_LABEL, max(width(lines.printable(label)) for label in labels))

    def answer(self, result: Result) -> None:
        """Tell an answer."""
        for text in result.warnings:
            lines.warning(f"{result.clip}: {text}")
        cost = (f"{result.budget.spent_gflops:.2f} GFLOPs", _attention(result), duration(result.timing_ms.total))
        if self._alone:
            scores = (f"{lines.printable(best.label)} {best.score:.2f}" for best in result.top)
            lines.data("  ".join((lines.printable(result.clip), *scores, f"({', '.join(cost)})")))
            return
        clip = pad(lines.printable(result.clip), self._clip)
        scores = (f"{pad(lines.printable(best.label), self._label)} {best.score:.2f}" for best in result.top)
        aligned = (pad(cost[0], 11, right=True), pad(cost[1], 10, right=True), pad(cost[2], 7, right=True))
        lines.data("  ".join((clip, *scores, f"({', '.join(aligned)})")))

    def failure(self, clip: str, error: Exception) -> None:
        """Tell nothing on stdout: the error's line on stderr says it."""


def classify_clips(
    recognizer: Recognizer,
    found: Sequence[Found],
    budget: Budget,
    sampling: Sampling,
    *,
    top: int,
    exit_risk: float | None,
    average: str | None,
    writer: Writer,
    debug: bool,
) -> int:
    """Classify the clips and return the exit code: 0, 1 if some failed, 130 after Ctrl-C."""
    failed = done = 0
    try:
        with Bar("clips", len(found)) as bar:
            for item in found:
                outcome = _outcome(recognizer, item, budget, sampling, top, exit_risk, average)
                with bar.away():
                    bar.show(done + 1)
                    if isinstance(outcome, Exception):
                        failed += 1
                        writer.failure(item.clip, outcome)
                        lines.failure(outcome, debug=debug, about=item.clip)
                    else:
                        writer.answer(outcome)
                done += 1
    except KeyboardInterrupt:
        lines.note(f"interrupted: {done} of {counted(len(found), 'clip')} done")
        return 130
    return 1 if failed else 0


def _outcome(
    recognizer: Recognizer,
    item: Found,
    budget: Budget,
    sampling: Sampling,
    top: int,
    exit_risk: float | None,
    average: str | None,
) -> Result | Exception:
    """Return the answer for one clip, or the error that is this clip's alone."""
    if item.error is not None:
        return item.error
    try:
        return recognizer.classify(item.clip, budget, top=top, sampling=sampling, exit_risk=exit_risk, average=average)
    except (BundleError, DeviceError):  # no clip will fare better
        raise
    except Exception as error:  # noqa: BLE001 - a bug that one clip brings out must not cost the others their answers
        return error


def _attention(result: Result) -> str:
    """Say how far the answer got: looks, glances alone, or the sound alone."""
    if result.budget.looks:
        return counted(result.budget.looks, "look")
    if result.budget.glance:
        return counted(result.budget.glance, "glance")
    return "sound only"
