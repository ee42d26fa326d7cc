"""Progress on stderr: a bar on a terminal, elsewhere a line every half minute."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Final

from avgn_edge.cli import console
from avgn_edge.cli.formatting import span

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress, ProgressColumn, TaskID
    from typing_extensions import Self


EVERY_S: Final = 30.0


class Display:
    """Shows while it is entered that work goes on: a bar on a terminal, elsewhere a line every half minute.

    Args:
        line: returns the line; None for no lines. It is called in a thread of its own, so that work that takes minutes
            a step is heard of too.
    """

    def __init__(self, line: Callable[[], str] | None) -> None:
        self.on_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._over = threading.Event()
        self._lines: threading.Thread | None = None
        if line is not None and not self.on_terminal:
            self._lines = threading.Thread(target=self._write_lines, args=(line,), daemon=True)

    def __enter__(self) -> Self:
        if self._lines is not None:
            self._lines.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.take_bar_away()
        if self._lines is not None:
            self._over.set()
            self._lines.join()

    def take_bar_away(self) -> None:
        """Remove the bar from the terminal, if there is one."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _write_lines(self, line: Callable[[], str]) -> None:
        with suppress(OSError):  # nobody reads on: whoever has data to write will see
            while not self._over.wait(EVERY_S):
                console.note(line())


class Bar(Display):
    """Counts up to `total`, with the rate and the time that is left; without an end where `total` is None.

    Shows nothing where there is only one thing to do.

    Args:
        what: the plural of what is counted.
        total: how many there are; None where nobody knows.
        has_lines: each thing done has a line of its own, so that no others are needed where there is no terminal.
    """

    def __init__(self, what: str, total: int | None, *, has_lines: bool = False) -> None:
        self.what = what
        self._total = total
        self._done, self._began = 0, monotonic()
        self._alone = total is not None and total <= 1
        super().__init__(None if has_lines or self._alone else self._line)

    def __enter__(self) -> Self:
        if self.on_terminal and not self._alone:
            self._bar = _counting_bar()
            self._task = self._bar.add_task(self.what, total=self._total)
            self._bar.start()
        return super().__enter__()

    def show(self, done: int) -> None:
        """Show how many are done."""
        self._done = done
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Take the bar off the terminal while lines are written to it."""
        if self._bar is None:
            yield
            return
        self._bar.stop()
        yield
        self._bar.start()

    def _line(self) -> str:
        of = "" if self._total is None else f" of {self._total}"
        left = None if self._total is None else self._total - self._done
        return f"{self.what}: {self._done}{of}, {pace(self._done, left, monotonic() - self._began)}"


def pace(done: int, left: int | None, seconds: float) -> str:
    """Describe how fast it goes when so many were `done` in so many seconds, and how long the rest takes."""
    if not done:
        return f"{span(seconds)} so far"
    rest = "" if left is None else f", about {span(seconds / done * left)} left"
    return _rate(done / seconds) + rest


def _rate(speed: float) -> str:
    return f"{speed:.1f}/s" if speed >= 1 else f"{60 * speed:.1f}/min"


def rich_bar(*columns: ProgressColumn, expand: bool = False) -> Progress:
    """Return a bar for stderr, not started, with a task's description before these columns."""
    from rich import console, progress  # noqa: PLC0415 - 0.1 s that a pipe need not wait for

    # Redirecting would send the data lines to the bar's console, which is stderr.
    return progress.Progress(
        progress.TextColumn("{task.description}"),
        *columns,
        console=console.Console(stderr=True),
        expand=expand,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


def _counting_bar() -> Progress:
    from rich import progress, text  # noqa: PLC0415

    class Rate(progress.ProgressColumn):
        """Things a second, of late; a minute where that is less than one."""

        def render(self, task: progress.Task) -> text.Text:
            speed = task.finished_speed or task.speed
            return text.Text(_rate(speed) if speed else "", style="progress.data.speed")

    elapsed, left = progress.TimeElapsedColumn(), progress.TimeRemainingColumn()
    return rich_bar(progress.BarColumn(), progress.MofNCompleteColumn(), Rate(), elapsed, left)
