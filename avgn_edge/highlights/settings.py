"""How highlights are searched for: the moments, what glances are spent on, and what makes a segment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from avgn_edge.arguments import number, refuse

LEAST_SPACING_S: Final = 0.01
"""A moment a frame at 100 frames a second; less is a slip, and would take all memory."""


@dataclass(frozen=True)
class HighlightSettings:
    """Chosen on composed videos other than those of docs/results.md."""

    spacing_s: float = 0.75
    """Seconds between moments. Clips of training had 16 of them 0.6 to 1.5 s apart; windows of sound last 0.975 s."""
    share: float = 0.25
    """Of the cost of glancing at one frame a second, where no budget is given."""
    checks: float = 0.4
    """Share of the glances for moments that sound makes interesting; they are never more than are interesting."""
    coverage: float = 0.4
    """Share of the glances laid evenly over what was not looked at; the rest follows what the first ones saw."""
    interesting: float = 0.05
    """The least score of a moment that is worth a check."""
    least_score: float = 0.3
    """The least score at a segment's peak."""
    least_share: float = 0.65
    """The same, as a share of the best segment's: networks differ in how sure they are."""
    edge: float = 0.4
    """A segment reaches as far as scores stay above this share of its peak's."""
    bridge_s: float = 1.5
    """Shorter dips below the edge do not end a segment."""
    least_s: float = 2.0
    """The shortest segment, where there is room for it."""
    longest_s: float = 20.0
    """A longer one is cut down to what surrounds its peak."""

    def __post_init__(self) -> None:
        number("spacing_s", self.spacing_s, LEAST_SPACING_S)
        for name in ("share", "interesting", "least_score", "bridge_s", "least_s", "longest_s"):
            number(name, getattr(self, name), 0.0)
        for name in ("checks", "coverage", "least_share", "edge"):
            number(name, getattr(self, name), 0.0, 1.0)
        if not 0 < self.least_s <= self.longest_s:
            refuse("least_s", self.least_s, "it must be above zero, and at most longest_s", "give fewer seconds")
        if self.checks + self.coverage > 1:
            refuse("checks", self.checks, "with coverage it is more than all of the glances", "give less of either")
