"""The loop over a recipe's stages: epochs of steps, validation and checkpoints; it can be interrupted at any moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from time import monotonic

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from avgn_edge._base.errors import AvgnEdgeError, DataError
from avgn_edge._base.signals import Listening
from avgn_edge.training.batches import Batch
from avgn_edge.training.distributed import World
from avgn_edge.training.monitor import Monitor
from avgn_edge.training.stages import Recipe, Stage, make_optimiser, make_schedule, train_mode
from avgn_edge.training.state import Progress, StateFile


class Interruption(Listening):
    """While it is entered, remembers that a signal came, and calls `tell`; a second one raises KeyboardInterrupt.

    `patient`: none raises. torchrun passes on what the terminal has sent already, so that each comes twice.
    One that is ignored stays so, and outside the main thread, where signals cannot be had, it remembers nothing.
    """

    def __init__(self, tell: Callable[[], None], *, patient: bool = False) -> None:
        super().__init__()
        self.asked = False
        self._tell = tell
        self._patient = patient

    def heard(self) -> None:
        """Remember it."""
        if self.asked and not self._patient:
            raise KeyboardInterrupt
        if not self.asked:
            self.asked = True
            self._tell()


def state_path(output: Path) -> Path:
    """Return where the state of the run that writes `output` is kept."""
    return output.with_name(output.name + ".state")


def best_path(output: Path) -> Path:
    """Return where the checkpoint of the best validation is kept."""
    return output.with_name(f"{output.stem}.best{output.suffix}")


def check_output(output: Path, *, resume: bool) -> bool:
    """Return whether there is a state to resume from; DataError where training would overwrite what it should not.

    To resume where nothing was written yet is to begin: a job that is restarted again and again needs one command only.
    """
    what, state = f"training to {output}", state_path(output)
    if output.is_dir() or not output.parent.is_dir():
        why = "it is a folder" if output.is_dir() else f"there is no folder {output.parent}"
        raise DataError(what, why, "give a file in a folder that is there")
    if resume and output.exists() and not state.exists():
        raise DataError(what, f"there is a checkpoint, but no {state.name} to resume from", "give another name")
    for path in (state, output, best_path(output)):
        if path.exists() and not resume:
            raise DataError(what, f"there is {path.name} already", "go on with --resume, or give another name")
    return state.exists()


def train(
    recipe: Recipe,
    output: Path,
    *,
    resume: bool,
    monitor: Monitor,
    device: torch.device,
    save_every_s: float = 300.0,
    world: World | None = None,
) -> None:
    """Train the recipe's network in place, stage after stage; in evaluation mode afterwards.

    After each epoch `output` is the network so far, and `best_path(output)` the one with the best validation. The
    state to resume from is kept in `state_path(output)`: after each epoch, every `save_every_s` seconds, and on SIGINT
    or SIGTERM. On one machine and number of threads a run that was interrupted makes the same losses and weights as
    one that was not, bit for bit on a CPU.

    Args:
        recipe: the network and its stages; of several processes each has its own.
        output: the checkpoint to write.
        resume: whether to go on from the state that an earlier run left.
        monitor: hears of every step and epoch.
        device: where to train.
        save_every_s: longest time between two states.
        world: the processes of the run; only the first writes, validates, and tells `monitor`.

    Raises:
        DataError: see `check_output` and `StateFile.load`.
        AvgnEdgeError: a loss or a gradient is not finite.
        KeyboardInterrupt: after the step under way, when a signal has asked for it.
    """
    world = world or World()
    found = check_output(output, resume=resume)
    recipe.model.to(device)
    state = StateFile(state_path(output), recipe, world.size)
    progress = state.load() if found else Progress()
    monitor = monitor if world.first else Monitor()
    with Interruption(monitor.stopping, patient=world.size > 1) as interruption:
        _Run(recipe, output, state, progress, monitor, device, world, save_every_s, interruption).walk()
    recipe.model.eval()


def seed_step(seed: int, rank: int, step: int) -> None:
    """Make what a step draws a function of the seed, the process and the number of the step, and of nothing else."""
    torch.manual_seed(int(np.random.SeedSequence((seed, rank, step)).generate_state(1, np.uint64)[0] >> 1))


@dataclass
class _Run:
    """A run under way."""

    recipe: Recipe
    output: Path
    state: StateFile
    progress: Progress
    monitor: Monitor
    device: torch.device
    world: World
    save_every_s: float
    interruption: Interruption
    saved: float = field(default_factory=monotonic)

    def walk(self) -> None:
        """Walk the stages, from the one that is under way on."""
        epochs = steps = 0
        for number, stage in enumerate(self.recipe.stages):
            if number >= self.progress.stage:
                self.monitor.stage(stage, epochs, steps)
                self._train_stage(stage, epochs, steps)
                self.progress.next_stage()
            epochs, steps = epochs + stage.epochs, steps + stage.steps

    def _train_stage(self, stage: Stage, first_epoch: int, first_step: int) -> None:
        model, source, progress = self.recipe.model, stage.source, self.progress
        model.zero_grad()  # what is frozen from now on need not keep its gradients
        train_mode(model, stage)  # before DDP looks at what has gradients
        optimiser = make_optimiser(model, stage)
        schedule = make_schedule(optimiser, stage)
        self.state.restore(optimiser, schedule)
        wrapped = self.world.wrapped(stage.objective)
        for epoch in range(progress.epoch, stage.epochs):
            train_mode(model, stage)
            for batch in source.epoch(first_epoch + epoch, progress.step):
                number = first_step + epoch * source.batches + progress.step
                terms, stop = self._step(stage, wrapped, optimiser, batch, number)
                schedule.step()
                progress.add(terms)
                self.monitor.step(first_epoch + epoch, progress.step - 1, source.batches, terms)
                if stop or monotonic() - self.saved >= self.save_every_s:
                    self._save(optimiser, schedule)
                if stop:
                    raise KeyboardInterrupt
            means, scores = progress.means, self._finish_epoch()
            progress.next_epoch()
            self._save(optimiser, schedule)
            self.monitor.epoch_done(first_epoch + epoch, means, scores)
            # The others wait here for the first. One that was asked to stop meanwhile says so in the next step.
            self.world.wait()

    def _step(
        self, stage: Stage, wrapped: nn.Module, optimiser: Optimizer, batch: Batch, number: int
    ) -> tuple[dict[str, float], bool]:
        """Take one; return the loss terms, averaged over the processes, and whether any process was asked to stop."""
        seed_step(self.recipe.seed, self.world.rank, number)
        losses: dict[str, Tensor] = wrapped(batch.to(self.device), number)
        optimiser.zero_grad()
        torch.autograd.backward(stage.objective.total(losses))
        flag = torch.tensor(float(self.interruption.asked), device=self.device)
        told = self.world.mean(torch.stack([*(value.detach().float() for value in losses.values()), flag])).tolist()
        terms = dict(zip(losses, told, strict=False))
        for name, value in terms.items():
            if not isfinite(value):
                raise _not_finite(f"the loss term {name}", value, number)
        learning = [value for value in self.recipe.model.parameters() if value.requires_grad]
        norm = nn.utils.get_total_norm([value.grad for value in learning if value.grad is not None])
        if not torch.isfinite(norm):
            raise _not_finite("the norm of the gradient", float(norm), number)
        if stage.optimisation.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(learning, stage.optimisation.clip_norm, norm)
        optimiser.step()
        return terms, told[-1] > 0

    def _finish_epoch(self) -> Mapping[str, float]:
        """Validate, and write the checkpoints."""
        if not self.world.first:
            return {}
        recipe, progress = self.recipe, self.progress
        recipe.model.eval()
        scores = recipe.validate() if recipe.validate is not None else {}
        recipe.save(self.output)
        score = next(iter(scores.values()), None)
        if score is not None and (progress.best is None or score > progress.best):
            recipe.save(best_path(self.output))
            progress.best = score
        return scores

    def _save(self, optimiser: Optimizer, schedule: LambdaLR) -> None:
        if self.world.first:
            self.state.save(self.progress, optimiser, schedule)
            self.saved = monotonic()


def _not_finite(what: str, value: float, step: int) -> AvgnEdgeError:
    return AvgnEdgeError(
        f"training, step {step}",
        f"{what} is {value}",
        "use lower learning rates or float32; what was saved before is kept",
    )
