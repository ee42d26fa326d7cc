"""How good answers are, from the probabilities of every class: top-k accuracy, mAP, expected calibration error.

Throughout, `probabilities` is float [n, C] and `truth` bool [n, C]: which classes each of n clips shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import cast

import numpy as np
from numpy.typing import NDArray

from avgn_edge._base.errors import MissingExtraError

Floats = NDArray[np.floating]
Flags = NDArray[np.bool_]

BINS = 15
"""Of the calibration error, as in the tables of Guo et al. (2017)."""


@dataclass(frozen=True)
class MeanAveragePrecision:
    """mAP over the classes that some clip shows; the others have no average precision and are left out."""

    value: float | None
    """None where no class has a clip."""
    classes: int
    """How many classes it is the mean of."""


def top_k_accuracy(probabilities: Floats, truth: Flags, k: int) -> float:
    """Share of clips with a true class among the k most probable; the earlier class of equals first, as in `Result`.

    A clip with several true classes needs one of them among the k.
    """
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float(np.take_along_axis(truth, best, axis=1).any(axis=1).mean())


def mean_average_precision(probabilities: Floats, truth: Flags) -> MeanAveragePrecision:
    """Mean over classes of scikit-learn's average precision, the measure of ActivityNet and FCVID."""
    each = list(average_precisions(probabilities, truth).values())
    return MeanAveragePrecision(float(np.mean(each)) if each else None, len(each))


def average_precisions(probabilities: Floats, truth: Flags) -> dict[int, float]:
    """Return scikit-learn's average precision of each class that some clip shows, by its index."""
    present = np.flatnonzero(truth.any(axis=0)).tolist()
    average_precision = sklearn_metrics().average_precision_score
    return {index: float(average_precision(truth[:, index], probabilities[:, index])) for index in present}


@dataclass(frozen=True)
class Reliability:
    """How right answers were, by how sure they were: 15 bins of confidence, of equal width, closed on the right."""

    counts: NDArray[np.int64]
    """[15]."""
    confidence: NDArray[np.float64]
    """The mean of each bin, [15]; 0 where it is empty, as in `accuracy`."""
    accuracy: NDArray[np.float64]

    @property
    def error(self) -> float:
        """The expected calibration error: |accuracy - confidence| of each bin, weighted by its share.

        Guo et al. (2017), "On calibration of modern neural networks", Eq. 3.
        """
        return float((np.abs(self.accuracy - self.confidence) * self.counts).sum() / self.counts.sum())


def reliability(probabilities: Floats, truth: Flags, task: str) -> Reliability:
    """Sort decisions into bins of confidence.

    One label a clip: the confidence of the top class. Several: every label of every clip is a decision, yes from 0.5
    on, and the confidence is that of the side it took.
    """
    if task == "single-label":
        confidence = probabilities.max(axis=1)
        right = np.take_along_axis(truth, probabilities.argmax(axis=1)[:, np.newaxis], axis=1)[:, 0]
    else:
        confidence = np.maximum(probabilities, 1 - probabilities).ravel()
        right = ((probabilities >= 0.5) == truth).ravel()
    sure = confidence.astype(np.float64)
    bins = np.clip(np.ceil(sure * BINS).astype(np.int64) - 1, 0, BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    shares = 1 / np.maximum(counts, 1)
    return Reliability(
        counts,
        np.bincount(bins, weights=sure, minlength=BINS) * shares,
        np.bincount(bins, weights=right.astype(np.float64), minlength=BINS) * shares,
    )


def chance(truth: Flags, task: str) -> float:
    """The score of knowing nothing: top-1 of a guess at random, or with several labels a clip mAP of equal scores."""
    if task == "single-label":
        return float(truth.mean(axis=1).mean())
    present = truth.any(axis=0)
    return float(truth[:, present].mean()) if present.any() else 0.0


def sklearn_metrics() -> ModuleType:
    """Return `sklearn.metrics`, or say which extra brings it."""
    try:
        from sklearn import metrics  # noqa: PLC0415 - a second of imports
    except ImportError as error:
        raise MissingExtraError("evaluate", "scikit-learn", "evaluate") from error
    return cast("ModuleType", metrics)
