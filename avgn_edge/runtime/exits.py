"""When an answer is sure enough to stop, step by step: temperature, confidence, threshold.

The thresholds come from the bundle's calibration: for a risk that is asked for, by Learn-then-Test (Angelopoulos et
al., "Learn then Test: Calibrating Predictive Algorithms to Achieve Risk Control", 2021, arXiv 2110.01052); for an
average cost, as MSDNet shares clips out over its exits (Huang et al., 2018, arXiv 1703.09844).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from avgn_edge.bundle.calibration_tables import FIRST_LOOK, ExitTable, RiskRow
from avgn_edge.runtime.scores import sigmoid, softmax

if TYPE_CHECKING:
    from avgn_edge.bundle.calibration_tables import ExitSettings

Exit = Literal["confident", "budget", "looks", "no-visual"]
"""Why a clip ended: sure enough, nothing left to spend, all looks taken, or no picture to look at."""
NEVER = math.inf
DELTA = 0.05
"""The chance that calibration clips were so lucky that the promised risk does not hold."""
DEFAULT_RISK = 0.02
"""Of a calibrated bundle whose user states none; then the looks may stop early, but not what comes before them."""


@dataclass(frozen=True)
class Exits:
    """What each step's answer is divided by and must reach. Steps beyond the last are treated as the last."""

    thresholds: tuple[float, ...] = (NEVER,)
    temperatures: tuple[float, ...] = (1.0,)

    def threshold(self, step: int) -> float:
        """The confidence at which a clip may end with this step."""
        return self.thresholds[min(step, len(self.thresholds) - 1)]

    def temperature(self, step: int) -> float:
        """What this step's logits are divided by."""
        return self.temperatures[min(step, len(self.temperatures) - 1)]

    def tempered(self, probabilities: NDArray[np.floating], step: int, task: str) -> NDArray[np.float64]:
        """Return the scores [C] after temperature scaling."""
        return tempered(probabilities, self.temperature(step), task)


def tempered(probabilities: NDArray[np.floating], temperature: float, task: str) -> NDArray[np.float64]:
    """Scores [..., C] as if their logits had been divided by `temperature`; float64, which tells 1 - 1e-12 from 1."""
    p = probabilities.astype(np.float64)
    if temperature == 1.0:
        return p
    tiny = np.finfo(np.float32).tiny
    if task == "single-label":
        return softmax(np.log(np.maximum(p, tiny)) / temperature)
    odds = np.log(np.maximum(p, tiny)) - np.log(np.maximum(1 - p, tiny))
    return sigmoid(odds / temperature)


def confidence(probabilities: NDArray[np.floating], task: str) -> NDArray[np.float64]:
    """How sure an answer [..., C] is: its best class's score or, with several labels, its least decided class's."""
    p = probabilities.astype(np.float64)
    return np.asarray(p.max(axis=-1) if task == "single-label" else np.maximum(p, 1 - p).min(axis=-1))


def certified(clips: int, rows: Iterable[RiskRow], risk: float, delta: float = DELTA) -> RiskRow | None:
    """Return the lowest confidence at which stopping disagrees with the full network in at most `risk` of clips.

    Learn-then-Test with fixed sequence testing: from the highest confidence down, each is tested for a risk above
    `risk` by the exact binomial tail at level `delta`, up to the first that fails. Over the draw of the calibration
    clips, what is returned keeps its promise for clips like them with probability 1 - `delta`. None: no row does.
    """
    best = None
    for row in rows:
        if _binomial_tail(row.disagreements, clips, risk) > delta:
            break
        best = row
    return best


def smallest_risk(clips: int, rows: Sequence[RiskRow], delta: float = DELTA) -> float:
    """Return the smallest risk, to a hundredth of a percent above, that `certified` finds a confidence for; else 1.

    It is the first row's, from which testing goes down: with no disagreement among n clips it is 1 - delta^(1/n).
    """
    if not rows or rows[0].disagreements >= clips:
        return 1.0
    low, high = 0, 10_000
    while high - low > 1:
        middle = (low + high) // 2
        passed = _binomial_tail(rows[0].disagreements, clips, middle / 10_000) <= delta
        low, high = (low, middle) if passed else (middle, high)
    return high / 10_000


@lru_cache(maxsize=1024)  # the same few for every clip
def _binomial_tail(count: int, trials: int, chance: float) -> float:
    """P(X ≤ count) of X ~ Binomial(trials, chance)."""
    if chance <= 0.0 or count >= trials:
        return 1.0
    if chance >= 1.0:
        return 0.0
    logs = [
        math.lgamma(trials + 1)
        - math.lgamma(k + 1)
        - math.lgamma(trials - k + 1)
        + k * math.log(chance)
        + (trials - k) * math.log1p(-chance)
        for k in range(count + 1)
    ]
    return min(1.0, math.fsum(math.exp(log) for log in logs))


class ExitRules:
    """The bundle's exits for one precision and what a user asked for; `at` says what holds after so many glances."""

    def __init__(
        self,
        settings: ExitSettings,
        precision: str,
        *,
        risk: float | None = None,
        thresholds: tuple[float, ...] | None = None,
    ) -> None:
        self._confidence = settings.confidence
        self._tables = settings.tables.get(precision, ())
        self._risk = risk
        self._thresholds = thresholds
        self._known: dict[int, Exits] = {}

    @property
    def calibrated(self) -> bool:
        """Whether there are tables for this precision."""
        return bool(self._tables)

    def at(self, glances: int) -> Exits:
        """The exits of a clip that was, or will be, glanced at in `glances` moments before its looks."""
        if glances not in self._known:
            self._known[glances] = self._exits(glances)
        return self._known[glances]

    def certifies(self, glances: int) -> bool:
        """Whether the risk asked for lets any answer stop early, and was measured with so many glances."""
        table = self._table(glances)
        return (
            table is not None
            and table.glances == glances
            and self._risk is not None
            and certified(table.clips, table.risk, self._risk) is not None
        )

    def _exits(self, glances: int) -> Exits:
        table = self._table(glances)
        if self._thresholds is not None:
            return Exits(self._thresholds, (1.0,) if table is None else table.temperatures)
        if table is None:
            return Exits((NEVER, NEVER, NEVER if self._confidence is None else self._confidence))
        row = certified(table.clips, table.risk, DEFAULT_RISK if self._risk is None else self._risk)
        # What was promised holds for the number of glances that it was measured with.
        reached = row.confidence if row is not None and (self._risk is None or table.glances == glances) else NEVER
        before_looks = NEVER if self._risk is None else reached
        return Exits((before_looks,) * FIRST_LOOK + (reached,), table.temperatures)

    def _table(self, glances: int) -> ExitTable | None:
        """The table of so many glances, or the nearest of fewer."""
        return next((table for table in reversed(self._tables) if table.glances <= glances), None) or next(
            iter(self._tables), None
        )
