"""A budget by the second: a token bucket over multiply-accumulates, or over seconds of computing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from avgn_edge.errors import BudgetError
from avgn_edge.runtime.budget import Budget, smallest
from avgn_edge.runtime.ledger import Ledger

if TYPE_CHECKING:
    from avgn_edge.streaming.policy import StreamPolicy
    from avgn_edge.streaming.settings import StreamSettings

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
