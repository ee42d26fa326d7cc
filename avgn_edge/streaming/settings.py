"""How a stream is watched."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from avgn_edge.arguments import instance, number, whole
from avgn_edge.errors import BudgetError
from avgn_edge.runtime.budget import Budget
from avgn_edge.streaming.attention import MostSalientShare, StreamAttention
from avgn_edge.streaming.events import EventSettings

EVERY_S: Final = 0.6
"""Of the packaged bundle's shortest training clips, 10 s, a moment lasts this long; the network knows no finer one."""

LATEST_EPOCH_S: Final = 1e11
"""A date of the year 5138: a time in milliseconds is taken for none in seconds."""


@dataclass(frozen=True)
class StreamSettings:
    """How a stream is watched."""

    budget: Budget = field(default_factory=Budget)
    """By the second of the stream."""
    every_s: float = EVERY_S
    """Seconds from moment to moment."""
    top: int = 5
    """Classes to list."""
    events: EventSettings = field(default_factory=EventSettings)
    attention: StreamAttention = field(default_factory=MostSalientShare)
    epoch_s: float | None = None
    """Second 0 of the stream in seconds since 1970 UTC; None for a stream that is not live."""

    def __post_init__(self) -> None:
        if not 0.05 <= number("every_s", self.every_s) <= 60:
            raise BudgetError(f"every {self.every_s:g} s", "it is out of range", "give 0.05 to 60 seconds")
        instance("budget", self.budget, Budget)
        whole("top", self.top, 1)
        instance("events", self.events, EventSettings)
        if self.epoch_s is not None:
            number("epoch_s", self.epoch_s, 0.0, LATEST_EPOCH_S)
