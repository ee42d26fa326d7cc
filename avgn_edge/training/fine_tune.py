"""Begin from a checkpoint's weights: the same network for other labels."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from avgn_edge.architectures.avgn.network.avgn import AVGN
from avgn_edge.architectures.avgn.network.settings import Settings
from avgn_edge.labels import Task

_CLASS_AXIS = {
    "classifier.weight": 1,  # [moments, C, dim]
    "classifier.bias": 1,
    "visual_classifier.weight": 1,
    "visual_classifier.bias": 1,
    "audio_classifier.weight": 1,
    "audio_classifier.bias": 1,
    "fc_g.weight": 0,
    "fc_g.bias": 0,
    "fc_l.weight": 0,
    "fc_l.bias": 0,
    "fc_a.weight": 0,
    "fc_a.bias": 0,
}
"""The parameters with a row for each class, and the axis of the classes."""


def relabelled(settings: Settings, labels: tuple[str, ...], task: Task) -> Settings:
    """Return the settings of the same network for other labels."""
    return replace(settings, labels=labels, task=task)


def take_weights(model: AVGN, trained: AVGN) -> tuple[str, ...]:
    """Copy the weights of `trained` into `model`; return the labels that `trained` does not know.

    The heads keep what they know of labels that both have, by name; the rows of the others stay as they are, new.
    ValueError where the networks differ in more than their labels.
    """
    here, there = model.settings.labels, trained.settings.labels
    known = [(row, there.index(label)) for row, label in enumerate(here) if label in there]
    rows = torch.tensor([row for row, _ in known], dtype=torch.int64)
    sources = torch.tensor([source for _, source in known], dtype=torch.int64)
    own, weights = model.state_dict(), dict(trained.state_dict())
    # The width of a head is that of the layer before it, which is looked at here.
    others = [name for name in own if name in weights and name not in _CLASS_AXIS]
    wrong = sorted({*own} ^ {*weights}) or [name for name in others if own[name].shape != weights[name].shape]
    if wrong:
        raise ValueError(f"its parameters do not fit, for example {wrong[0]}")
    for name, axis in _CLASS_AXIS.items():
        weights[name] = _with_rows(own[name], weights[name], axis, rows, sources)
    model.load_state_dict(weights)
    return tuple(label for label in here if label not in there)


def _with_rows(new: Tensor, old: Tensor, axis: int, rows: Tensor, sources: Tensor) -> Tensor:
    return new.clone().index_copy_(axis, rows, old.index_select(axis, sources))
