"""`classify`: a batch of clips, a line each; a clip that cannot be read does not stop the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from avgn_edge._base.text import printable
from avgn_edge.cli import console
from avgn_edge.cli.console import Interruptible
from avgn_edge.cli.formatting import counted, duration, pad, width
from avgn_edge.cli.progress import Bar
from avgn_edge.cli.runner import Failure

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import TracebackType

    from typing_extensions import Self

    from avgn_edge.cli.inputs import Batch, ClipInput
    from avgn_edge.cli.runner import Failure, Job, ProcessRunner
    from avgn_edge.runtime.recognizer import Recognizer
    from avgn_edge.runtime.result import Result
    from avgn_edge.runtime.strategy import Strategy


class Indexed:
    """Tells outcomes as another writer does, and writes the index of `folder` in the end; AvgnEdgeError if it cannot.

    Without a folder it is the other writer, no more.
    """

    def __init__(self, writer: Writer, folder: Path | None) -> None:
        self._writer = writer
        self._folder = folder
        self._failed: list[tuple[str, str]] = []

    def answer(self, result: Result) -> None:
        """Tell an answer."""
        self._writer.answer(result)

    def failure(self, clip: str, failure: Failure) -> None:
        """Tell why a clip has none, and keep it for the index."""
        if self._folder is not None:
            self._failed.append((clip, failure.why))
        self._writer.failure(clip, failure)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is None:
            return
        from avgn_edge.report.index import write_index  # noqa: PLC0415 - most batches have no report

        console.note(f"report: {write_index(self._folder, self._failed)}")


WIDEST_CLIP = 60
"""Cells. A longer name pushes its own line out, not everybody's."""
WIDEST_LABEL = 24
CLIPS_A_PROCESS = 8
"""Starting a process that classifies takes about as long as classifying so many short clips."""
PROCESSORS = frozenset({"cpu", "openvino:CPU"})
"""Devices that several processes share well; on others one process has all there is, and its memory once."""


class Writer(Protocol):
    """How outcomes are told."""

    def answer(self, result: Result) -> None:
        """Tell an answer."""
        ...

    def failure(self, clip: str, failure: Failure) -> None:
        """Tell why a clip has none."""
        ...


class JsonLines:
    """One JSON object a clip on stdout."""

    def answer(self, result: Result) -> None:
        """Tell an answer."""
        console.json_line(result.to_dict())

    def failure(self, clip: str, failure: Failure) -> None:
        """Tell why a clip has none."""
        console.json_line({"clip": clip, "error": failure.why})


class AlignedLines:
    """One line a clip: its name, its best classes with their scores, and what they cost.

    The columns are wide enough for every label, and for the clips that are known from the start, so that lines fit
    together as they come; for a longer one that comes later they widen. `told` are warnings that were given already.
    """

    def __init__(self, batch: Batch, labels: Sequence[str], told: Sequence[str] = ()) -> None:
        self._alone = batch.total == 1
        self._told = frozenset(told)
        self._clip = max((_column(item.clip, WIDEST_CLIP) for item in batch.first), default=0)
        self._label = max(_column(label, WIDEST_LABEL) for label in labels)

    def answer(self, result: Result) -> None:
        """Tell an answer."""
        for text in result.warnings:
            if text not in self._told:
                console.warning(f"{result.clip}: {text}")
        cost = (f"{result.budget.spent_gflops:.2f} GFLOPs", _attention(result), duration(result.timing_ms.total))
        if self._alone:
            scores = (f"{printable(best.label)} {best.score:.2f}" for best in result.top)
            console.data("  ".join((printable(result.clip), *scores, f"({', '.join(cost)})")))
            return
        self._clip = max(self._clip, _column(result.clip, WIDEST_CLIP))
        clip = pad(printable(result.clip), self._clip)
        scores = (f"{pad(printable(best.label), self._label)} {best.score:.2f}" for best in result.top)
        aligned = (pad(cost[0], 11, right=True), pad(cost[1], 10, right=True), pad(cost[2], 7, right=True))
        console.data("  ".join((clip, *scores, f"({', '.join(aligned)})")))

    def failure(self, clip: str, failure: Failure) -> None:
        """Tell nothing on stdout: the error's line on stderr says it."""


def tell_request(chosen: Strategy) -> None:
    """Say on stderr, once for all clips, what a user should know of the request, and what a risk promises."""
    from avgn_edge.runtime.strategy import promise  # noqa: PLC0415 - NumPy

    for text in chosen.notes:
        console.warning(text)
    exit_risk = chosen.options.exit_risk
    if exit_risk is not None and chosen.rules.certifies(chosen.glances):
        console.note(f"exit risk {exit_risk:g}: {promise(exit_risk)}")


def choose_jobs(asked: int | None, job: Job, recognizer: Recognizer, batch: Batch, cores: int) -> int:
    """Return how many processes to use; without `asked`, one a core if there are clips for it.

    One for a device that is no processor, and for a time budget: a clip's clock runs on while others have the cores.
    """
    if asked is not None:
        return asked if batch.total is None else max(1, min(asked, batch.total))
    timed = job.options.budget.seconds is not None
    if timed or recognizer.device.used not in PROCESSORS:
        return 1
    return max(1, min(cores, len(batch.first) // CLIPS_A_PROCESS))


def classify_batch(
    batch: Batch, job: Job, recognizer: Recognizer, *, jobs: int | None, writer: Writer, debug: bool
) -> int:
    """Classify the clips and return the exit code: 0, 1 if some failed, 130 after Ctrl-C or SIGTERM.

    `recognizer` is `job`'s; several jobs use processes of their own, and share the cores, or `job.threads`, out.
    """
    from avgn_edge._base.processes import usable_cores  # noqa: PLC0415 - for a light `--help`

    cores = job.threads or usable_cores()
    count = choose_jobs(jobs, job, recognizer, batch, cores)
    failed = done = 0
    with (
        Interruptible() as interruptible,
        Bar("clips", batch.total, told=True) as bar,
        _outcomes(batch, job, recognizer, count, cores) as outcomes,
    ):

        def tell(item: ClipInput, outcome: Result | Failure) -> None:
            nonlocal failed, done
            with interruptible.held(), bar.away():
                done += 1
                bar.show(done)
                if isinstance(outcome, Failure):
                    failed += 1
                    writer.failure(item.clip, outcome)
                    console.clip_failure(item.clip, outcome.why, outcome.trace if debug else "")
                else:
                    writer.answer(outcome)

        try:
            for item, outcome in outcomes:
                tell(item, outcome)
        except KeyboardInterrupt:
            interruptible.caught()
            for item, outcome in outcomes.finished():
                tell(item, outcome)
            whole = f"{done} of {counted(batch.total, 'clip')}" if batch.total is not None else counted(done, "clip")
            console.note(f"interrupted: {whole} done")
            return 130
    return 1 if failed else 0


class SerialRunner:
    """A job done on clips in this process, one after the other: what `ProcessRunner` is for several."""

    def __init__(self, job: Job, recognizer: Recognizer, clips: Iterable[ClipInput]) -> None:
        self._job = job
        self._recognizer = recognizer
        self._clips = clips

    def __iter__(self) -> Iterator[tuple[ClipInput, Result | Failure]]:
        for item in self._clips:
            if item.error is not None:
                yield item, Failure.of(item.error)
            else:
                yield item, self._job.classify(self._recognizer, item.clip)

    def finished(self) -> Iterator[tuple[ClipInput, Result | Failure]]:
        """Yield nothing: what is done was yielded."""
        return iter(())


def _outcomes(
    batch: Batch, job: Job, recognizer: Recognizer, count: int, cores: int
) -> AbstractContextManager[SerialRunner | ProcessRunner]:
    if count == 1:
        return nullcontext(SerialRunner(job, recognizer, batch))
    from avgn_edge.cli.runner import ProcessRunner  # noqa: PLC0415 - multiprocessing

    recognizer.close()
    return ProcessRunner(replace(job, threads=max(1, cores // count)), count, batch)


def _column(text: str, widest: int) -> int:
    return min(widest, width(printable(text)))


def _attention(result: Result) -> str:
    """Say how far the answer got: looks, glances alone, or the sound alone."""
    if result.budget.looks:
        return counted(result.budget.looks, "look")
    if result.budget.glances:
        return counted(result.budget.glances, "glance")
    return "sound only"
