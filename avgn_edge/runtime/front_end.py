"""Clips as a bundle's graphs want them: so many moments, and frames of its sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import os

    from avgn_edge.bundle.manifest import Preprocessing
    from avgn_edge.media.clip import Clip
    from avgn_edge.media.file_clip import Sampling
    from avgn_edge.media.frames import FrameGeometry


def frame_geometry(given: Preprocessing) -> FrameGeometry:
    """The sizes that a bundle's frames have."""
    from avgn_edge.media.frames import FrameGeometry  # noqa: PLC0415 - imports PyAV

    return FrameGeometry(given.resize, given.frame_size)


def open_for(
    given: Preprocessing,
    source: str | os.PathLike[str] | bytes | BinaryIO,
    *,
    sampling: Sampling = "cheap",
    start_s: float | None = None,
    end_s: float | None = None,
    decoders: int | None = None,
    hwaccel: str = "none",
) -> Clip:
    """Open a media file, or `start_s` to `end_s` of it, for a bundle; the rest is as `open_clip` has it."""
    from avgn_edge.media.opening import open_clip  # noqa: PLC0415

    return open_clip(
        source,
        count=given.moments,
        sampling=sampling,
        geometry=frame_geometry(given),
        front_end=given.sound,
        start_s=start_s,
        end_s=end_s,
        decoders=decoders,
        hwaccel=hwaccel,
    )
