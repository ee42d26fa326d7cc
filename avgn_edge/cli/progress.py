"""Progress on stderr: a bar on a terminal, elsewhere a line every half minute."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Final

from avgn_edge.cli import console

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress, TaskID
    from typing_extensions import Self


EVERY_S: Final = 30.0


def on_terminal() -> bool:
    """Whether there is a terminal to show a bar on."""
    return sys.stderr is not None and sys.stderr.isatty()


class Beat:
    """Writes what `text` returns as a line on stderr every half minute while it is entered.

    `text` is called in a thread of its own: work that takes minutes a step is heard of too.
    """

    def __init__(self, text: Callable[[], str]) -> None:
        self._text = text
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        with suppress(OSError):  # nobody reads on: whoever has data to write will see
            while not self._over.wait(EVERY_S):
                console.note(self._text())


class Bar:
    """Counts up to `total`, with the rate and the time that is left, or without an end where nobody knows it (None).

    Shows nothing where there is only one thing to do; and with `told`, where each thing done has a line of its own,
    nothing where stderr is no terminal.
    """

    def __init__(self, what: str, total: int | None, *, told: bool = False) -> None:
        self._what, self._total = what, total
        self._done, self._began = 0, monotonic()
        self._rich: Progress | None = None
        self._task: TaskID | None = None
        self._beat: Beat | None = None
        if total is not None and total <= 1:
            return
        if on_terminal():
            self._rich, self._task = _rich_bar(what, total)
        elif not told:
            self._beat = Beat(self._line)

    def __enter__(self) -> Self:
        if self._rich is not None:
            self._rich.start()
        if self._beat is not None:
            self._beat.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rich is not None:
            self._rich.stop()
        if self._beat is not None:
            self._beat.__exit__(kind, error, trace)

    def show(self, done: int) -> None:
        """Show how many are done."""
        self._done = done
        if self._rich is not None and self._task is not None:
            self._rich.update(self._task, completed=done)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Take the bar off the terminal while lines are written to it."""
        if self._rich is None:
            yield
            return
        self._rich.stop()
        yield
        self._rich.start()

    def _line(self) -> str:
        of = "" if self._total is None else f" of {self._total}"
        left = None if self._total is None else self._total - self._done
        return f"{self._what}: {self._done}{of}, {pace(self._done, left, monotonic() - self._began)}"


def pace(done: int, left: int | None, seconds: float) -> str:
    """Say how fast it goes when so many were `done` in so many seconds, and how long the rest takes."""
    if not done:
        return f"{_span(seconds)} so far"
    rest = "" if left is None else f", about {_span(seconds / done * left)} left"
    return _rate(done / seconds) + rest


def _rate(speed: float) -> str:
    return f"{speed:.1f}/s" if speed >= 1 else f"{60 * speed:.1f}/min"


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _rich_bar(what: str, total: int | None) -> tuple[Progress, TaskID]:
    from rich import progress as bars  # noqa: PLC0415 - 0.1 s that a pipe need not wait for
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    class Rate(bars.ProgressColumn):
        """Things a second, of late; a minute where that is less than one."""

        def render(self, task: bars.Task) -> Text:
            speed = task.finished_speed or task.speed
            if not speed:
                return Text("")
            return Text(_rate(speed), style="progress.data.speed")

    # Redirecting would send the data lines to the bar's console, which is stderr.
    progress = bars.Progress(
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        Rate(),
        bars.TimeElapsedColumn(),
        bars.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    return progress, progress.add_task(what, total=total)
