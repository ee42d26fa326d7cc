"""What is seen of training: a bar, or lines now and then, for the epoch under way; a line or object for each done."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from avgn_edge.terminal import lines
from avgn_edge.terminal.progress import Beat, on_terminal, pace

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress, TaskID
    from typing_extensions import Self

    from avgn_edge.training.settings import LossWeights

SYMBOLS = {
    "classification": "L_p",
    "visual": "L_V",
    "audio": "L_A",
    "saliency": "L_s",
    "mask": "L_mask",
    "ordered": "L_ord",
    "random_crop": "L_crop",
    "guidance": "L_π",
}
"""The paper's names of the loss terms; the last two are AdaFocusV2's and ours."""
SHARES = {"top1": "top-1", "mAP": "mAP"}


class TrainingMonitor:
    """Shows each epoch as a line on stderr or, `as_json`, an object on stdout; a context manager.

    The one under way has a bar on a terminal, and a line every half minute elsewhere.
    """

    def __init__(self, epochs: int, weights: LossWeights, checkpoint: Path, *, as_json: bool) -> None:
        self._epochs = epochs
        self._weights = weights
        self._checkpoint = checkpoint
        self._as_json = as_json
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._beat: Beat | None = None if on_terminal() else Beat(self._line)
        self._sums: dict[str, float] = {}
        self._seen = 0
        self._taken = self._left = 0
        self._shown = "training: the first step"
        self._started = self._began = monotonic()

    def __enter__(self) -> Self:
        if self._beat is not None:
            self._beat.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._take_bar_away()
        if self._beat is not None:
            self._beat.__exit__(kind, error, trace)

    def step(self, epoch: int, step: int, steps: int, terms: Mapping[str, float]) -> None:
        """Move the bar, or remember what the next line says; the means since the epoch, or this run, began."""
        self._seen += 1
        self._taken += 1
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        means = {name: value / self._seen for name, value in self._sums.items()}
        which = f"epoch {epoch + 1}/{self._epochs}"
        if self._beat is not None:
            self._left = (self._epochs - epoch) * steps - step - 1
            now = f"step {step + 1} of {steps}" if step + 1 < steps else "held-out clips"
            self._shown = f"{which}: {now}, loss {self._total(means):.3f}"
            return
        if self._bar is None:
            self._bar = _bar()
            self._task = self._bar.add_task(which, total=steps, completed=step, shown="")
            self._bar.start()
        what = which if step + 1 < steps else "held-out clips"
        if self._task is not None:
            self._bar.update(self._task, completed=step + 1, description=what, shown=_terms(means))

    def epoch_done(self, epoch: int, means: Mapping[str, float], validation: Mapping[str, float]) -> None:
        """Tell of an epoch."""
        self._take_bar_away()
        self._sums, self._seen = {}, 0
        seconds, self._began = monotonic() - self._began, monotonic()
        total = self._total(means)
        if self._as_json:
            lines.json_line(
                {
                    "epoch": epoch + 1,
                    "epochs": self._epochs,
                    "loss": total,
                    "terms": dict(means),
                    "validation": dict(validation),
                    "seconds": round(seconds, 3),
                    "checkpoint": str(self._checkpoint),
                }
            )
            return
        scores = "".join(f", {SHARES.get(name, name)} {100 * value:.1f}" for name, value in validation.items())
        lines.note(f"epoch {epoch + 1}/{self._epochs}: loss {total:.3f} ({_terms(means)}){scores}, {seconds:.0f} s")

    def stopping(self) -> None:
        """Say that Ctrl-C was heard."""
        # Not through sys.stderr: the signal may have come while it was writing.
        os.write(2, b"\nstopping after this step; Ctrl-C again ends at once, and loses what is not saved\n")

    def _total(self, terms: Mapping[str, float]) -> float:
        return float(sum(getattr(self._weights, name) * value for name, value in terms.items()))

    def _line(self) -> str:
        return f"{self._shown}, {pace(self._taken, self._left, monotonic() - self._started)}"

    def _take_bar_away(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _terms(values: Mapping[str, float]) -> str:
    return " ".join(f"{SYMBOLS.get(name, name)} {value:.3f}" for name, value in values.items())


def _bar() -> Progress:
    from rich import progress as bars  # noqa: PLC0415 - 0.1 s that a pipe need not wait for
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Column  # noqa: PLC0415

    return bars.Progress(
        bars.TextColumn("{task.description}"),
        bars.BarColumn(bar_width=16),
        bars.MofNCompleteColumn(),
        bars.TimeRemainingColumn(),
        bars.TextColumn("{task.fields[shown]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
        console=Console(stderr=True),
        expand=True,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
