"""What a budget buys: how many glances, and whether looks follow them (AVGN, 3.5).

A calibrated bundle says which T_G and k did best under which limit of compute (its operating points). Without, a budget
that reaches T_G glances and a look takes them, and more looks as long as it lasts; a smaller one leads with a single
glance and spends the rest on looks: at the same cost a few looks, each with its own glance, were worth more than more
glances and one look (docs/results/; the paper's cheapest points have T_G = 2 and early exit too).

More budget never spends less, early exits aside. Two numbers of glances choose other moments, so what leads to fewer is
kept below what the next spends at the least. This rests on f_G having no fixed price: two runs of it cost what one run
on the frames of both costs, as they do in every bundle that `export` writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from avgn_edge.bundle.calibration_tables import OperatingPoint
from avgn_edge.runtime.budget import DECODE, Ledger, Run

if TYPE_CHECKING:
    from avgn_edge.runtime.strategy import Strategy

LEAD = 1
"""Glances of a budget that does not reach T_G of them."""
LOOK = (Run("spatial"), Run("local_encoder"), Run("classifier"))
GLANCE = (Run(DECODE), Run("global_encoder"))


@dataclass(frozen=True)
class Plan:
    """How many glances to take, and how many looks at most; no looks means an answer from the auxiliary heads."""

    glances: int
    looks: int
    most_macs: int | None = None
    """What the clip must not exceed; None: what its budget says."""


def look_runs(*, glanced: bool) -> tuple[Run, ...]:
    """The runs of one look: a salient moment that was not glanced at pays for its own global encoding."""
    return LOOK if glanced else (*GLANCE, *LOOK)


def plan(
    ledger: Ledger, moments: int, glances: int, looks: int, points: Sequence[OperatingPoint] = (), macs: int = 0
) -> Plan:
    """Divide what is left in the ledger after listening; `glances` is T_G and `looks` is k.

    `points` are the operating points without thresholds, by rising cost, and `macs` the limit to look up in them.
    """
    looked_up = _looked_up(ledger, moments, points, macs)
    if looked_up is not None:
        return looked_up
    all_glances = (*_glances(glances), Run("saliency"))
    if ledger.affords(*all_glances, *look_runs(glanced=glances == moments)):
        return Plan(glances, looks)
    for count in range(min(LEAD, glances), -1, -1):
        if ledger.affords(*_glances(count), Run("saliency"), *look_runs(glanced=False)):
            return Plan(count, looks, ledger.spent_macs + ledger.price(*all_glances, *LOOK))
    for count in range(glances, 0, -1):
        if ledger.affords(*_glances(count)):
            return Plan(count, 0)
    return Plan(0, 0)


def plan_of(strategy: Strategy, ledger: Ledger, moments: int) -> Plan:
    """What a strategy comes to with what is left in the ledger after listening."""
    return plan(ledger, moments, strategy.glances, strategy.looks, strategy.points, strategy.options.budget.macs or 0)


def _looked_up(ledger: Ledger, moments: int, points: Sequence[OperatingPoint], macs: int) -> Plan | None:
    """The plan of the dearest operating point within the limit that buys a look; None where none does."""
    for at, point in reversed(list(enumerate(points))):
        first = look_runs(glanced=point.glances == moments)
        if point.macs <= macs and ledger.affords(*_glances(point.glances), Run("saliency"), *first):
            return Plan(point.glances, point.looks, _most(ledger, moments, points[at:]))
    return None


def _most(ledger: Ledger, moments: int, points: Sequence[OperatingPoint]) -> int | None:
    """What the first of `points` may spend, so that none of the others, with more glances, spends less.

    A clip ends at most one look short of its limit, or with its looks used up, on moments that were glanced at.
    """
    more = [other for other, one in zip(points[1:], points, strict=False) if other.glances > one.glances]
    one_look = ledger.price(*GLANCE, *LOOK)
    most: int | None = None
    for one, following in reversed(list(zip((points[0], *more), more, strict=False))):
        used_up = ledger.price(*_glances(following.glances), Run("saliency"), *(LOOK * following.looks))
        least = min(following.macs - one_look, ledger.spent_macs + used_up)
        least = least if most is None else min(least, most - one_look)
        first = look_runs(glanced=one.glances == moments)
        most = max(least, ledger.spent_macs + ledger.price(*_glances(one.glances), Run("saliency"), *first))
    return most


def _glances(count: int) -> tuple[Run, ...]:
    return (Run(DECODE, count), Run("global_encoder", count)) if count else ()
