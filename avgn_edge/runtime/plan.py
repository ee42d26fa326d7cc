"""What a budget buys: how many glances, and whether looks follow them (AVGN, 3.5).

A budget that reaches T_G glances and a look takes them, and more looks as long as it lasts. A smaller one leads with a
single glance and spends the rest on looks: at the same cost a few looks, each with its own glance, were worth more than
more glances and one look (docs/results.md; the paper's cheapest points have T_G = 2 and early exit too).

More budget never spends less. The two ways choose other moments, so the second is kept below what the first spends at
the least. This rests on f_G having no fixed price: two runs of it cost what one run on the frames of both costs, as
they do in every bundle that `export` writes.
"""

from __future__ import annotations

from dataclasses import dataclass

from avgn_edge.runtime.ledger import DECODE, Ledger, Run

LEAD = 1
"""Glances of a budget that does not reach T_G of them."""
LOOK = (Run("spatial"), Run("local_encoder"), Run("classifier"))
GLANCE = (Run(DECODE), Run("global_encoder"))


@dataclass(frozen=True)
class Plan:
    """How many glances to take, and how many looks at most; no looks means an answer from the auxiliary heads."""

    glances: int
    looks: int
    at_most: tuple[Run, ...] | None = None
    """Runs whose price all that follows must not exceed; None: what the budget has left."""


def look_runs(*, glanced: bool) -> tuple[Run, ...]:
    """The runs of one look: a salient moment that was not glanced at pays for its own global encoding."""
    return LOOK if glanced else (*GLANCE, *LOOK)


def plan(ledger: Ledger, moments: int, glances: int, looks: int) -> Plan:
    """Divide what is left in the ledger after listening; `glances` is T_G and `looks` is k."""
    all_glances = (*_glances(glances), Run("saliency"))
    if ledger.affords(*all_glances, *look_runs(glanced=glances == moments)):
        return Plan(glances, looks)
    for count in range(min(LEAD, glances), -1, -1):
        if ledger.affords(*_glances(count), Run("saliency"), *look_runs(glanced=False)):
            return Plan(count, looks, (*all_glances, *LOOK))
    for count in range(glances, 0, -1):
        if ledger.affords(*_glances(count)):
            return Plan(count, 0)
    return Plan(0, 0)


def _glances(count: int) -> tuple[Run, ...]:
    return (Run(DECODE, count), Run("global_encoder", count)) if count else ()
