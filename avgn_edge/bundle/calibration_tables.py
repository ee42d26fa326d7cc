"""What a bundle knows of stopping: a confidence, or tables that calibration measured on held-out clips.

An answer comes in steps: 0 after listening, 1 after the glances, 2 and on after each look. A table holds for one number
of glances (T_G), because what an answer's confidence is worth depends on what it has seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from avgn_edge.bundle import fields as check

if TYPE_CHECKING:
    from collections.abc import Mapping


LISTENED, GLANCED, FIRST_LOOK = 0, 1, 2
"""Steps of an answer."""
MAX_STEPS = 1024 + FIRST_LOOK
MAX_TABLES = 64
MAX_ROWS = 1000
MAX_CLIPS = 10_000_000
MAX_MACS = 10**15
MAX_TEMPERATURE = 1000.0


@dataclass(frozen=True)
class RiskRow:
    """What stopping at one confidence did to the calibration clips.

    `disagreements` counts the clips that stopped early with another answer than the full network's.
    """

    confidence: float
    disagreements: int
    mean_macs: int

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return dict(vars(self))

    @classmethod
    def from_dict(cls, value: object, path: str) -> RiskRow:
        """Check and read the JSON form."""
        got = check.fields(value, path, ("confidence", "disagreements", "mean_macs"))
        return cls(
            check.number(got["confidence"], f"{path}.confidence", 0.0, 1.0),
            check.integer(got["disagreements"], f"{path}.disagreements", 0, MAX_CLIPS),
            check.integer(got["mean_macs"], f"{path}.mean_macs", 0, MAX_MACS),
        )


@dataclass(frozen=True)
class ExitTable:
    """How sure answers are worth stopping at, of one precision and one number of glances."""

    glances: int
    temperatures: tuple[float, ...]
    """By which each step's logits are divided, so that its scores are shares that come true (temperature scaling)."""
    clips: int
    """How many calibration clips the risk was counted on."""
    full_macs: int
    """What these clips cost in the mean without stopping early."""
    risk: tuple[RiskRow, ...]
    """From the highest confidence to the lowest."""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            **vars(self),
            "temperatures": list(self.temperatures),
            "risk": [row.to_dict() for row in self.risk],
        }

    @classmethod
    def from_dict(cls, value: object, path: str) -> ExitTable:
        """Check and read the JSON form."""
        got = check.fields(value, path, ("glances", "temperatures", "clips", "full_macs", "risk"))
        temperatures = check.sequence(got["temperatures"], f"{path}.temperatures", FIRST_LOOK + 1, MAX_STEPS)
        clips = check.integer(got["clips"], f"{path}.clips", 1, MAX_CLIPS)
        risk = tuple(
            RiskRow.from_dict(row, f"{path}.risk[{at}]")
            for at, row in enumerate(check.sequence(got["risk"], f"{path}.risk", 0, MAX_ROWS))
        )
        if any(later.confidence >= sooner.confidence for sooner, later in pairwise(risk)):
            check.refuse(f"{path}.risk", "its confidences do not fall from row to row")
        if any(row.disagreements > clips for row in risk):
            check.refuse(f"{path}.risk", "more disagreements than clips")
        return cls(
            glances=check.integer(got["glances"], f"{path}.glances", 0, MAX_STEPS),
            temperatures=tuple(
                check.number(item, f"{path}.temperatures[{at}]", 1 / MAX_TEMPERATURE, MAX_TEMPERATURE)
                for at, item in enumerate(temperatures)
            ),
            clips=clips,
            full_macs=check.integer(got["full_macs"], f"{path}.full_macs", 1, MAX_MACS),
            risk=risk,
        )


@dataclass(frozen=True)
class ExitSettings:
    """When the answer is sure enough to stop.

    `confidence` is a score in [0, 1] at which the looks stop, None for never. `tables` is precision → a table for each
    number of glances that was calibrated; a bundle that was never calibrated has none.
    """

    confidence: float | None = None
    tables: Mapping[str, tuple[ExitTable, ...]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        tables = {precision: [table.to_dict() for table in rows] for precision, rows in self.tables.items()}
        return {"confidence": self.confidence, "tables": tables}

    @classmethod
    def from_dict(cls, value: object, precisions: tuple[str, ...], path: str = "exits") -> ExitSettings:
        """Check and read the JSON form; a bundle written before there were tables has none."""
        got = check.fields(value, path, ("confidence",), ("tables",))
        confidence = got["confidence"]
        by_precision = check.fields(got.get("tables", {}), f"{path}.tables", (), precisions)
        return cls(
            None if confidence is None else check.number(confidence, f"{path}.confidence", 0.0, 1.0),
            {precision: _tables(rows, f"{path}.tables.{precision}") for precision, rows in by_precision.items()},
        )


@dataclass(frozen=True)
class OperatingPoint:
    """What did best on the calibration clips at one cost.

    With `thresholds` the cost is a mean over clips, and a step's answer that reaches its threshold ends its clip
    (above 1.0: never). Without, it is what no clip may exceed, and how answers stop is left to the exit settings.
    """

    precision: str
    macs: int
    """The cost that is asked for."""
    glances: int
    looks: int
    thresholds: tuple[float, ...] | None
    top1: float
    mean_macs: int

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {**vars(self), "thresholds": None if self.thresholds is None else list(self.thresholds)}

    @classmethod
    def from_dict(cls, value: object, precisions: tuple[str, ...], path: str) -> OperatingPoint:
        """Check and read the JSON form."""
        names = ("precision", "macs", "glances", "looks", "thresholds", "top1", "mean_macs")
        got = check.fields(value, path, names)
        thresholds = got["thresholds"]
        if thresholds is not None:
            thresholds = tuple(
                check.number(item, f"{path}.thresholds[{at}]", 0.0, 2.0)
                for at, item in enumerate(check.sequence(thresholds, f"{path}.thresholds", FIRST_LOOK + 1, MAX_STEPS))
            )
        return cls(
            precision=check.choice(got["precision"], f"{path}.precision", precisions),
            macs=check.integer(got["macs"], f"{path}.macs", 1, MAX_MACS),
            glances=check.integer(got["glances"], f"{path}.glances", 0, MAX_STEPS),
            looks=check.integer(got["looks"], f"{path}.looks", 1, MAX_STEPS),
            thresholds=thresholds,
            top1=check.number(got["top1"], f"{path}.top1", 0.0, 1.0),
            mean_macs=check.integer(got["mean_macs"], f"{path}.mean_macs", 1, MAX_MACS),
        )


def _tables(value: object, path: str) -> tuple[ExitTable, ...]:
    rows = check.sequence(value, path, 1, MAX_TABLES)
    tables = tuple(ExitTable.from_dict(row, f"{path}[{at}]") for at, row in enumerate(rows))
    if any(later.glances <= sooner.glances for sooner, later in pairwise(tables)):
        check.refuse(path, "its numbers of glances do not rise from table to table")
    return tables
