"""What a clip may cost, and the ledger that is asked before each run and charged after it.

Budgets: `6gflops`, `250mflops`, `80ms`, `1.5s` or `none`. GFLOPs are 10^9 multiply-accumulates.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass

from avgn_edge._base.arguments import number, shown, whole
from avgn_edge._base.errors import ArgumentError, BudgetError
from avgn_edge.bundle.manifest import GraphCost
from avgn_edge.media.clip import OutOfTime
from avgn_edge.runtime.latency import HIGH, MIDDLE, LatencyModel, Run

_NUMBER_AND_UNIT = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*(gflops|mflops|ms|s)\s*", re.IGNORECASE)
_HOW = "write it as 6gflops, 250mflops, 80ms, 1.5s or none"
_UNITS = {"gflops": 1e9, "mflops": 1e6, "ms": 1e-3, "s": 1.0}


@dataclass(frozen=True)
class Budget:
    """A limit on compute, on time, or (with both None) no limit."""

    asked: str = "none"
    """The budget as it was asked for."""
    macs: int | None = None
    """Most multiply-accumulates that may run."""
    seconds: float | None = None
    """Longest time from the start of the clip to its answer, decoding included."""

    def __post_init__(self) -> None:
        if not isinstance(self.asked, str):
            raise ArgumentError(f"asked={shown(self.asked)}", "it is not text", "give the budget as it was asked for")
        if self.macs is not None:
            whole("macs", self.macs, 0)
        if self.seconds is not None:
            number("seconds", self.seconds, 0.0)

    @classmethod
    def parse(cls, text: str | Budget | None, name: str = "budget") -> Budget:
        """Read a budget.

        Args:
            text: Such as "6gflops", "250mflops", "80ms", "1.5s" or "none"; None is no limit.
            name: What an error calls it.

        Returns:
            The budget. GFLOPs are 10^9 multiply-accumulates.

        Raises:
            BudgetError: It is no amount above zero with one of these units.
        """
        if isinstance(text, Budget):
            return text
        if text is None:
            return cls()
        if not isinstance(text, str):
            raise BudgetError(f"{name} {shown(text)}", "it is not text", _HOW)
        if text.strip().lower() == "none":
            return cls()
        match = _NUMBER_AND_UNIT.fullmatch(text)
        amount = float(match[1]) * _UNITS[match[2].lower()] if match else math.nan
        if not match or not 0 < amount < 1e18:
            raise BudgetError(
                f"{name} {text[:40]!r}",
                "it is not an amount above zero with a unit",
                _HOW,
            )
        asked = text.strip().lower()
        if match[2].lower() in {"ms", "s"}:
            return cls(asked, seconds=amount)
        return cls(asked, macs=math.floor(amount + 1e-6))


def smallest(macs: int) -> str:
    """A price as the smallest budget that covers it, such as `177mflops`."""
    return f"{max(1, math.ceil(macs / 1e6))}mflops"


__all__ = ["DECODE", "DECODE_AUDIO", "FINISH", "FRONT_END", "OPEN", "LatencyModel", "Ledger", "Run"]

OPEN = "open"
"""Opening the clip: a run that takes time and no multiply-accumulates, as are those that follow."""
DECODE = "decode"
"""Getting frames out of the clip; its items are the clip's own unit of work."""
DECODE_AUDIO = "decode_audio"
"""The same for the sound around the moments; its items are moments."""
FRONT_END = "front_end"
"""Log-mel spectrograms of moments."""
FINISH = "finish"
"""Putting the answer into a result."""
_NO_GRAPH = frozenset({OPEN, DECODE, DECODE_AUDIO, FRONT_END, FINISH})
AIM = 0.97
"""The share of a time budget that is planned with: closing the clip, and what no clock sees coming, have the rest."""
LATE = 1.1
"""A time budget is kept within a tenth; an answer that took longer says so."""


class Ledger:
    """The account of one clip.

    Its `pace` learns what runs take; None where nothing is to be learned from them, and none are foretold.
    """

    def __init__(self, budget: Budget, cost: Mapping[str, GraphCost], pace: LatencyModel | None) -> None:
        self._budget = budget
        self._cost = cost
        self._pace = pace
        self._started = time.perf_counter()
        self._most_macs = budget.macs
        self.runs: list[Run] = []
        self.spent_macs = 0
        self.spent_s: dict[str, float] = {}
        self._decoded, self._decoded_s = 0, 0.0

    def price(self, *runs: Run) -> int:
        """What these runs cost together, in MACs."""
        return sum(self._cost[run.graph].macs(run.items) for run in runs if run.graph not in _NO_GRAPH)

    def affords(self, *runs: Run) -> bool:
        """Whether all of these runs fit into what is left."""
        if self._most_macs is not None and self.spent_macs + self.price(*runs) > self._most_macs:
            return False
        return self._budget.seconds is None or time.perf_counter() <= self.latest(*runs)

    def latest(self, *runs: Run) -> float:
        """When these runs must begin, of `time.perf_counter`, for an answer in time; without a limit, inf."""
        if self._budget.seconds is None:
            return math.inf
        return self._started + AIM * self._budget.seconds - self.expect(*runs, Run(FINISH))

    def expect(self, *runs: Run) -> float:
        """Seconds that these runs will take together, on this device and with this clip."""
        return sum(self._expect(run) for run in runs)

    def spend_at_most(self, macs: int) -> None:
        """Lower the limit on the whole clip's compute to `macs`, where it is not lower already."""
        self._most_macs = macs if self._most_macs is None else min(macs, self._most_macs)

    def after(self, run: Run) -> Ledger:
        """This account as it would be had `run` been charged."""
        later = copy(self)
        later.spent_macs += self.price(run)
        return later

    def charge(self, run: Run, seconds: float) -> None:
        """Note that a run happened and how long it took."""
        self.spent_s[run.graph] = self.spent_s.get(run.graph, 0.0) + seconds
        if self._pace is not None:
            self._pace.learn(run, seconds)
        if run.graph == DECODE:
            self._decoded += max(1, run.items)
            self._decoded_s += seconds
        if run.graph not in _NO_GRAPH:
            self.runs.append(run)
            self.spent_macs += self.price(run)

    @contextmanager
    def timing(self, run: Run) -> Iterator[None]:
        """Charge a run for what happens inside; nothing is charged if it fails, only time if it is given up."""
        started = time.perf_counter()
        try:
            yield
        except OutOfTime:
            self.spent_s[run.graph] = self.spent_s.get(run.graph, 0.0) + time.perf_counter() - started
            raise
        self.charge(run, time.perf_counter() - started)

    @property
    def timed(self) -> bool:
        """Whether time is limited."""
        return self._budget.seconds is not None

    @property
    def limited(self) -> bool:
        """Whether compute is limited."""
        return self._most_macs is not None

    @property
    def elapsed_s(self) -> float:
        """Seconds since the clip was begun."""
        return time.perf_counter() - self._started

    @property
    def lateness(self) -> str | None:
        """The sentence that says that a time budget was not kept; None as long as it is."""
        limit = self._budget.seconds
        if limit is None or self.elapsed_s <= LATE * limit:
            return None
        return f"late: {1e3 * self.elapsed_s:.0f} ms, {self._budget.asked} were asked for"

    def _expect(self, run: Run) -> float:
        if run.graph == DECODE and self._decoded:
            # What this clip's frames took so far, not what others' did.
            return run.items * self._decoded_s / self._decoded
        if self._pace is None:
            return 0.0
        # What can be given up between two packets may take longer than is expected; a graph's run may not.
        return self._pace.expect(run, MIDDLE if run.graph in {DECODE, DECODE_AUDIO} else HIGH)
