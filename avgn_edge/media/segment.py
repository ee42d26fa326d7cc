"""Part of a file that is a clip of its own: where it starts, how long it lasts, and what of the sound is its own."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Final

from avgn_edge.errors import ClipError

SLACK_S: Final = 0.5
"""A segment may end this much after its file: tables of segments are rounded, or were made from another encoding."""


@dataclass(frozen=True)
class Segment:
    """A stretch of a file, in seconds of the file.

    Sound outside `sound_s` is not the segment's; None stands for no limit, so that a whole file keeps what its sound
    has before and after its video.
    """

    start_s: float
    duration_s: float
    sound_s: tuple[float | None, float | None] = (None, None)


def segment_of(name: str, file_s: float, start_s: float | None, end_s: float | None) -> Segment:
    """Cut `start_s` … `end_s` out of the file `name`, which lasts `file_s`; None is its own start or end.

    ClipError for a segment that is empty or not in the file. An end just after the file's is the file's.
    """
    if start_s is None and end_s is None:
        return Segment(0.0, file_s)
    first_s, last_s = start_s or 0.0, file_s if end_s is None else end_s
    cut = f"{first_s:g} s to {'its end' if end_s is None else f'{last_s:g} s'}"
    if not (isfinite(first_s) and isfinite(last_s) and first_s >= 0 and (end_s is None or first_s < end_s)):
        raise ClipError(name, f"{cut} is no segment", "give seconds, the start before the end")
    if first_s >= file_s > 0 or first_s > file_s or last_s > file_s + SLACK_S:
        raise ClipError(name, f"{cut} is not inside its {file_s:.3f} s", "give a segment inside the file")
    return Segment(first_s, min(last_s, file_s) - first_s, (start_s, end_s))
