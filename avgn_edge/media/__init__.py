"""Clips for audio-visual glance networks: moments, sound around them, frames on demand. No network code, no PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avgn_edge._base import lazily

if TYPE_CHECKING:
    from avgn_edge.media.array_clip import ArrayClip
    from avgn_edge.media.clip import Clip
    from avgn_edge.media.frames import FrameGeometry
    from avgn_edge.media.logmel import log_mel
    from avgn_edge.media.moments import GLANCE_ORDER, Moment
    from avgn_edge.media.opening import open_clip

__all__ = ["GLANCE_ORDER", "ArrayClip", "Clip", "FrameGeometry", "Moment", "log_mel", "open_clip"]

_HOMES = {
    "ArrayClip": "array_clip",
    "Clip": "clip",
    "FrameGeometry": "frames",
    "GLANCE_ORDER": "moments",
    "Moment": "moments",
    "log_mel": "logmel",
    "open_clip": "opening",
}

# PyAV takes time that log-mels do not need.
__getattr__, __dir__ = lazily(__name__, _HOMES)
