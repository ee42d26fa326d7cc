"""How good highlights are on TVSum: top-5 mAP, zero-shot, as in AVGN's Table 2 (Song et al., CVPR 2015)."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from avgn_edge._base.errors import DataError
from avgn_edge.media.container import MEDIA
from avgn_edge.runtime.highlights.result import Highlights

SHOT_S: Final = 2.0
TOP: Final = 5
_AS_PUBLISHED: Final = "give ydata-tvsum50-anno.tsv as it was published"


@dataclass(frozen=True)
class Annotation:
    """What the annotators thought of one video."""

    video: str
    category: str
    frame_scores: NDArray[np.float64]
    """1…5, [annotators, frames]."""

    def shots(self, duration_s: float) -> NDArray[np.float64]:
        """Return the scores of the video's shots of two seconds, [annotators, shots]: those of their middle frames."""
        frames = self.frame_scores.shape[1]
        count = max(1, round(duration_s / SHOT_S))
        middle = ((np.arange(count) + 0.5) * SHOT_S / duration_s * frames).astype(int)
        return self.frame_scores[:, np.minimum(middle, frames - 1)]


@dataclass(frozen=True)
class TvSumRow:
    """How well the scores of highlights agree with the annotators."""

    videos: int
    top5_map: float
    by_category: Mapping[str, float]
    missing: tuple[str, ...]
    """Annotated videos without a file."""


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


def shot_scores(highlights: Highlights) -> NDArray[np.float64]:
    """Return the score of each shot of two seconds, [shots]: the mean of its moments, or interpolated between them."""
    times, scores = highlights.timeline.time_s, highlights.timeline.score.astype(np.float64)
    count = max(1, round(highlights.duration_s / SHOT_S))
    shots = np.minimum((times / SHOT_S).astype(int), count - 1)
    sums, moments = np.bincount(shots, scores, count), np.bincount(shots, minlength=count)
    between = np.interp((np.arange(count) + 0.5) * SHOT_S, times, scores)
    return np.asarray(np.where(moments > 0, sums / np.maximum(moments, 1), between), dtype=np.float64)


def top_precision(predicted: NDArray[np.float64], annotated: NDArray[np.float64], top: int = TOP) -> float:
    """Return the average precision of the `top` shots by `predicted`, [shots], for one annotator's scores, [shots].

    Right are the shots above the median; of an even number of shots that is the lower one of the two in the middle, as
    PyTorch has it, by which the published figures were made.
    """
    highlights = annotated > np.quantile(annotated, 0.5, method="lower")
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
    """Find highlights in each annotated video that has a file, and compare their scores with the annotators'.

    Args:
        annotations: The annotations, by their videos' ids.
        videos: The files, by the same ids.
        highlights_of: Finds the highlights of a file.
        progress: Called with the number of videos done, after each.

    Raises:
        DataError: No annotated video has a file, or not all have as many annotators.
    """
    present = [annotation for name, annotation in annotations.items() if name in videos]
    if not present:
        raise DataError("TVSum", "no annotated video has a file", "name the folder of videos called by their ids")
    if len({len(annotation.frame_scores) for annotation in present}) > 1:
        raise DataError("TVSum", "not all videos have as many annotators", _AS_PUBLISHED)
    precisions: list[Sequence[float]] = []
    for done, annotation in enumerate(present, start=1):
        highlights = highlights_of(videos[annotation.video])
        predicted = shot_scores(highlights)
        precisions.append([top_precision(predicted, scores) for scores in annotation.shots(highlights.duration_s)])
        if progress is not None:
            progress(done)
    values = np.array(precisions)  # [videos, annotators]
    categories = np.array([annotation.category for annotation in present])
    return TvSumRow(
        len(present),
        float(values.mean()),
        {str(name): float(values[categories == name].mean()) for name in sorted(set(categories.tolist()))},
        tuple(name for name in annotations if name not in videos),
    )


def videos_in(folder: Path) -> dict[str, Path]:
    """Return the media files of a folder, by their names without suffix."""
    if not folder.is_dir():
        raise DataError(str(folder), "it is not a folder", "name the folder of TVSum's videos")
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in MEDIA}
