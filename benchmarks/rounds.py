"""Several ways to do one thing, timed in turn, so that whatever else the machine does falls on all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

LEAST, SLOW_S = 3, 5.0
"""Runs of anything; but of what takes longer than `SLOW_S`, `LEAST_SLOW`, the one that makes it ready among them."""
LEAST_SLOW = 2
PAUSE_S = 0.03
"""Before each run: the threads of the one before spin on for a while, and would take its cores."""


class _Timed(Protocol):
    @property
    def seconds(self) -> float: ...


T = TypeVar("T", bound=_Timed)


@dataclass(frozen=True)
class Spread:
    """The middle of some numbers and their quartiles."""

    low: float
    median: float
    high: float
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Sum up one number or more."""
        low, median, high = (float(value) for value in np.quantile(values, (0.25, 0.5, 0.75)))
        return cls(low, median, high, len(values))


def interleaved(runs: Mapping[str, Callable[[], T]], most: int, patience_s: float) -> dict[str, list[T]]:
    """Run each once to make it ready, then in rounds; return what each gave.

    Each is run `most` times, or as often as about `patience_s` seconds allow, spread over the rounds. The order within
    a round turns from one to the next.
    """
    first = {name: _after_a_pause(run) for name, run in runs.items()}
    found: dict[str, list[T]] = {
        name: [measured] if measured.seconds > SLOW_S else [] for name, measured in first.items()
    }
    wanted = {name: _wanted(measured.seconds, most, patience_s) for name, measured in first.items()}
    names = list(runs)
    for turn in range(most):
        at = turn % len(names)
        for name in names[at:] + names[:at]:
            if due(turn, wanted[name], most):
                found[name].append(_after_a_pause(runs[name]))
    return found


def _after_a_pause(run: Callable[[], T]) -> T:
    time.sleep(PAUSE_S)
    return run()


def due(turn: int, wanted: int, of: int) -> bool:
    """Whether something that is wanted so many times `of` turns has one in this."""
    return (turn + 1) * wanted // of > turn * wanted // of


def _wanted(seconds: float, most: int, patience_s: float) -> int:
    least = LEAST_SLOW - 1 if seconds > SLOW_S else LEAST
    return min(most, max(least, int(patience_s / max(seconds, 1e-9))))
