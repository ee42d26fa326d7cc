"""Frames and timecodes, as SMPTE 12M counts them: drop-frame at 29.97 and 59.94 frames a second."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

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
