"""What one classification is asked for, checked when the call is made: nothing is decoded for a wrong one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from avgn_edge import arguments
from avgn_edge.runtime.budget import Budget

Sampling = Literal["cheap", "centre"]


@dataclass(frozen=True)
class Options:
    """The options of `Recognizer.classify`; None is the bundle's own, or not asked for."""

    budget: Budget
    top: int = 5
    sampling: Sampling = "cheap"
    glances: int | None = None
    looks: int | None = None
    exit_risk: float | None = None
    average: Budget | None = None

    @classmethod
    def checked(
        cls,
        moments: int,
        budget: str | Budget | None,
        *,
        top: int = 5,
        sampling: Sampling = "cheap",
        glances: int | None = None,
        looks: int | None = None,
        exit_risk: float | None = None,
        average: str | Budget | None = None,
    ) -> Options:
        """Check the options for a bundle of so many moments.

        ArgumentError for one that is of another type or out of range, BudgetError for a budget that cannot be read.
        """
        return cls(
            Budget.parse(budget),
            arguments.whole("top", top, 1),
            arguments.choice("sampling", sampling, get_args(Sampling)),
            None if glances is None else arguments.whole("glances", glances, 0, moments),
            None if looks is None else arguments.whole("looks", looks, 1, moments),
            None if exit_risk is None else arguments.number("exit_risk", exit_risk),
            None if average is None else Budget.parse(average, "average"),
        )
