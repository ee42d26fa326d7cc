"""Clips for audio-visual glance networks: moments, sound around them, frames on demand. No network code, no PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avgn_edge.media.arrays import ArrayClip
    from avgn_edge.media.clip import Clip
    from avgn_edge.media.frames import FrameGeometry
    from avgn_edge.media.logmel import log_mel
    from avgn_edge.media.moments import Moment
    from avgn_edge.media.opening import open_clip
    from avgn_edge.media.order import GLANCE_ORDER

__all__ = ["GLANCE_ORDER", "ArrayClip", "Clip", "FrameGeometry", "Moment", "log_mel", "open_clip"]

_HOMES = {
    "ArrayClip": "arrays",
    "Clip": "clip",
    "FrameGeometry": "frames",
    "GLANCE_ORDER": "order",
    "Moment": "moments",
    "log_mel": "logmel",
    "open_clip": "opening",
}


def __getattr__(name: str) -> object:
    """Import public names when they are first used: PyAV takes time that log-mels do not need."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
