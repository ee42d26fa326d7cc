"""How a stream is watched."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from avgn_edge.errors import BudgetError
from avgn_edge.runtime.budget import Budget
from avgn_edge.streaming.attention import MostSalientShare, StreamAttention
from avgn_edge.streaming.events import EventSettings

EVERY_S: Final = 0.6
"""Of the packaged bundle's shortest training clips, 10 s, a moment lasts this long; the network knows no finer one."""


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
        if not (math.isfinite(self.every_s) and 0.05 <= self.every_s <= 60):
            raise BudgetError(f"every {self.every_s:g} s", "it is out of range", "give 0.05 to 60 seconds")
