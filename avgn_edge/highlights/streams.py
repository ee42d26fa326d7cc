"""What a video file says of itself that editors need: its streams, its frame rate, where its timecode starts."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from avgn_edge.highlights.timecode import FrameRate
from avgn_edge.media.faults import as_clip_error
from avgn_edge.media.source import CHECK_FILE, Source
from avgn_edge.media.streams import best_streams

if TYPE_CHECKING:
    from avgn_edge.highlights.source import VideoSource

SOUND_RATE = FrameRate(Fraction(25))
"""What a file without video is counted in."""


@dataclass(frozen=True)
class Facts:
    """Of one file."""

    rate: FrameRate
    first_frame: int
    """The number of its first frame, by the timecode it carries; 0 without one."""
    has_video: bool
    channels: int
    """Of sound; 0 without any."""


def facts_of(source: VideoSource) -> Facts:
    """Read them from the file's headers; ClipError for a file that cannot be read."""
    opened = Source(source)
    with as_clip_error(opened.name, CHECK_FILE), opened.container() as container:
        video, audio = best_streams(container)
        rate = SOUND_RATE
        if video is not None:
            found = video.average_rate or video.guessed_rate
            rate = FrameRate.near(Fraction(found)) if found else SOUND_RATE
        marks = [container.metadata, *(stream.metadata for stream in container.streams)]
        first = next((mark["timecode"] for mark in marks if "timecode" in mark), "")
        channels = audio.layout.nb_channels if audio is not None else 0
        return Facts(rate, rate.frame_of(first) or 0, video is not None, channels)
