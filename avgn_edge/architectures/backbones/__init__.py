"""Backbones by name: a file each, which makes it; another file is another backbone."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from avgn_edge.media.front_ends import EFFICIENTAT, YAMNET, FrontEnd

if TYPE_CHECKING:
    from torch import nn

    class Backbone(nn.Module):
        """Features of pictures: [n, inputs, h, w] -> [n, `channels`, ceil(h/32), ceil(w/32)]."""

        channels: int


def names() -> tuple[str, ...]:
    """Return the names of all backbones, sorted; PyTorch is not imported for it."""
    return tuple(sorted(module.name for module in iter_modules(__path__)))


_FRONT_ENDS = {"mn04": EFFICIENTAT}
_PIXELS = {"efficientnet_lite0": ((127.0,) * 3, (128.0,) * 3)}
_IMAGENET = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def front_end(name: str) -> FrontEnd:
    """Return the front end that a backbone of f_A was trained behind; YAMNET for those that take any."""
    return _FRONT_ENDS.get(name, YAMNET)


def pixel_statistics(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and spread of the 8-bit R, G, B that a backbone's published weights take; ImageNet's for most."""
    return _PIXELS.get(name, _IMAGENET)


def make_backbone(name: str, inputs: int, width: float) -> Backbone:
    """Make a backbone for pictures of so many channels; `width` multiplies those of MobileNetV2, and no other's.

    ValueError for a backbone that does not take as many.
    """
    made: Backbone = import_module(f"{__name__}.{name}").make(inputs, width)
    return made
