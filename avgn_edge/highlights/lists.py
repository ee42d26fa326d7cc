"""Lists of segments that editors read: a CMX 3600 edit decision list, and a table of comma-separated values."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Final

from avgn_edge.errors import AvgnEdgeError

if TYPE_CHECKING:
    from avgn_edge.highlights.result import Highlights, Segment
    from avgn_edge.highlights.streams import Facts

MOST_EVENTS: Final = 999
COLUMNS: Final = (
    "rank",
    "start_s",
    "end_s",
    "peak_s",
    "score",
    "label",
    "label_score",
    "start_timecode",
    "end_timecode",
)
"""Seconds of the video from its first frame; timecodes are the file's own, the end's frame is no longer shown."""


def edl(told: Highlights, facts: Facts) -> str:
    """Return the CMX 3600 list: an event a segment in order of time, laid one after another from 01:00:00:00.

    Source timecodes are the file's own where it carries one, otherwise its first frame is 00:00:00:00. 29.97 and 59.94
    frames a second are counted with drop-frame numbers. AvgnEdgeError for more events than the format can number.
    """
    if len(told.segments) > MOST_EVENTS:
        raise AvgnEdgeError("the EDL", f"it cannot hold more than {MOST_EVENTS} events", "ask for fewer with --top")
    rate, name = facts.rate, Path(told.video).name
    record = rate.frame_of("01:00:00:00") or 0
    lines = [f"TITLE: {_plain(Path(name).stem)[:70]}", f"FCM: {'DROP' if rate.dropped else 'NON-DROP'} FRAME", ""]
    for number, segment in enumerate(sorted(told.segments, key=lambda each: each.start_s), start=1):
        first, last = _frames(segment, facts)
        spans = (first, last, record, record + last - first)
        record += last - first
        said = f"{_plain(segment.label)} {segment.label_score:.2f}, rank {segment.rank}, score {segment.score:.3f}"
        lines += [
            f"{number:03d}  AX       {_channels(facts):<5} C        {' '.join(map(rate.timecode, spans))}",
            f"* FROM CLIP NAME: {_plain(name)}",
            f"* COMMENT: {said}",
            "",
        ]
    return "\n".join(lines)


def table(told: Highlights, facts: Facts) -> str:
    """Return the table, the best segment first, with `COLUMNS` as its head."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for segment in told.segments:
        seconds = (f"{value:.3f}" for value in (segment.start_s, segment.end_s, segment.peak_s))
        codes = map(facts.rate.timecode, _frames(segment, facts))
        scores = (f"{segment.score:.4f}", segment.label, f"{segment.label_score:.4f}")
        writer.writerow([segment.rank, *seconds, *scores, *codes])
    return text.getvalue()


def _frames(segment: Segment, facts: Facts) -> tuple[int, int]:
    """The first frame of a segment and the one after its last, by the file's own numbers."""
    first = facts.rate.frame_at(segment.start_s)
    last = max(first + 1, facts.rate.frame_at(segment.end_s))
    return facts.first_frame + first, facts.first_frame + last


def _channels(facts: Facts) -> str:
    """The tracks of an event: V, A and B are video, one channel of sound, and both; two channels are AA."""
    if not facts.has_video:
        return "A" if facts.channels == 1 else "AA"
    return {0: "V", 1: "B"}.get(facts.channels, "AA/V")


def _plain(text: str) -> str:
    """One printable line, whatever a file or a class is called."""
    return "".join(character if character.isprintable() else "_" for character in text)
