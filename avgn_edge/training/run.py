"""The training run: epochs of steps, validation and checkpoints, which can be interrupted at any moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import cos, isfinite, pi
from pathlib import Path
from time import monotonic

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from avgn_edge._base.errors import AvgnEdgeError, DataError
from avgn_edge._base.signals import Listening
from avgn_edge.architectures.avgn.network import checkpoint
from avgn_edge.architectures.avgn.network.avgn import AVGN
from avgn_edge.training.batches import Batch
from avgn_edge.training.clip_loader import BatchSource
from avgn_edge.training.distributed import World
from avgn_edge.training.monitor import Monitor, Silent
from avgn_edge.training.objective import Objective
from avgn_edge.training.state import Progress, StateFile, identity
from avgn_edge.training.training_settings import TrainingSettings


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


_GROUPS = {
    "glance": ("global_encoder", "audio_encoder"),
    "local": ("local_encoder",),
    "policy": ("policy", "aespa"),
    "saliency": ("av_test", "mask_encoder"),
}
"""Which modules of `AVGN` learn at which of the `LearningRates`; all others learn at `classifier`."""


def make_optimiser(model: AVGN, settings: TrainingSettings) -> Optimizer:
    """Build the optimiser; frozen modules are not part of it. ValueError for a module that is not there."""
    unknown = set(settings.frozen) | set(settings.fixed_statistics)
    unknown -= {name for name, _ in model.named_children()}
    if unknown:
        raise ValueError(f"the network has no module {min(unknown)!r}")
    module_group = {module: group for group, modules in _GROUPS.items() for module in modules}
    groups: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        module = name.partition(".")[0]
        if module not in settings.frozen:
            groups.setdefault(module_group.get(module, "classifier"), []).append(parameter)
    parameters = [
        {"params": group, "lr": getattr(settings.rates, name), "name": name} for name, group in groups.items()
    ]
    if settings.optimiser == "sgd":
        return torch.optim.SGD(parameters, momentum=settings.momentum, weight_decay=settings.weight_decay)
    return torch.optim.AdamW(parameters, weight_decay=settings.weight_decay)


def make_schedule(optimiser: Optimizer, settings: TrainingSettings, steps: int) -> LambdaLR:
    """Linear warm-up, then a cosine down to zero after `steps`."""
    rising = settings.warmup * steps

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        return (1 + cos(pi * min(1.0, (step - rising) / max(1.0, steps - rising)))) / 2

    return LambdaLR(optimiser, factor)


def train_mode(model: AVGN, settings: TrainingSettings) -> None:
    """Put every module into the mode it trains in; frozen ones into evaluation mode."""
    model.train()
    for name in settings.frozen:
        model.get_submodule(name).eval().requires_grad_(requires_grad=False)
    for name in settings.fixed_statistics:
        for module in model.get_submodule(name).modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):  # noqa: SLF001 - the base of all of them
                module.eval()


Validation = Callable[[AVGN], Mapping[str, float]]
"""Scores a network on held-out clips, by name; of the first score, the larger is the better."""


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
    model: AVGN,
    source: BatchSource,
    settings: TrainingSettings,
    *,
    validation: Validation | None,
    output: Path,
    resume: bool,
    monitor: Monitor,
    device: torch.device,
    data: str = "",
    save_every_s: float = 300.0,
    world: World | None = None,
) -> None:
    """Train `model` in place, in evaluation mode afterwards (AVGN, 3.4, C.1).

    After each epoch `output` is the network so far, and `best_path(output)` the one with the best validation. The
    state to resume from is kept in `state_path(output)`: after each epoch, every `save_every_s` seconds, and on SIGINT
    or SIGTERM, which end the run by KeyboardInterrupt after the step under way. On one machine and number of threads a
    run that was interrupted makes the same losses and weights as one that was not, bit for bit on a CPU.

    `data` is a fingerprint of the data; a state of other data, settings or network is not resumed from. Of several
    processes, each with its own `world` and `source`, only the first writes, validates, and tells `monitor`.

    DataError: see `check_output` and `StateFile.load`. AvgnEdgeError: a loss or a gradient is not finite.
    """
    world = world or World()
    found = check_output(output, resume=resume)
    model.to(device)
    for encoder in (model.audio_encoder, model.global_encoder, model.local_encoder):
        encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    train_mode(model, settings)  # before DDP looks at what has gradients
    optimiser = make_optimiser(model, settings)
    schedule = make_schedule(optimiser, settings, settings.epochs * source.batches)
    run = identity(model, settings, data, source.batches, world.size)
    state = StateFile(state_path(output), model, optimiser, schedule, run)
    progress = state.load() if found else Progress()
    step = _Step(Objective(model, settings), optimiser, world, device)
    monitor = monitor if world.first else Silent()
    saved = monotonic()
    with Interruption(monitor.stopping, patient=world.size > 1) as interruption:
        for epoch in range(progress.epoch, settings.epochs):
            train_mode(model, settings)
            for batch in source.epoch(epoch, progress.step):
                terms, stop = step(batch, epoch * source.batches + progress.step, interruption)
                schedule.step()
                progress.add(terms)
                monitor.step(epoch, progress.step - 1, source.batches, terms)
                if world.first and (stop or monotonic() - saved >= save_every_s):
                    state.save(progress)
                    saved = monotonic()
                if stop:
                    raise KeyboardInterrupt
            means = progress.means
            scores = _finish_epoch(model, output, validation, progress, world)
            progress.next_epoch()
            if world.first:
                state.save(progress)
                saved = monotonic()
            monitor.epoch_done(epoch, means, scores)
            # The others wait here for the first. One that was asked to stop meanwhile says so in the next step.
            world.wait()
    model.eval()


def seed_step(seed: int, rank: int, step: int) -> None:
    """Make what a step draws a function of the seed, the process and the number of the step, and of nothing else."""
    torch.manual_seed(int(np.random.SeedSequence((seed, rank, step)).generate_state(1, np.uint64)[0] >> 1))


class _Step:
    """One step of the optimiser."""

    def __init__(self, objective: Objective, optimiser: Optimizer, world: World, device: torch.device) -> None:
        self._objective = objective
        self._settings = objective.settings
        self._wrapped = world.wrapped(objective)
        self._optimiser = optimiser
        self._world = world
        self._device = device
        self._parameters = [value for value in objective.parameters() if value.requires_grad]

    def __call__(self, batch: Batch, number: int, interruption: Interruption) -> tuple[dict[str, float], bool]:
        """Take it; return the loss terms, averaged over the processes, and whether any process was asked to stop."""
        settings = self._settings
        seed_step(settings.seed, self._world.rank, number)
        looks = None if settings.looks is None or number % settings.all_looks_every == 0 else settings.looks
        losses: dict[str, Tensor] = self._wrapped(batch.to(self._device), looks)
        self._optimiser.zero_grad()
        self._objective.total(losses).backward()  # type: ignore[no-untyped-call]
        asked = torch.tensor(float(interruption.asked), device=self._device)
        told = self._world.mean(torch.stack([*(value.detach().float() for value in losses.values()), asked])).tolist()
        terms = dict(zip(losses, told, strict=False))
        for name, value in terms.items():
            if not isfinite(value):
                raise _not_finite(f"the loss term {name}", value, number)
        gradients = [value.grad for value in self._parameters if value.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if not torch.isfinite(norm):
            raise _not_finite("the norm of the gradient", float(norm), number)
        if settings.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(self._parameters, settings.clip_norm, norm)
        self._optimiser.step()
        return terms, told[-1] > 0


def _finish_epoch(
    model: AVGN, output: Path, validation: Validation | None, progress: Progress, world: World
) -> Mapping[str, float]:
    """Validate, and write the checkpoints."""
    if not world.first:
        return {}
    model.eval()
    scores = validation(model) if validation is not None else {}
    checkpoint.save(model, output)
    score = next(iter(scores.values()), None)
    if score is not None and (progress.best is None or score > progress.best):
        checkpoint.save(model, best_path(output))
        progress.best = score
    return scores


def _not_finite(what: str, value: float, step: int) -> AvgnEdgeError:
    return AvgnEdgeError(
        f"training, step {step}",
        f"{what} is {value}",
        "use lower learning rates or float32; what was saved before is kept",
    )
