"""Backbones by name: a file each, which makes it; another file is another backbone."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    class Backbone(nn.Module):
        """Features of pictures: [n, inputs, h, w] -> [n, `channels`, ceil(h/32), ceil(w/32)]."""

        channels: int


def names() -> tuple[str, ...]:
    """Return the names of all backbones, sorted; PyTorch is not imported for it."""
    return tuple(sorted(module.name for module in iter_modules(__path__)))


def make_backbone(name: str, inputs: int, width: float) -> Backbone:
    """Make a backbone for pictures of so many channels; `width` multiplies those of MobileNetV2, and no other's.

    ValueError for a backbone that does not take as many.
    """
    made: Backbone = import_module(f"{__name__}.{name}").make(inputs, width)
    return made
