"""From scores to segments: a peak each, as far around it as scores hold, none overlapping another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from avgn_edge._base.arguments import number, refuse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from avgn_edge.runtime.sessions import Floats


LEAST_SPACING_S: Final = 0.01
"""A moment a frame at 100 frames a second; less is a slip, and would take all memory."""


@dataclass(frozen=True)
class HighlightSettings:
    """Chosen on composed videos other than those of docs/results/."""

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


@dataclass(frozen=True)
class Span:
    """A segment, found; times are seconds."""

    start_s: float
    end_s: float
    peak: int
    """The moment of the highest score."""
    score: float
    moments: range
    """Those above the edge, without what makes the segment long enough."""


def find_spans(
    times_s: NDArray[np.float64], scores: Floats, duration_s: float, most: int, settings: HighlightSettings
) -> list[Span]:
    """Return up to `most` segments, the best first; equally good ones in order of time.

    From the highest peak that no segment has: on to both sides as long as scores stay above `edge` of its own, dips
    of `bridge_s` apart.
    """
    spans: list[Span] = []
    bin_s = duration_s / len(times_s)
    free = np.ones(len(times_s), np.bool_)
    smooth = _smoothed(scores)
    least = max(settings.least_score, settings.least_share * float(scores.max()))
    for peak in np.argsort(-scores, kind="stable"):
        if len(spans) >= most or scores[peak] < least:
            break
        if not free[peak]:
            continue
        edge = settings.edge * scores[peak]
        above = (np.maximum(scores, smooth) >= edge) & free
        reach = max(1, round(settings.bridge_s / bin_s))
        first = _walk(above, free, int(peak), -1, reach)
        last = _walk(above, free, int(peak), 1, reach)
        start_s, end_s = _sized(first * bin_s, (last + 1) * bin_s, float(times_s[peak]), settings)
        start_s, end_s = _inside(start_s, end_s, spans, float(times_s[peak]), duration_s)
        free[first : last + 1] = False
        free[(times_s >= start_s) & (times_s < end_s)] = False
        spans.append(Span(start_s, end_s, int(peak), float(scores[peak]), range(first, last + 1)))
    return spans


def _smoothed(scores: Floats) -> Floats:
    """A single low moment between two high ones is no end: means of three, float32 [n]."""
    padded = np.pad(scores, 1, mode="edge")
    mean: Floats = ((padded[:-2] + padded[1:-1] + padded[2:]) / 3).astype(np.float32)
    return mean


def _walk(above: NDArray[np.bool_], free: NDArray[np.bool_], start: int, step: int, reach: int) -> int:
    """Return the last moment above the edge from `start` on, across dips shorter than `reach` moments."""
    last = at = start
    while 0 <= at + step < len(above) and free[at + step] and abs(at + step - last) <= reach:
        at += step
        if above[at]:
            last = at
    return last


def _sized(start_s: float, end_s: float, peak_s: float, settings: HighlightSettings) -> tuple[float, float]:
    """Lengthen a segment evenly, or cut it down to what surrounds its peak."""
    missing = settings.least_s - (end_s - start_s)
    if missing > 0:
        return start_s - missing / 2, end_s + missing / 2
    if end_s - start_s > settings.longest_s:
        start_s = min(max(start_s, peak_s - settings.longest_s / 2), end_s - settings.longest_s)
        return start_s, start_s + settings.longest_s
    return start_s, end_s


def _inside(start_s: float, end_s: float, others: list[Span], peak_s: float, duration_s: float) -> tuple[float, float]:
    """Keep a segment in the video and off the others; what is lost on one side is made up for on the other."""
    low = max((other.end_s for other in others if other.end_s <= peak_s), default=0.0)
    high = min((other.start_s for other in others if other.start_s > peak_s), default=duration_s)
    length = end_s - start_s
    start_s = max(low, min(start_s, high - length))
    return start_s, min(high, start_s + length)
