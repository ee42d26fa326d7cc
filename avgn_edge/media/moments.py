"""The moments of a clip: its duration cut into equal bins, one instant in each (AVGN, section 4.1, T = 16 snippets)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence


DEFAULT_COUNT: Final = 16


@dataclass(frozen=True)
class Moment:
    """One snippet of a clip; times are seconds from the clip's start, which may be a segment's inside a file."""

    index: int
    time_s: float
    bin_start_s: float
    bin_end_s: float

    def at(self, time_s: float) -> Moment:
        """Return this moment moved to `time_s`, but kept inside its bin, anywhere in which training drew it."""
        return replace(self, time_s=min(max(time_s, self.bin_start_s), self.bin_end_s))

    def later(self, seconds: float) -> Moment:
        """Return this moment and its bin `seconds` later."""
        start_s, end_s = self.bin_start_s + seconds, self.bin_end_s + seconds
        return replace(self, time_s=self.time_s + seconds, bin_start_s=start_s, bin_end_s=end_s)


def centred_moments(duration_s: float, count: int = DEFAULT_COUNT) -> tuple[Moment, ...]:
    """Cut `duration_s` seconds into `count` equal bins and take the centre of each.

    A duration of zero is legal (a single picture): every moment is then at second 0.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, not {count}")
    if not (math.isfinite(duration_s) and duration_s >= 0):
        raise ValueError(f"duration_s must be finite and not negative, not {duration_s}")
    edges = [duration_s * i / count for i in range(count + 1)]
    return tuple(Moment(i, (start + end) / 2, start, end) for i, (start, end) in enumerate(pairwise(edges)))


def moments_at(times: Sequence[float], duration_s: float) -> tuple[Moment, ...]:
    """Return a moment at each of `times`, in as many equal bins: a time need not lie in its bin.

    Args:
        times: Seconds from the clip's start, never falling.
        duration_s: How long the clip lasts.

    Raises:
        ValueError: A time is outside the clip, or the times fall.
    """
    seconds = [float(time) for time in times]
    if not all(0 <= time <= duration_s for time in seconds):
        raise ValueError(f"some of the times lie outside its {duration_s:.3f} s")
    if any(after < before for before, after in pairwise(seconds)):
        raise ValueError("the times fall")
    bins = centred_moments(duration_s, len(seconds))
    return tuple(replace(moment, time_s=time) for moment, time in zip(bins, seconds, strict=True))


GLANCE_ORDER: Final[tuple[int, ...]] = (7, 0, 15, 3, 11, 1, 5, 9, 13, 2, 4, 6, 8, 10, 12, 14)
"""A permutation of the 16 moments; its first few, however many, are spread over the whole clip."""
