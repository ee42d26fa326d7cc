"""How long reading a clip may take: a deadline, and which sound goes first (the time budget of AVGN's section 3.5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


class OutOfTime(Exception):  # noqa: N818 - not a fault: what was read until then stands
    """Reading was given up because its deadline had come."""


@dataclass(frozen=True)
class SoundLimit:
    """What time allows of a clip's sound. Times are seconds of `time.perf_counter`."""

    order: Sequence[int]
    """Moments, those whose sound matters most first; some sound is read whatever the time."""
    deadline: float
    """When all must be done: reading, and what follows it."""
    each_s: float
    """Seconds that reading a moment's sound is expected to take, until one has been read."""
    later_s: Callable[[int], float]
    """Seconds that what follows takes for the sound of so many moments."""


def not_heard(count: int, moments: int) -> str:
    """The warning that sound was left out."""
    return f"out of time: the sound of {count} of {moments} moments was not read"
