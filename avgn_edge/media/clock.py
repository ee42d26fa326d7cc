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
        # (ticks - origin) · time_base in whole numbers, exactly: fractions took a third of the time of reading sound.
        origin, base = self.origin, self.time_base
        upper = ticks.numerator * origin.denominator - origin.numerator * ticks.denominator
        return upper * base.numerator / (ticks.denominator * origin.denominator * base.denominator)

    def ticks(self, seconds: float) -> int:
        """Return the last tick at or before `seconds`.

        A millionth of a tick of slack keeps `ticks(seconds(t)) == t` in spite of rounding.
        """
        upper, lower = float(seconds).as_integer_ratio()
        base, origin = self.time_base, self.origin
        upper, lower = upper * base.denominator, lower * base.numerator  # seconds / time_base
        upper, lower = upper * origin.denominator + origin.numerator * lower, lower * origin.denominator
        return (1_000_000 * upper + lower) // (1_000_000 * lower)

    def span(self, seconds: float) -> int:
        """Return how many ticks `seconds` last, at least one."""
        return max(1, floor(Fraction(seconds) / self.time_base))
