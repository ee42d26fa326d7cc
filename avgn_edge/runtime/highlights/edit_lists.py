"""Lists of segments that editors read, CMX 3600 and comma-separated values, and the timecodes in them."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

from avgn_edge._base.errors import AvgnEdgeError
from avgn_edge.media.container import best_streams
from avgn_edge.media.source import CHECK_FILE, Source, as_clip_error

if TYPE_CHECKING:
    from avgn_edge.runtime.highlights.long_video import VideoSource
    from avgn_edge.runtime.highlights.result import Highlights, Segment


_DROPPED = {Fraction(30_000, 1_001): 2, Fraction(60_000, 1_001): 4}
"""Frame numbers left out at the start of each minute but every tenth."""
_TEXT = re.compile(r"(\d{2}):(\d{2}):(\d{2})([:;.])(\d{2})")


@dataclass(frozen=True)
class FrameRate:
    """Frames a second, and how they are numbered."""

    rate: Fraction

    @classmethod
    def near(cls, rate: Fraction) -> FrameRate:
        """Return the rate that files mean: 29.97 and its like are written as 2997/100, or a thousandth off."""
        for nominal in (24, 30, 60, 120):
            exact = Fraction(nominal * 1_000, 1_001)
            if abs(rate / exact - 1) < Fraction(1, 2_500):
                return cls(exact)
        whole = Fraction(round(rate))
        return cls(whole if whole and abs(rate / whole - 1) < Fraction(1, 10_000) else rate)

    @property
    def nominal(self) -> int:
        """Numbers a second of timecode."""
        return max(1, round(self.rate))

    @property
    def dropped(self) -> int:
        """Numbers left out a minute; 0 where none are."""
        return _DROPPED.get(self.rate, 0)

    def frame_at(self, seconds: float) -> int:
        """Return the frame nearest to a time."""
        return round(Fraction(seconds) * self.rate)

    def timecode(self, frame: int) -> str:
        """Write the number of a frame, from 00:00:00:00; `;` before the frames says that numbers are dropped."""
        if self.dropped:
            ten = 600 * self.nominal - 9 * self.dropped  # frames in ten minutes
            minute = 60 * self.nominal - self.dropped
            tens, rest = divmod(frame, ten)
            minutes = max(0, (rest - self.dropped) // minute)
            frame += self.dropped * (9 * tens + minutes)
        seconds, frames = divmod(frame, self.nominal)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        mark = ";" if self.dropped else ":"
        return f"{hours % 24:02d}:{minutes:02d}:{seconds:02d}{mark}{frames:02d}"

    def frame_of(self, timecode: str) -> int | None:
        """Read a timecode; None for anything else."""
        match = _TEXT.fullmatch(timecode.strip())
        if match is None:
            return None
        hours, minutes, seconds, frames = (int(match[group]) for group in (1, 2, 3, 5))
        minutes += 60 * hours
        number = (60 * minutes + seconds) * self.nominal + frames
        return number - self.dropped * (minutes - minutes // 10)


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
