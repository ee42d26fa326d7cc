"""Who is told how training goes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


Terms = Mapping[str, float]
"""Loss terms by name, unweighted."""


class Monitor(Protocol):
    """What `train` reports to; epochs and steps count from 0."""

    def step(self, epoch: int, step: int, steps: int, terms: Terms) -> None:
        """Hear of one step of the `steps` of an epoch."""
        ...

    def epoch_done(self, epoch: int, means: Terms, validation: Terms) -> None:
        """Hear of a whole epoch, when its checkpoint is written; `validation` is empty where there is none."""
        ...

    def stopping(self) -> None:
        """Hear that the run was asked to stop, and will after the step under way; called from a signal handler."""
        ...


class Silent:
    """Tells nobody; a base for monitors that do not need to hear of everything."""

    def step(self, epoch: int, step: int, steps: int, terms: Terms) -> None:
        """Do nothing."""

    def epoch_done(self, epoch: int, means: Terms, validation: Terms) -> None:
        """Do nothing."""

    def stopping(self) -> None:
        """Do nothing."""


class LogMonitor(Silent):
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


class TensorBoardMonitor(Silent):
    """Writes curves for TensorBoard; on resuming, what an interrupted run logged after its last state goes away."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None
        self._steps = 0

    def step(self, epoch: int, step: int, steps: int, terms: Terms) -> None:
        """Log every term."""
        now = epoch * steps + step
        self._steps = steps
        for name, value in terms.items():
            self._open(now).add_scalar(f"loss/{name}", value, now)

    def epoch_done(self, epoch: int, means: Terms, validation: Terms) -> None:
        """Log means and validation, by the number of epochs."""
        writer = self._open((epoch + 1) * self._steps)
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


class Several:
    """Tells all of them."""

    def __init__(self, monitors: Sequence[Monitor]) -> None:
        self._monitors = monitors

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
