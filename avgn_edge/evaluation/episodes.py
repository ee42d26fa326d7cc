"""Whether highlights are the true episodes of a long video, where these are known (composed ones: `synth.long`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avgn_edge.highlights.result import Segment

Span = tuple[float, float]
"""Start and end, seconds."""


@dataclass(frozen=True)
class FoundEpisodes:
    """Of one video's highlights."""

    episodes: int
    found: int
    """Episodes in which a segment has its peak; two segments in one episode find it once."""
    segments: int
    labelled: int
    """Found episodes whose first segment, by rank, has their class."""
    overlap: float
    """Mean intersection over union of found episodes with that segment; 0 where none was found."""

    @property
    def recall(self) -> float:
        """Share of the episodes that were found."""
        return self.found / self.episodes if self.episodes else 0.0

    @property
    def precision(self) -> float:
        """Share of the segments that found an episode nobody had found; 0 without segments."""
        return self.found / self.segments if self.segments else 0.0


def compare(segments: Sequence[Segment], episodes: Sequence[Span], classes: Sequence[str | None]) -> FoundEpisodes:
    """Hold segments, the best first, against true episodes and their classes."""
    overlaps: dict[int, float] = {}
    labelled = 0
    for segment in segments:
        for index, (start_s, end_s) in enumerate(episodes):
            if start_s <= segment.peak_s < end_s and index not in overlaps:
                overlaps[index] = _overlap((segment.start_s, segment.end_s), (start_s, end_s))
                labelled += segment.label == classes[index]
    mean = sum(overlaps.values()) / len(overlaps) if overlaps else 0.0
    return FoundEpisodes(len(episodes), len(overlaps), len(segments), labelled, mean)


def _overlap(one: Span, other: Span) -> float:
    """Intersection over union."""
    shared = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
    union = (one[1] - one[0]) + (other[1] - other[0]) - shared
    return shared / union if union > 0 else 0.0
