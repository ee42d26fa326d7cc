"""Seconds of a clip and ticks of a stream: the only place where one becomes the other."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor


@dataclass(frozen=True)
class Clock:
    """Time of one stream; second 0 of the clip is tick `origin`, a fraction where streams differ in time base."""

    time_base: Fraction
    origin: Fraction = Fraction(0)

    def seconds(self, ticks: int | Fraction) -> float:
        """Return the clip's second at `ticks`."""
        return float((ticks - self.origin) * self.time_base)

    def ticks(self, seconds: float) -> int:
        """Return the last tick at or before `seconds`.

        A millionth of a tick of slack keeps `ticks(seconds(t)) == t` in spite of rounding.
        """
        return floor(Fraction(seconds) / self.time_base + self.origin + Fraction(1, 1_000_000))

    def span(self, seconds: float) -> int:
        """Return how many ticks `seconds` last, at least one."""
        return max(1, floor(Fraction(seconds) / self.time_base))
