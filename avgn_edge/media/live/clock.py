"""The clock that live sources go by, and a false one for tests to hand in its place."""

from __future__ import annotations

import time
from threading import Event
from typing import Protocol


class Clock(Protocol):
    """Tells the time and waits."""

    def now(self) -> float:
        """Seconds, from anywhere, never falling."""
        ...

    def wait(self, seconds: float, stop: Event) -> bool:
        """Wait, or until `stop`; tell whether it was `stop`."""
        ...


class WallClock:
    """The machine's."""

    def now(self) -> float:
        """Seconds, from anywhere, never falling."""
        return time.monotonic()

    def wait(self, seconds: float, stop: Event) -> bool:
        """Wait, or until `stop`; tell whether it was `stop`."""
        return stop.wait(max(0.0, seconds))
