"""From scores to segments: a peak each, as far around it as scores hold, none overlapping another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from avgn_edge.highlights.settings import HighlightSettings
    from avgn_edge.runtime.graphs import Floats


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
