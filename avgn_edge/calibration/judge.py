"""What another precision does to the answers: labels, moments and boxes against float32, on the same clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avgn_edge.calibration.trajectories import Row
from avgn_edge.runtime.engines.engine import OpensGraphs, Session


@dataclass(frozen=True)
class Agreement:
    """The full network in another precision against float32. Shares are in 0…1; None where no clip was looked at."""

    clips: int
    top1: float
    float_top1: float
    same_label: float
    same_moment: float | None
    """Share of clips whose first look falls on the same moment."""
    saliency_error: float | None
    """Mean absolute difference of the moments' saliency."""
    box_shift: float | None
    """Mean distance in pixels of the frame between the boxes of moments that both looked at."""

    @property
    def loss(self) -> float:
        """How much top-1 is lost."""
        return self.float_top1 - self.top1

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


WHOLE = "every graph"
"""Stands for every graph at once, where one could be named."""


class Mixed:
    """Sessions of one precision, but for one graph, or all (`WHOLE`), which comes from another."""

    def __init__(self, usual: OpensGraphs, other: OpensGraphs, graph: str) -> None:
        self._usual, self._other, self._graph = usual, other, graph

    def get(self, graph: str) -> Session:
        """The session of a graph."""
        return (self._other if self._graph in {graph, WHOLE} else self._usual).get(graph)


def compare(rows: Sequence[Row], floats: Sequence[Row], truth: NDArray[np.bool_]) -> Agreement:
    """Compare whole answers, clip by clip; `truth` is bool [n, C]."""
    best, float_best = (np.array([row.probabilities[-1].argmax() for row in some]) for some in (rows, floats))
    clips = np.arange(len(rows))
    both = [(a, b) for a, b in zip(rows, floats, strict=True) if a.saliency is not None and b.saliency is not None]
    return Agreement(
        clips=len(rows),
        top1=float(truth[clips, best].mean()),
        float_top1=float(truth[clips, float_best].mean()),
        same_label=float((best == float_best).mean()),
        same_moment=_mean([next(iter(a.corners)) == next(iter(b.corners)) for a, b in both]),
        saliency_error=_mean([_mean_difference(a, b) for a, b in both]),
        box_shift=_mean([shift for a, b in both for shift in _shifts(a.corners, b.corners)]),
    )


def _mean_difference(a: Row, b: Row) -> float:
    if a.saliency is None or b.saliency is None:
        raise AssertionError("only clips that were looked at are compared")
    return float(np.abs(a.saliency - b.saliency).mean())


def _shifts(a: Mapping[int, tuple[float, float]], b: Mapping[int, tuple[float, float]]) -> list[float]:
    return [float(np.hypot(a[at][0] - b[at][0], a[at][1] - b[at][1])) for at in a.keys() & b.keys()]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
