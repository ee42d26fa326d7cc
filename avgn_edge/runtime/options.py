"""What one classification is asked for, checked when the call is made: nothing is decoded for a wrong one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from avgn_edge._base import arguments
from avgn_edge.runtime.budget import Budget

Sampling = Literal["cheap", "centre"]


@dataclass(frozen=True)
class Options:
    """The options of `Recognizer.classify`, read once and handed through; None is the bundle's own, or not asked for.

    Make one with `of`, which checks. What depends on the bundle, `Recognizer.strategy` checks.
    """

    budget: Budget = Budget()  # noqa: RUF009 - frozen
    """The most a clip may cost."""
    top: int = 5
    """Classes to list."""
    sampling: Sampling = "cheap"
    """Which frame of each moment is taken."""
    glances: int | None = None
    """T_G."""
    looks: int | None = None
    """k."""
    exit_risk: float | None = None
    """The share of clips in which stopping early may change the answer."""
    average: Budget | None = None
    """The compute to spend on a clip in the mean."""

    @classmethod
    def of(
        cls,
        budget: str | Budget | None = None,
        *,
        top: int = 5,
        sampling: Sampling = "cheap",
        glances: int | None = None,
        looks: int | None = None,
        exit_risk: float | None = None,
        average: str | Budget | None = None,
    ) -> Options:
        """Check and read what a caller asks for.

        ArgumentError for what is of another type or out of range, BudgetError for a budget that cannot be read.
        """
        return cls(
            Budget.parse(budget),
            arguments.whole("top", top, 1),
            arguments.choice("sampling", sampling, get_args(Sampling)),
            None if glances is None else arguments.whole("glances", glances, 0),
            None if looks is None else arguments.whole("looks", looks, 1),
            None if exit_risk is None else arguments.number("exit_risk", exit_risk),
            None if average is None else Budget.parse(average, "average"),
        )
