"""What a budget buys: how many glances, and whether looks follow them (AVGN, 3.5).

More budget never spends less and never looks less. Glances come first, up to T_G, and as long as they are fewer only
one look follows them: the saliency of another number of glances is another order of looks, in which more looks might
cost less. (Glances may become fewer, once: where the budget begins to reach a look.) This rests on f_G having no fixed
price: two runs of it cost what one run on the frames of both costs, as they do in every bundle that `export` writes.
"""

from __future__ import annotations

from dataclasses import dataclass

from avgn_edge.runtime.ledger import DECODE, Ledger, Run

LOOK = (Run("spatial"), Run("local_encoder"), Run("classifier"))
GLANCE = (Run(DECODE), Run("global_encoder"))


@dataclass(frozen=True)
class Plan:
    """How many glances to take, and how many looks at most; no looks means an answer from the auxiliary heads."""

    glances: int
    looks: int


def look_runs(*, glanced: bool) -> tuple[Run, ...]:
    """The runs of one look: a salient moment that was not glanced at pays for its own global encoding."""
    return LOOK if glanced else (*GLANCE, *LOOK)


def plan(ledger: Ledger, moments: int, glances: int, looks: int) -> Plan:
    """Divide what is left in the ledger after listening; `glances` is T_G and `looks` is k."""
    for count in range(glances, -1, -1):
        first_look = look_runs(glanced=count == moments)
        if ledger.affords(*_glances(count), Run("saliency"), *first_look):
            return Plan(count, looks if count == glances else 1)
    for count in range(glances, 0, -1):
        if ledger.affords(*_glances(count)):
            return Plan(count, 0)
    return Plan(0, 0)


def _glances(count: int) -> tuple[Run, ...]:
    return (Run(DECODE, count), Run("global_encoder", count)) if count else ()
