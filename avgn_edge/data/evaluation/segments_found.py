"""How good highlights are: on long videos with true episodes, and on TVSum.

TVSum: Song et al., CVPR 2015, top-5 mAP, zero-shot, as AVGN's Table 2.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from avgn_edge._base.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from avgn_edge.runtime.highlights.result import Highlights, Segment


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


SHOT_S: Final = 2.0
TOP: Final = 5
_AS_PUBLISHED: Final = "give ydata-tvsum50-anno.tsv as it was published"


@dataclass(frozen=True)
class Annotation:
    """Of one video."""

    video: str
    category: str
    frame_scores: NDArray[np.float64]
    """1…5, [annotators, frames]."""

    def shots(self, duration_s: float) -> NDArray[np.float64]:
        """Return the scores of the shots of a video that lasts so long, [annotators, shots]: of their middle frames."""
        frames = self.frame_scores.shape[1]
        count = max(1, round(duration_s / SHOT_S))
        middle = ((np.arange(count) + 0.5) * SHOT_S / duration_s * frames).astype(int)
        return self.frame_scores[:, np.minimum(middle, frames - 1)]


@dataclass(frozen=True)
class TvSumRow:
    """How well videos' scores name what annotators liked."""

    videos: int
    top5_map: float
    by_category: Mapping[str, float]
    missing: tuple[str, ...]
    """Videos that have annotations and no file."""


def read_annotations(path: Path) -> dict[str, Annotation]:
    """Read `ydata-tvsum50-anno.tsv` by its videos' ids; DataError for anything else."""
    rows: dict[str, list[list[float]]] = {}
    categories: dict[str, str] = {}
    limit = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a line has a number for every frame
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for video, category, scores in csv.reader(file, delimiter="\t"):
                rows.setdefault(video, []).append([float(score) for score in scores.split(",")])
                categories[video] = category
    except OSError as error:
        raise DataError(str(path), f"it cannot be read ({error.strerror or error})", "check the path") from error
    except (ValueError, csv.Error) as error:
        raise DataError(str(path), "a line is not an id, a category and scores of frames", _AS_PUBLISHED) from error
    finally:
        csv.field_size_limit(limit)
    uneven = next((video for video, scores in rows.items() if len({len(row) for row in scores}) > 1), None)
    if not rows or uneven is not None:
        why = f"the annotators of {uneven} scored different numbers of frames" if rows else "it holds no line"
        raise DataError(str(path), why, _AS_PUBLISHED)
    return {video: Annotation(video, categories[video], np.array(scores)) for video, scores in rows.items()}


def shot_scores(told: Highlights) -> NDArray[np.float64]:
    """Return the score of each shot of two seconds, [shots]: the mean of its moments', or what lies between them."""
    times, scores = told.timeline.time_s, told.timeline.score.astype(np.float64)
    count = max(1, round(told.duration_s / SHOT_S))
    shots = np.minimum((times / SHOT_S).astype(int), count - 1)
    sums, moments = np.bincount(shots, scores, count), np.bincount(shots, minlength=count)
    between = np.interp((np.arange(count) + 0.5) * SHOT_S, times, scores)
    return np.asarray(np.where(moments > 0, sums / np.maximum(moments, 1), between), dtype=np.float64)


def top_precision(predicted: NDArray[np.float64], annotated: NDArray[np.float64], top: int = TOP) -> float:
    """Return the average precision of the `top` shots by `predicted`, [shots], for one annotator's scores, [shots]."""
    highlights = annotated > _lower_median(annotated)
    hits = highlights[np.argsort(-predicted, kind="stable")[:top]]
    if not hits.any():
        return 0.0
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    before = np.concatenate(([1.0], precision[:-1]))
    return float((hits * (before + precision) / 2).sum() / hits.sum())


def evaluate_tvsum(
    annotations: Mapping[str, Annotation],
    videos: Mapping[str, Path],
    highlights_of: Callable[[Path], Highlights],
    progress: Callable[[int], None] | None = None,
) -> TvSumRow:
    """Find highlights in each annotated video that has a file, and hold their scores against the annotators'.

    DataError where no annotated video has a file, or not all have as many annotators.
    """
    present = [annotation for name, annotation in annotations.items() if name in videos]
    if not present:
        raise DataError("TVSum", "no annotated video has a file", "name the folder of videos called by their ids")
    if len({len(annotation.frame_scores) for annotation in present}) > 1:
        raise DataError("TVSum", "not all videos have as many annotators", _AS_PUBLISHED)
    found: list[Sequence[float]] = []
    for done, annotation in enumerate(present, start=1):
        told = highlights_of(videos[annotation.video])
        predicted = shot_scores(told)
        found.append([top_precision(predicted, scores) for scores in annotation.shots(told.duration_s)])
        if progress is not None:
            progress(done)
    values = np.array(found)  # [videos, annotators]
    categories = np.array([annotation.category for annotation in present])
    return TvSumRow(
        len(present),
        float(values.mean()),
        {str(name): float(values[categories == name].mean()) for name in sorted(set(categories.tolist()))},
        tuple(name for name in annotations if name not in videos),
    )


def videos_in(folder: Path) -> dict[str, Path]:
    """Return the files of a folder by what they are called without their suffixes."""
    from avgn_edge.media.container import MEDIA  # noqa: PLC0415

    if not folder.is_dir():
        raise DataError(str(folder), "it is not a folder", "name the folder of TVSum's videos")
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in MEDIA}


def _lower_median(values: NDArray[np.float64]) -> float:
    """Of an even number the lower of the two in the middle, as PyTorch's median, by which the figures were made."""
    return float(np.sort(values)[(len(values) - 1) // 2])
