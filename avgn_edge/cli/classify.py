"""`classify`: a batch of clips, a line each; a clip that cannot be read does not stop the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avgn_edge._base.atomic import make_folder
from avgn_edge._base.processes import usable_cores
from avgn_edge._base.text import printable
from avgn_edge.cli import console
from avgn_edge.cli.console import Interruptible
from avgn_edge.cli.formatting import counted, duration, pad, width
from avgn_edge.cli.inputs import Batch, ClipInput, gather, skip_done
from avgn_edge.cli.progress import Bar
from avgn_edge.cli.runner import Failure, Job, ProcessRunner, SerialRunner
from avgn_edge.cli.shared import AsJson, Sampling
from avgn_edge.runtime.options import Options
from avgn_edge.runtime.recognizer import Recognizer

if TYPE_CHECKING:
    from avgn_edge.runtime.result import Result
    from avgn_edge.runtime.strategy import Strategy

WIDEST_CLIP = 60
"""Cells. A longer name pushes its own line out, not everybody's."""
WIDEST_LABEL = 24
CLIPS_A_PROCESS = 8
"""Starting a process that classifies takes about as long as classifying so many short clips."""
PROCESSORS = frozenset({"cpu", "openvino:CPU"})
"""Devices that several processes share well; on others one process has all there is, and its memory once."""


def command(
    context: typer.Context,
    clips: Annotated[
        list[str],
        typer.Argument(
            metavar="CLIP", help="Video or sound files, folders of them, patterns, or - for a list on standard input."
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="BUNDLE", help="A bundle's folder. [default: the packaged one]"),
    ] = None,
    budget: Annotated[
        str, typer.Option("--budget", "-b", metavar="B", help="For each clip: 6gflops, 250mflops, 80ms, 1.5s or none.")
    ] = "none",
    top: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Classes to list. [default: 1, with --json 5]")
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="D", help="auto, cpu, cuda[:N], tensorrt[:N], openvino[:CPU|GPU|NPU|AUTO].")
    ] = "auto",
    precision: Annotated[str, typer.Option(metavar="P", help="auto, fp32, fp16, int8.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(metavar="N", help="CPU threads, of all jobs. [default: all usable cores]")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            metavar="N",
            min=1,
            max=256,
            help="Processes, which share the threads. [default: one a core for many clips, 1 with a budget of time]",
        ),
    ] = None,
    sampling: Annotated[
        Sampling, typer.Option(help="Frames from key frames nearby, or from the centre of each sixteenth of the clip.")
    ] = Sampling.CHEAP,
    exit_risk: Annotated[
        float | None,
        typer.Option(metavar="R", help="Stop early where that changes the answer in at most this share of clips."),
    ] = None,
    average: Annotated[
        str | None, typer.Option(metavar="B", help="Compute to spend on a clip in the mean, as 1gflops.")
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Look in folders inside folders too.")] = False,
    as_json: AsJson = False,
    skip: Annotated[
        Path | None,
        typer.Option(
            "--skip-done", metavar="FILE", help="With --json: leave out the clips that an earlier run answered in FILE."
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a page a clip to look at, and an index.html over them.")
    ] = None,
    hwaccel: Annotated[
        str, typer.Option(metavar="D", help="Decode video on cuda, vaapi, qsv …, auto or none.")
    ] = "none",
) -> None:
    """Tell the class of each clip. One line a clip, with the score and what it cost.

    To go on where a long batch stopped: avgn-edge classify -r clips --json --skip-done done.jsonl >> done.jsonl
    """
    if report is not None:
        make_folder(report)
    options = Options.of(
        budget, top=top or (5 if as_json else 1), sampling=sampling.value, exit_risk=exit_risk, average=average
    )
    job = Job(model, device, precision, threads, options, report, hwaccel)
    done = frozenset[str]() if skip is None else skip_done(skip, as_json=as_json)
    with job.open() as recognizer:
        strategy = recognizer.strategy(options)
        batch = gather(clips, recursive=recursive, done=done)
        note_request(strategy)
        lines = None if as_json else AlignedLines(batch, recognizer.labels, strategy.notes)
        with _index(report) as failures:
            code = classify_batch(batch, job, recognizer, jobs=jobs, lines=lines, failures=failures, debug=context.obj)
    raise typer.Exit(code)


@contextmanager
def _index(folder: Path | None) -> Iterator[list[tuple[str, str]] | None]:
    """Give a list for clips that failed and why, and write the index of `folder` in the end; None without a folder."""
    if folder is None:
        yield None
        return
    from avgn_edge.report.index import write_index  # noqa: PLC0415 - most batches have no report

    failures: list[tuple[str, str]] = []
    try:
        yield failures
    finally:
        console.note(f"report: {write_index(folder, failures)}")


def note_request(strategy: Strategy) -> None:
    """Say on stderr, once for all clips, what a user should know of the request, and what a risk promises."""
    from avgn_edge.runtime.strategy import promise  # noqa: PLC0415 - NumPy, which is imported while a bundle opens

    for text in strategy.notes:
        console.warning(text)
    exit_risk = strategy.options.exit_risk
    if exit_risk is not None and strategy.rules.certifies(strategy.glances):
        console.note(f"exit risk {exit_risk:g}: {promise(exit_risk)}")


def choose_jobs(jobs: int | None, job: Job, recognizer: Recognizer, batch: Batch, cores: int) -> int:
    """Return how many processes to use: `jobs`, or where it is None one a core if there are clips for it.

    One for a device that is no processor, and for a time budget: a clip's clock runs on while others have the cores.
    """
    if jobs is not None:
        return jobs if batch.total is None else max(1, min(jobs, batch.total))
    timed = job.options.budget.seconds is not None
    if timed or recognizer.device.used not in PROCESSORS:
        return 1
    return max(1, min(cores, len(batch.first) // CLIPS_A_PROCESS))


def classify_batch(
    batch: Batch,
    job: Job,
    recognizer: Recognizer,
    *,
    jobs: int | None = None,
    lines: AlignedLines | None = None,
    failures: list[tuple[str, str]] | None = None,
    debug: bool = False,
) -> int:
    """Classify the clips and write the outcomes, in the order of the clips.

    Args:
        batch: the clips.
        job: what to do with each.
        recognizer: the job's; it is closed where several processes work, each of which has its own.
        jobs: how many processes share the cores, or `job.threads`, out; None chooses.
        lines: writes answers for people; None writes JSON.
        failures: where to add each clip that failed, and why.
        debug: write the traceback of each failure.

    Returns:
        The exit code: 0, 1 if some clips failed, 130 after Ctrl-C or SIGTERM.
    """
    cores = job.threads or usable_cores()
    count = choose_jobs(jobs, job, recognizer, batch, cores)
    failed = done = 0
    runner: nullcontext[SerialRunner] | ProcessRunner
    if count == 1:
        runner = nullcontext(SerialRunner(job, recognizer, batch))
    else:
        recognizer.close()
        runner = ProcessRunner(replace(job, threads=max(1, cores // count)), count, batch)
    with Interruptible() as interruptible, Bar("clips", batch.total, has_lines=True) as bar, runner as outcomes:

        def write(item: ClipInput, outcome: Result | Failure) -> None:
            nonlocal failed, done
            with interruptible.held(), bar.away():
                done += 1
                bar.show(done)
                if isinstance(outcome, Failure):
                    failed += 1
                    _write_failure(item.clip, outcome, as_json=lines is None, debug=debug)
                    if failures is not None:
                        failures.append((item.clip, outcome.why))
                elif lines is None:
                    console.json_line(outcome.to_dict())
                else:
                    lines.write(outcome)

        try:
            for item, outcome in outcomes:
                write(item, outcome)
        except KeyboardInterrupt:
            interruptible.caught()
            for item, outcome in outcomes.finished():
                write(item, outcome)
            whole = f"{done} of {counted(batch.total, 'clip')}" if batch.total is not None else counted(done, "clip")
            console.note(f"interrupted: {whole} done")
            return console.INTERRUPTED
    return 1 if failed else 0


def _write_failure(clip: str, failure: Failure, *, as_json: bool, debug: bool) -> None:
    if as_json:
        console.json_line({"clip": clip, "error": failure.why})
    console.clip_failure(clip, failure.why, failure.trace if debug else "")


class AlignedLines:
    """One line a clip: its name, its best classes with their scores, and what they cost.

    The columns are wide enough for every label, and for the clips that are known from the start, so that lines fit
    together as they come; for a longer one that comes later they widen.

    Args:
        batch: the clips; one alone gets no columns.
        labels: all labels of the bundle.
        known: warnings that were given already, and are not repeated for each clip.
    """

    def __init__(self, batch: Batch, labels: Sequence[str], known: Sequence[str] = ()) -> None:
        self._alone = batch.total == 1
        self._known = frozenset(known)
        self._clip = max((_column(item.clip, WIDEST_CLIP) for item in batch.first), default=0)
        self._label = max(_column(label, WIDEST_LABEL) for label in labels)

    def write(self, result: Result) -> None:
        """Write an answer, after its warnings."""
        for text in result.warnings:
            if text not in self._known:
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


def _column(text: str, widest: int) -> int:
    return min(widest, width(printable(text)))


def _attention(result: Result) -> str:
    """Say how far the answer got: looks, glances alone, or the sound alone."""
    if result.budget.looks:
        return counted(result.budget.looks, "look")
    if result.budget.glances:
        return counted(result.budget.glances, "glance")
    return "sound only"
