"""How a stream is watched: its settings, which moments are worth a glance or a look, and a budget by the second."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from avgn_edge._base.arguments import instance, number, whole
from avgn_edge._base.errors import BudgetError
from avgn_edge.runtime.budget import Budget, Ledger, smallest
from avgn_edge.runtime.stream.events import EventSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from avgn_edge.runtime.budget import Run
    from avgn_edge.runtime.moments_table import MomentsTable
    from avgn_edge.runtime.sessions import Floats, GraphRunner


class StreamAttention(Protocol):
    """Decides what is paid for; what cannot be paid for it is not asked about."""

    def worth_glance(self, saliency: NDArray[np.float32], fullness: float) -> bool:
        """Whether to glance at the newest moment, the last of `saliency` [n]; `fullness` is the bucket's, 0…1."""
        ...

    def next_look(self, saliency: NDArray[np.float32], candidates: Sequence[int], fullness: float) -> int | None:
        """Which of the moments `candidates` of `saliency` [n] to look at; None for no look now."""
        ...


@dataclass(frozen=True)
class MostSalientShare:
    """The fuller the bucket, the less a moment must stand out among those of the window to be worth it.

    Of a full bucket every moment is; of one with a share f, those that no more than f of the window's moments exceed.
    """

    def worth_glance(self, saliency: NDArray[np.float32], fullness: float) -> bool:
        """Whether to glance at the newest moment."""
        return _exceeded_by(saliency, len(saliency) - 1) <= fullness

    def next_look(self, saliency: NDArray[np.float32], candidates: Sequence[int], fullness: float) -> int | None:
        """Which moment to look at: the most salient one."""
        best = max(candidates, key=lambda at: float(saliency[at]), default=None)
        return best if best is not None and _exceeded_by(saliency, best) <= fullness else None


def _exceeded_by(saliency: NDArray[np.float32], at: int) -> float:
    """The share of the moments that are more salient than the one `at` this place."""
    return float(np.mean(saliency > saliency[at]))


class StreamPolicy(Protocol):
    """What a network runs on a stream's moments; made of a manifest, its exit rules, and a `StreamAttention`."""

    seen: MomentsTable
    """The window, the newest moment in its last row."""

    @property
    def least(self) -> tuple[Run, ...]:
        """What every moment costs, whatever else."""

    @property
    def dearest(self) -> tuple[Run, ...]:
        """What one moment costs at the most."""

    def attend(
        self, sound: Floats | None, runner: GraphRunner, ledger: Ledger, fullness: float, moments: int
    ) -> Floats | NDArray[np.float64]:
        """Run what `ledger` affords on the newest moment, whose frame is in `seen` if it has one; answer for all, [C].

        `sound` float32 [samples], a window of the front end, None where it is silent; `fullness` is the bucket's, 0…1;
        of the rows of `seen` only the last `moments` stand for any.
        """


EVERY_S: Final = 0.6
"""Of the packaged bundle's shortest training clips, 10 s, a moment lasts this long; the network knows no finer one."""

LATEST_EPOCH_S: Final = 1e11
"""A date of the year 5138: a time in milliseconds is taken for none in seconds."""


@dataclass(frozen=True)
class StreamSettings:
    """How a stream is watched."""

    budget: Budget = field(default_factory=Budget)
    """By the second of the stream."""
    every_s: float = EVERY_S
    """Seconds from moment to moment."""
    top: int = 5
    """Classes to list."""
    events: EventSettings = field(default_factory=EventSettings)
    attention: StreamAttention = field(default_factory=MostSalientShare)
    epoch_s: float | None = None
    """Second 0 of the stream in seconds since 1970 UTC; None for a stream that is not live."""

    def __post_init__(self) -> None:
        if not 0.05 <= number("every_s", self.every_s) <= 60:
            raise BudgetError(f"every {self.every_s:g} s", "it is out of range", "give 0.05 to 60 seconds")
        instance("budget", self.budget, Budget)
        whole("top", self.top, 1)
        instance("events", self.events, EventSettings)
        if self.epoch_s is not None:
            number("epoch_s", self.epoch_s, 0.0, LATEST_EPOCH_S)


TIME_MARGIN: Final = 1.1
"""A bucket of time holds this much more than a moment is expected to take: a ledger plans with a little less."""


def bucket_size(policy: StreamPolicy, ledger: Ledger, settings: StreamSettings) -> float:
    """What one moment can cost at the most, or a second's budget where that is more: MACs, or seconds.

    BudgetError for a budget that does not cover what every moment costs.
    """
    budget, every_s = settings.budget, settings.every_s
    asked, alone = f"budget {budget.asked} a second", f"listening every {every_s:g} s alone"
    if budget.macs is not None:
        least = ledger.price(*policy.least) / every_s
        if budget.macs < least:
            raise BudgetError(asked, f"{alone} costs more", f"give at least {smallest(math.ceil(least))}")
        return float(max(budget.macs, ledger.price(*policy.dearest)))
    if budget.seconds is not None:
        least_s = ledger.expect(*policy.least) / every_s
        if budget.seconds < least_s:
            raise BudgetError(asked, f"{alone} takes longer", f"give at least {1e3 * least_s:.1f}ms")
        return max(budget.seconds, TIME_MARGIN * ledger.expect(*policy.dearest))
    return 1.0


class Bucket:
    """Fills with `budget` each second of the stream, up to `size`; what runs is taken out.

    Compute is never overdrawn: in any span of w seconds at most budget · w + size is spent. What time a run takes is
    only known after it: a time budget may be overdrawn by the error of one forecast, and is then paid back first.
    """

    def __init__(self, budget: Budget, size: float) -> None:
        self._asked = budget
        self._rate = budget.macs if budget.macs is not None else budget.seconds
        self.size = size
        self._tokens = size
        self._filled_s: float | None = None

    def fill(self, time_s: float) -> None:
        """Let in what came since the last time, in seconds of the stream; time that goes back brings nothing."""
        if self._rate is not None and self._filled_s is not None:
            passed = max(0.0, time_s - self._filled_s)
            self._tokens = min(self.size, self._tokens + self._rate * passed)
        self._filled_s = time_s

    @property
    def fullness(self) -> float:
        """How full it is, 0…1; always full without a limit."""
        return 1.0 if self._rate is None else min(1.0, max(0.0, self._tokens / self.size))

    @property
    def left(self) -> Budget:
        """What may be spent now."""
        if self._rate is None:
            return self._asked
        if self._asked.macs is not None:
            return Budget(self._asked.asked, macs=int(self._tokens))
        return Budget(self._asked.asked, seconds=max(0.0, self._tokens))

    def spend(self, ledger: Ledger) -> None:
        """Take out what the ledger was charged."""
        if self._rate is not None:
            self._tokens -= ledger.spent_macs if self._asked.macs is not None else ledger.elapsed_s
