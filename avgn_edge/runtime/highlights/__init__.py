"""The salient segments of long videos (AVGN, 4.3): found, cut, listed. No PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avgn_edge._base import lazily

if TYPE_CHECKING:
    from avgn_edge.runtime.highlights.result import Highlights, Segment, Timeline
    from avgn_edge.runtime.highlights.segments import HighlightSettings


__all__ = ["HighlightSettings", "Highlights", "Segment", "Timeline"]

_HOMES = {
    "Highlights": "result",
    "HighlightSettings": "segments",
    "Segment": "result",
    "Timeline": "result",
}

# PyAV takes time that `--help` does not need.
__getattr__, __dir__ = lazily(__name__, _HOMES)
