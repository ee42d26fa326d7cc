"""The optimiser with its learning rate a module, and the schedule (C.1)."""

from __future__ import annotations

from math import cos, pi

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from avgn_edge.architectures.avgn.network.avgn import AVGN
from avgn_edge.training.settings import TrainingSettings

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
