"""Pillow, imported once and only by what draws; it belongs to the `train` extra."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from avgn_edge.errors import MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType


@cache
def pillow() -> ModuleType:
    """Return `PIL.Image`, or say which extra brings it."""
    try:
        from PIL import Image  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("synth", "pillow", "train") from error
    return Image
