"""Clips in this process or in several: outcomes in the order of the clips, a bounded number of them under way."""

from __future__ import annotations

import signal
import threading
import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import TYPE_CHECKING, cast

from avgn_edge._base.errors import AvgnEdgeError, BundleError, ClipError, DeviceError
from avgn_edge._base.signals import kept_from_children, obey_parent_alone
from avgn_edge.cli.console import one_line
from avgn_edge.cli.inputs import ClipInput
from avgn_edge.runtime.options import Options
from avgn_edge.runtime.recognizer import Recognizer

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

    from avgn_edge.runtime.result import Result


@dataclass(frozen=True)
class Failure:
    """Why a clip has no answer, as text: not every exception comes whole from one process to another."""

    why: str
    trace: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Write an error down."""
        return cls(one_line(error), "".join(traceback.format_exception(error)).rstrip())


@dataclass(frozen=True)
class Job:
    """What to do with each clip of a batch: plain values, so that it can be sent to another process."""

    model: str | None = None
    """The bundle's folder; None is the packaged one."""
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    """CPU threads of one process."""
    options: Options = field(default_factory=Options)
    """The budget and the like, of each clip."""
    report: Path | None = None
    """Where the page of each clip is written to; a folder that exists."""
    hwaccel: str = "none"
    """What decodes video."""

    def open(self) -> Recognizer:
        """Open what classifies the clips; AvgnEdgeError for a bundle or a device that cannot be used."""
        return Recognizer.open(self.model, self.device, self.precision, threads=self.threads, hwaccel=self.hwaccel)

    def classify(self, recognizer: Recognizer, clip: str) -> Result | Failure:
        """Return the answer for one clip, or the failure that is this clip's alone.

        BundleError and DeviceError are raised: no other clip will fare better.
        """
        try:
            if self.report is None:
                return recognizer.answer(clip, self.options)
            from avgn_edge.report.index import classify_and_report  # noqa: PLC0415 - most batches have no report

            return classify_and_report(recognizer, clip, self.report, self.options)
        except (BundleError, DeviceError):
            raise
        except Exception as error:  # noqa: BLE001 - a bug that one clip brings out must not cost the others' answers
            return Failure.of(error)


class SerialRunner:
    """A job done on clips in this process, one after the other; iterating yields each clip with its outcome."""

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
        """Yield nothing: each outcome was yielded when it was there."""
        return iter(())


AHEAD = 32
"""Clips a process, that may be done or under way while one before them is awaited."""
PATIENCE_S = 0.5
"""How long a wait lasts before it begins again: on Windows, Ctrl-C is heard only in between."""
READY = "ready"
GRACE_S = 5.0
"""How long a process that was killed may take to be gone."""


class ProcessRunner:
    """A job done on clips in `count` processes, each started when there is a clip for it; a context manager.

    Iterating yields each clip with its outcome, in order, as soon as it is there, even while the next name is awaited.
    A process that dies is a failure of the clip it was at, and another takes its place. What ends the batch is raised
    when its turn comes: an AvgnEdgeError of a bundle, of a device, of a process that dies before it takes a clip, or
    whatever `clips` raises. Leaving ends the processes.
    """

    def __init__(self, job: Job, count: int, clips: Iterable[ClipInput]) -> None:
        self._job = job
        self._count = self._running = count
        self._clips = iter(clips)
        self._taking = threading.Lock()  # guards the iterator: a name may be a while in coming
        self._changed = threading.Condition()  # guards all that follows
        self._outcomes: dict[int, tuple[ClipInput, Result | Failure] | Exception] = {}
        self._taken = self._yielded = 0
        self._closed = False
        self._processes: set[_Process] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._closed = True
            left, self._processes = self._processes, set()
            self._changed.notify_all()
        for process in left:
            process.kill()

    def __iter__(self) -> Iterator[tuple[ClipInput, Result | Failure]]:
        for _ in range(self._count):  # daemons: one may be waiting for a name that never comes
            threading.Thread(target=self._work, daemon=True).start()
        while (outcome := self._await()) is not None:
            yield outcome

    def finished(self) -> Iterator[tuple[ClipInput, Result | Failure]]:
        """Yield what is done already, in order, past what is not; nothing is done afterwards."""
        with self._changed:
            self._closed = True
            done = sorted(self._outcomes)
        for number in done:
            outcome = self._outcomes.pop(number)
            if not isinstance(outcome, Exception):
                yield outcome

    def _await(self) -> tuple[ClipInput, Result | Failure] | None:
        """Return the next outcome, None after the last."""
        with self._changed:
            while self._yielded not in self._outcomes:
                if not self._running:
                    return None
                self._changed.wait(PATIENCE_S)
            outcome = self._outcomes.pop(self._yielded)
            self._yielded += 1
            self._changed.notify_all()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _work(self) -> None:
        """Do clip after clip, in one process as long as it lives."""
        process = None
        try:
            while (taken := self._take()) is not None:
                number, item = taken
                try:
                    process, outcome = self._do(process, item)
                except Exception as error:  # noqa: BLE001 - it ends the batch, where it is awaited
                    self._put(number, error)
                    return
                self._put(number, (item, outcome))
        finally:
            if process is not None:
                self._end(process)
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _take(self) -> tuple[int, ClipInput] | None:
        """Return the next clip when its turn has come, None when no more are to be done."""
        with self._taking:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._taken < self._yielded + AHEAD * self._count)
                if self._closed:
                    return None
            try:
                item = next(self._clips, None)
            except Exception as error:  # noqa: BLE001 - raised where the clip would have been awaited
                self._put(self._taken, error)
                return None
            if item is None:
                return None
            with self._changed:
                self._taken += 1
                return self._taken - 1, item

    def _do(self, process: _Process | None, item: ClipInput) -> tuple[_Process | None, Result | Failure]:
        """Return the outcome, and the process to go on with."""
        if item.error is not None:
            return process, Failure.of(item.error)
        if process is not None and not process.alive:  # it died between two clips, of none of them
            self._end(process)
            process = None
        if process is None:
            process = self._start()
        outcome = process.classify(item.clip)
        if outcome is not None:
            return process, outcome
        why, advice = _reason(self._end(process))
        return None, Failure.of(ClipError(item.clip, f"the process that classified it died ({why})", advice))

    def _put(self, number: int, outcome: tuple[ClipInput, Result | Failure] | Exception) -> None:
        with self._changed:
            if not self._closed:  # a process that was ended on purpose has not failed
                self._outcomes[number] = outcome
                self._changed.notify_all()

    def _start(self) -> _Process:
        with self._changed:
            if self._closed:
                raise RuntimeError("no process is started any more")
            process = _Process(self._job)
            self._processes.add(process)
        if not process.await_ready():
            why, _ = _reason(self._end(process))
            advice = "give fewer --jobs, if memory was short"
            raise AvgnEdgeError("classify", f"a worker process died while it started ({why})", advice)
        return process

    def _end(self, process: _Process) -> int | None:
        """End a process, and return its exit code unless somebody else ended it."""
        with self._changed:
            ours = process in self._processes
            self._processes.discard(process)
        code = process.kill() if ours else None
        process.disconnect()
        return code


class _Process:
    """A process that classifies one clip at a time. For one thread, but `kill`."""

    def __init__(self, job: Job) -> None:
        spawning = get_context("spawn")
        self._connection, theirs = spawning.Pipe()
        self._process = spawning.Process(target=_serve, args=(theirs, job), daemon=True)
        with kept_from_children():
            self._process.start()
        theirs.close()  # or its end would not be seen here

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def await_ready(self) -> bool:
        """Wait until it has opened everything; False if it died."""
        return self._receive() == READY

    def classify(self, clip: str) -> Result | Failure | None:
        """Return the outcome; None if the process died."""
        with suppress(OSError):  # seen below
            self._connection.send(clip)
        return cast("Result | Failure | None", self._receive())

    def kill(self) -> int | None:
        """End it as it stands, if it lives: what it holds is not worth a farewell. Return its exit code."""
        self._process.kill()
        self._process.join(GRACE_S)
        return self._process.exitcode

    def disconnect(self) -> None:
        self._connection.close()

    def _receive(self) -> object:
        """Return what it sent, None at its end; what it raised is raised."""
        try:
            received = self._connection.recv()
        except (EOFError, OSError):
            self._process.join(GRACE_S)  # it is on its way: what ended it is to be told
            return None
        if isinstance(received, Exception):
            raise received
        return received


def _serve(connection: Connection, job: Job) -> None:
    """Live as a worker process: until nobody is at the other end."""
    obey_parent_alone()
    try:
        recognizer = job.open()
    except Exception as error:  # noqa: BLE001 - told by the process that has the terminal
        connection.send(_sendable(error))
        return
    with suppress(EOFError, OSError):
        connection.send(READY)
        while True:
            clip = connection.recv()
            try:
                outcome: Result | Failure | AvgnEdgeError = job.classify(recognizer, clip)
            except AvgnEdgeError as error:
                outcome = error
            connection.send(outcome)


def _sendable(error: Exception) -> AvgnEdgeError:
    if isinstance(error, AvgnEdgeError):
        return error
    return AvgnEdgeError("a worker process", one_line(error), "try --jobs 1")


def _reason(code: int | None) -> tuple[str, str]:
    """Say how a process ended, and what may help."""
    if code is None or code >= 0:
        return f"exit code {code}", "leave the clip out, or convert it"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name == "SIGKILL":
        return name, "give fewer --jobs, or classify it alone, if memory was short"
    return name, "leave it out, or convert it, if it is damaged so that a decoder crashes"
