"""The salient segments of long videos (AVGN, 4.3): found, cut, listed. No PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avgn_edge.highlights.result import Highlights, Segment, Timeline
    from avgn_edge.highlights.search import find
    from avgn_edge.highlights.settings import HighlightSettings

__all__ = ["HighlightSettings", "Highlights", "Segment", "Timeline", "find"]

_HOMES = {
    "find": "search",
    "Highlights": "result",
    "HighlightSettings": "settings",
    "Segment": "result",
    "Timeline": "result",
}


def __getattr__(name: str) -> object:
    """Import public names when they are first used: PyAV takes time that `--help` does not need."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
