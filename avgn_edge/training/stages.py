"""What a training is made of: a recipe of stages, one after another, which `run.train` walks.

A network's own part is a function that makes a `Recipe` (docs/architecture.md): it knows what is minimised, what
learns how fast, and from what. The loop knows none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import cos, pi
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from avgn_edge.training.batches import Batch

Optimiser = Literal["sgd", "adamw"]


class BatchSource(Protocol):
    """Where a stage's batches come from.

    A source that needs what an earlier stage has trained, such as the features of encoders that are frozen from then
    on, makes it when it is first asked for an epoch.
    """

    @property
    def batches(self) -> int:
        """How many batches an epoch has; the same on every process of a run, and known before the first stage."""
        ...

    def epoch(self, number: int, first: int = 0) -> Iterable[Batch]:
        """Yield the batches of an epoch.

        Resuming rests on it that the same arguments give the same batches.

        Args:
            number: the epoch, counted from 0 through all stages.
            first: the first batch that is wanted.
        """
        ...


class Objective(nn.Module):
    """What a stage minimises: the weighted sum of the terms that `forward` returns."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__()
        self.weights = weights

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Return the loss terms.

        Args:
            batch: on the device of the network.
            step: counted from 0 through all stages.

        Returns:
            Unweighted scalars, float32, by name. Draws come from PyTorch's global generator, seeded for each step.
        """
        raise NotImplementedError

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Return the weighted sum."""
        return torch.stack([self.weights[name] * value for name, value in terms.items()]).sum()


@dataclass(frozen=True)
class Optimisation:
    """How parameters follow their gradients."""

    optimiser: Optimiser = "sgd"
    momentum: float = 0.9
    """SGD's."""
    weight_decay: float = 1e-4
    warmup: float = 0.0
    """Share of the steps in which the learning rates rise linearly to their values; then they fall as a cosine."""
    clip_norm: float | None = None
    """Largest norm of the gradient of all parameters together."""


@dataclass(frozen=True)
class Stage:
    """A part of a training in which the same modules learn from the same source; its optimiser begins anew."""

    name: str
    objective: Objective
    rates: Mapping[str, float]
    """The learning rate of each module that learns, by its name in the network; the others are frozen."""
    source: BatchSource
    epochs: int
    optimisation: Optimisation = field(default_factory=Optimisation)
    fixed_statistics: tuple[str, ...] = ()
    """Modules that learn, but whose batch norms keep their statistics."""

    @property
    def steps(self) -> int:
        """How many steps it has."""
        return self.epochs * self.source.batches


@dataclass(frozen=True)
class Recipe:
    """A network, and how it is trained from its first step to its last."""

    model: nn.Module
    stages: tuple[Stage, ...]
    save: Callable[[Path], None]
    """Writes the network's checkpoint."""
    identity: Mapping[str, Any]
    """What must be the same for an interrupted run to go on, as JSON has it: settings, and a fingerprint `data`."""
    validate: Callable[[], Mapping[str, float]] | None = None
    """Scores the network, in evaluation mode, on held-out clips; of the first score, the larger is the better."""
    seed: int = 0
    notes: tuple[str, ...] = ()
    """What else a user is told of the network before the first step."""


def make_optimiser(model: nn.Module, stage: Stage) -> Optimizer:
    """Return the optimiser of what learns in a stage; ValueError for a module that the network does not have."""
    groups: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        groups.setdefault(name.partition(".")[0], []).append(parameter)
    unknown = {*stage.rates, *stage.fixed_statistics} - {*groups}
    if unknown:
        raise ValueError(f"the network has no module {min(unknown)!r}")
    learning = [name for name in groups if name in stage.rates]
    parameters = [{"params": groups[name], "lr": stage.rates[name], "name": name} for name in learning]
    how = stage.optimisation
    if how.optimiser == "sgd":
        return torch.optim.SGD(parameters, momentum=how.momentum, weight_decay=how.weight_decay)
    return torch.optim.AdamW(parameters, weight_decay=how.weight_decay)


def make_schedule(optimiser: Optimizer, stage: Stage) -> LambdaLR:
    """Return a linear warm-up, then a cosine down to zero at the end of the stage."""
    steps, rising = stage.steps, stage.optimisation.warmup * stage.steps

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        return (1 + cos(pi * min(1.0, (step - rising) / max(1.0, steps - rising)))) / 2

    return LambdaLR(optimiser, factor)


def train_mode(model: nn.Module, stage: Stage) -> None:
    """Put what learns in a stage into training mode, and freeze the rest in evaluation mode."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.partition(".")[0] in stage.rates)
    model.train()
    for name, part in model.named_children():
        part.train(name in stage.rates)
        if name in stage.fixed_statistics:
            for module in part.modules():
                if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                    module.eval()
