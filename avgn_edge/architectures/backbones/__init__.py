"""Backbones by name: a file each, which makes it; another file is another backbone."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from avgn_edge.media.front_ends import YAMNET, FrontEnd

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from torch import nn

    class Backbone(nn.Module):
        """Features of pictures: [n, inputs, h, w] -> [n, `channels`, ceil(h/32), ceil(w/32)]."""

        channels: int


def names() -> tuple[str, ...]:
    """Return the names of all backbones, sorted; PyTorch is not imported for it."""
    return tuple(sorted(module.name for module in iter_modules(__path__)))


_IMAGENET = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def _module(name: str) -> ModuleType:
    return import_module(f"{__name__}.{name}")


def front_end(name: str) -> FrontEnd:
    """Return the front end that a backbone of f_A was trained behind: its file's FRONT_END, else YAMNet's."""
    found: FrontEnd = getattr(_module(name), "FRONT_END", YAMNET)
    return found


def pixel_statistics(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and spread of the 8-bit R, G, B that a backbone takes: its file's PIXELS, else ImageNet's."""
    found: tuple[tuple[float, ...], tuple[float, ...]] = getattr(_module(name), "PIXELS", _IMAGENET)
    return found


def published(name: str) -> Path | None:
    """Return the file of a backbone's published weights, where its own file knows of one that is installed.

    MissingExtraError where they belong to an extra that is not installed.
    """
    find = getattr(_module(name), "published", None)
    return None if find is None else find()


def make_backbone(name: str, inputs: int, width: float) -> Backbone:
    """Make a backbone for pictures of so many channels; `width` multiplies those of MobileNetV2, and no other's.

    ValueError for a backbone that does not take as many.
    """
    made: Backbone = _module(name).make(inputs, width)
    return made
