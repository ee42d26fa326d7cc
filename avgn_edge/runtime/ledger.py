"""The budget ledger: asked before each run, charged after it. A clip's cost is the sum of what it was charged for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from avgn_edge.bundle.manifest import GraphCost
from avgn_edge.runtime.budget import Budget

DECODE = "decode"
"""Getting frames out of the clip: a run that takes time and no multiply-accumulates."""
DECODE_AUDIO = "decode_audio"
"""The same for the sound around the moments."""
FRONT_END = "front_end"
"""Log-mel spectrograms: time, and no multiply-accumulates of a graph."""
_NO_GRAPH = frozenset({DECODE, DECODE_AUDIO, FRONT_END})


@dataclass(frozen=True)
class Run:
    """One run of a graph on `items` items."""

    graph: str
    items: int = 1


@dataclass
class Pace:
    """How long an item of each graph takes on this device, learned from the runs seen so far; for many threads."""

    _seconds: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def learn(self, run: Run, seconds: float) -> None:
        """Note a run. Slower at once, faster by and by: a late answer is worse than an early one."""
        each = seconds / run.items
        with self._lock:
            known = self._seconds.get(run.graph, each)
            self._seconds[run.graph] = max(each, 0.8 * known + 0.2 * each)

    def expect(self, run: Run) -> float:
        """Seconds that a run will take; 0 for a graph that never ran."""
        return run.items * self._seconds.get(run.graph, 0.0)


class Ledger:
    """The account of one clip."""

    def __init__(self, budget: Budget, cost: Mapping[str, GraphCost], pace: Pace) -> None:
        self._budget = budget
        self._cost = cost
        self._pace = pace
        self._started = time.perf_counter()
        self._most_macs = budget.macs
        self.runs: list[Run] = []
        self.spent_macs = 0
        self.spent_s: dict[str, float] = {}

    def price(self, *runs: Run) -> int:
        """What these runs cost together, in MACs."""
        return sum(self._cost[run.graph].macs(run.items) for run in runs if run.graph not in _NO_GRAPH)

    def affords(self, *runs: Run) -> bool:
        """Whether all of these runs fit into what is left."""
        if self._most_macs is not None and self.spent_macs + self.price(*runs) > self._most_macs:
            return False
        if self._budget.seconds is None:
            return True
        return self.elapsed_s + self._expect(runs) <= self._budget.seconds

    def spend_at_most(self, *runs: Run) -> None:
        """Lower what is left to the price of these runs."""
        most = self.spent_macs + self.price(*runs)
        self._most_macs = most if self._most_macs is None else min(most, self._most_macs)

    def charge(self, run: Run, seconds: float) -> None:
        """Note that a run happened and how long it took."""
        self.spent_s[run.graph] = self.spent_s.get(run.graph, 0.0) + seconds
        self._pace.learn(run, seconds)
        if run.graph not in _NO_GRAPH:
            self.runs.append(run)
            self.spent_macs += self.price(run)

    @contextmanager
    def timing(self, run: Run) -> Iterator[None]:
        """Charge a run for what happens inside; nothing is charged if it fails."""
        started = time.perf_counter()
        yield
        self.charge(run, time.perf_counter() - started)

    @property
    def timed(self) -> bool:
        """Whether time is limited."""
        return self._budget.seconds is not None

    @property
    def elapsed_s(self) -> float:
        """Seconds since the clip was begun."""
        return time.perf_counter() - self._started

    def _expect(self, runs: Iterable[Run]) -> float:
        return sum(self._pace.expect(run) for run in runs)
