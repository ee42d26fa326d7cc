"""How long runs take on this device: from its profile, and from what this process has seen since."""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

HIGH: Final = 0.9
"""The share of runs that end within what is expected: a run that was begun cannot be stopped."""
MIDDLE: Final = 0.5
REMEMBERED: Final = 24
"""Runs of a graph that count; older ones are forgotten."""


@dataclass(frozen=True)
class Run:
    """One run of a graph on `items` items."""

    graph: str
    items: int = 1


@dataclass(frozen=True)
class GraphLatency:
    """What runs of one graph took."""

    seconds: Mapping[int, float]
    """Median seconds of a run, by its number of items."""
    spread: Sequence[float]
    """How runs scattered: their seconds over the median of their size."""

    def typical(self, items: int) -> float:
        """Median seconds of a run on `items` items: between two sizes on the line, above them in proportion."""
        sizes = sorted(self.seconds)
        at = bisect_left(sizes, items)
        if at == len(sizes) or len(sizes) == 1:
            return self.seconds[sizes[-1]] * items / sizes[-1]
        above = sizes[at]
        if above == items or at == 0:
            return self.seconds[above]
        below = sizes[at - 1]
        share = (items - below) / (above - below)
        return (1 - share) * self.seconds[below] + share * self.seconds[above]


class LatencyModel:
    """How long runs take, learned from those seen so far; for many threads.

    A run is expected to take the typical time of its size times the `HIGH` quantile of how the latest runs of its
    graph, whatever their sizes, scattered around theirs.
    """

    def __init__(self, known: Mapping[str, GraphLatency] | None = None) -> None:
        self._lock = threading.Lock()
        self._paces: dict[str, GraphLatency] = {}
        self._ratios: dict[str, deque[float]] = {}
        self._factor: dict[str, float] = {}
        self.know(known or {})

    def know(self, known: Mapping[str, GraphLatency]) -> None:
        """Take what a profile says for these graphs."""
        with self._lock:
            for graph, pace in known.items():
                self._paces[graph] = pace
                self._ratios[graph] = deque(pace.spread, maxlen=REMEMBERED)
                self._factor[graph] = quantile(pace.spread, HIGH)

    def learn(self, run: Run, seconds: float) -> None:
        """Note a run."""
        items = max(1, run.items)
        with self._lock:
            known = self._paces.get(run.graph)
            if known is None or known.typical(items) <= 0:
                self._paces[run.graph] = GraphLatency({items: seconds}, (1.0,))
                self._ratios[run.graph] = deque([1.0], maxlen=REMEMBERED)
                self._factor[run.graph] = 1.0
                return
            ratios = self._ratios[run.graph]
            ratios.append(seconds / known.typical(items))
            self._factor[run.graph] = quantile(ratios, HIGH)

    def expect(self, run: Run, share: float = HIGH) -> float:
        """Seconds within which this share of runs ends; 0 for a graph that never ran, and for no items."""
        with self._lock:
            known = self._paces.get(run.graph)
            if known is None or run.items < 1:
                return 0.0
            factor = self._factor[run.graph] if share == HIGH else quantile(self._ratios[run.graph], share)
            return known.typical(run.items) * factor


def quantile(values: Iterable[float], share: float) -> float:
    """The smallest of `values` that at least `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
