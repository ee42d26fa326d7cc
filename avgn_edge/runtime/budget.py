"""What a clip may cost: `6gflops`, `250mflops`, `80ms`, `1.5s` or `none`. GFLOPs are 10^9 multiply-accumulates."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from avgn_edge.arguments import number, shown, whole
from avgn_edge.errors import ArgumentError, BudgetError

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
        """Read a budget; BudgetError for anything else. None is no limit; `name` is what an error calls it."""
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
