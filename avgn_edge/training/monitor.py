"""Who is told how training goes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from avgn_edge.training.stages import Stage

Terms = Mapping[str, float]
"""Loss terms by name, unweighted."""


class Monitor:
    """Hears of what `run.train` does; this one tells nobody. Epochs and steps count from 0."""

    def stage(self, stage: Stage, first_epoch: int, first_step: int) -> None:
        """Hear that a stage begins or is resumed; so many epochs and steps belong to the stages before it."""

    def step(self, epoch: int, step: int, steps: int, terms: Terms) -> None:
        """Hear of one step of the `steps` of an epoch; epochs count through all stages."""

    def epoch_done(self, epoch: int, means: Terms, validation: Terms) -> None:
        """Hear of a whole epoch, when its checkpoint is written; `validation` is empty where there is none."""

    def stopping(self) -> None:
        """Hear that the run was asked to stop, and will after the step under way; called from a signal handler."""


class LogMonitor(Monitor):
    """Writes to a logger, now and then within an epoch and at its end."""

    def __init__(self, log: logging.Logger, every: int = 20) -> None:
        self._log = log
        self._every = every

    def step(self, epoch: int, step: int, steps: int, terms: Terms) -> None:
        """Write every so many steps."""
        if step % self._every == 0:
            self._log.info("epoch %d, step %d of %d: %s", epoch + 1, step, steps, _shown(terms))

    def epoch_done(self, epoch: int, means: Terms, validation: Terms) -> None:
        """Write the means and the validation."""
        self._log.info("epoch %d: %s; held out: %s", epoch + 1, _shown(means), _shown(validation) or "nothing")


def _shown(values: Terms) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in values.items())


class TensorBoardMonitor(Monitor):
    """Writes curves for TensorBoard; on resuming, what an interrupted run logged after its last state goes away."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None
        self._before = (0, 0)
        self._done = 0

    def stage(self, _stage: Stage, first_epoch: int, first_step: int) -> None:
        """Remember what came before, as curves go on through all stages."""
        self._before = first_epoch, first_step

    def step(self, epoch: int, step: int, steps: int, terms: Terms) -> None:
        """Log every term."""
        first_epoch, first_step = self._before
        now = first_step + (epoch - first_epoch) * steps + step
        self._done = now + 1
        for name, value in terms.items():
            self._open(now).add_scalar(f"loss/{name}", value, now)

    def epoch_done(self, epoch: int, means: Terms, validation: Terms) -> None:
        """Log means and validation, by the number of epochs."""
        writer = self._open(self._done)
        for group, values in (("epoch", means), ("validation", validation)):
            for name, value in values.items():
                writer.add_scalar(f"{group}/{name}", value, epoch + 1)
        writer.flush()

    def _open(self, now: int) -> SummaryWriter:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - needs a package that is not required

            self._writer = SummaryWriter(str(self._folder), purge_step=now)
        return self._writer


def has_tensorboard() -> bool:
    """Whether TensorBoard's curves can be written here."""
    return find_spec("tensorboard") is not None


class Several(Monitor):
    """Tells all of them."""

    def __init__(self, monitors: Sequence[Monitor]) -> None:
        self._monitors = monitors

    def stage(self, stage: Stage, first_epoch: int, first_step: int) -> None:
        """Pass it on."""
        for monitor in self._monitors:
            monitor.stage(stage, first_epoch, first_step)

    def step(self, epoch: int, step: int, steps: int, terms: Terms) -> None:
        """Pass it on."""
        for monitor in self._monitors:
            monitor.step(epoch, step, steps, terms)

    def epoch_done(self, epoch: int, means: Terms, validation: Terms) -> None:
        """Pass it on."""
        for monitor in self._monitors:
            monitor.epoch_done(epoch, means, validation)

    def stopping(self) -> None:
        """Pass it on."""
        for monitor in self._monitors:
            monitor.stopping()
