"""A progress bar on stderr, on a terminal only: in a pipe there is none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress, TaskID
    from typing_extensions import Self


class Bar:
    """Counts up to `total`, with the rate and the time that is left, or without an end where nobody knows it (None).

    Shows nothing where stderr is no terminal or there is only one thing to do.
    """

    def __init__(self, what: str, total: int | None) -> None:
        self._rich: Progress | None = None
        self._task: TaskID | None = None
        if (total is None or total > 1) and sys.stderr is not None and sys.stderr.isatty():
            self._rich, self._task = _rich_bar(what, total)

    def __enter__(self) -> Self:
        if self._rich is not None:
            self._rich.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rich is not None:
            self._rich.stop()

    def show(self, done: int) -> None:
        """Show how many are done."""
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
            return Text(f"{speed:.1f}/s" if speed >= 1 else f"{60 * speed:.1f}/min", style="progress.data.speed")

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
