"""What a result says of one moment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MomentReport:
    """One of the moments of a clip."""

    index: int
    time_s: float
    saliency: float | None
    """s_t; None where the budget did not reach AV-TeST."""
    glanced: bool
    rank: int | None
    """0 for the first look, 1 for the second …; None without a look."""
    box: tuple[float, float, float, float] | None
    """x, y, width, height of the patch, in pixels of the source frame as displayed; None without a look."""
    label: str | None
    """What this moment says by itself: p'_t after a look (Eq. 11), FC^G after a glance, None without either."""
    score: float | None
