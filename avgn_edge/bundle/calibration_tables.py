"""What calibration leaves in a bundle: when to stop, measured on held-out clips, and a record of how it went.

An answer comes in steps: 0 after listening, 1 after the glances, 2 and on after each look. A table holds for one number
of glances (T_G), because what an answer's confidence is worth depends on what it has seen.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Literal, TypeAlias, get_args

from avgn_edge.bundle.strict_json import (
    MAX_INTEGER,
    MAY_BE_MISSING,
    FieldError,
    JsonValue,
    Keys,
    Length,
    OneOf,
    Within,
    shown,
)

LISTENED, GLANCED, FIRST_LOOK = 0, 1, 2
"""Steps of an answer."""
MAX_STEPS = 1024 + FIRST_LOOK
MAX_TABLES = 64
MAX_ROWS = 1000
MAX_CLIPS = 10_000_000
MAX_MACS = 10**15
MAX_TEMPERATURE = 1000.0
MAX_DEPTH = 16
"""Levels of lists and objects inside a record."""
MAX_VALUES = 200_000
"""Values inside a record."""

Precision: TypeAlias = Literal["fp32", "fp16", "int8"]
Share: TypeAlias = Annotated[float, Within(0.0, 1.0)]
Macs: TypeAlias = Annotated[int, Within(0, MAX_MACS)]
SomeMacs: TypeAlias = Annotated[int, Within(1, MAX_MACS)]
Count: TypeAlias = Annotated[int, Within(0, MAX_STEPS)]


@dataclass(frozen=True)
class RiskRow:
    """What stopping at one confidence did to the calibration clips.

    `disagreements` counts the clips that stopped early with another answer than the full network's.
    """

    confidence: Share
    disagreements: Annotated[int, Within(0, MAX_CLIPS)]
    mean_macs: Macs


@dataclass(frozen=True)
class ExitTable:
    """How sure answers are worth stopping at, of one precision and one number of glances."""

    glances: Count
    temperatures: Annotated[
        tuple[Annotated[float, Within(1 / MAX_TEMPERATURE, MAX_TEMPERATURE)], ...], Length(FIRST_LOOK + 1, MAX_STEPS)
    ]
    """By which each step's logits are divided, so that its scores are shares that come true (temperature scaling)."""
    clips: Annotated[int, Within(1, MAX_CLIPS)]
    """How many calibration clips the risk was counted on."""
    full_macs: SomeMacs
    """What these clips cost in the mean without stopping early."""
    risk: Annotated[tuple[RiskRow, ...], Length(0, MAX_ROWS)]
    """From the highest confidence to the lowest."""

    def validate(self) -> None:
        """Refuse rows that are not in order, or that count more clips than there were."""
        confidences = [row.confidence for row in self.risk]
        if confidences != sorted(set(confidences), reverse=True):
            raise FieldError("its confidences do not fall from row to row", ".risk")
        if max((row.disagreements for row in self.risk), default=0) > self.clips:
            raise FieldError("more disagreements than clips", ".risk")


def _rising(tables: tuple[ExitTable, ...]) -> str | None:
    falls = any(later.glances <= sooner.glances for sooner, later in pairwise(tables))
    return "its numbers of glances do not rise from table to table" if falls else None


@dataclass(frozen=True)
class ExitSettings:
    """When the answer is sure enough to stop.

    `confidence` is a score in [0, 1] at which the looks stop, None for never. `tables` is precision → a table for each
    number of glances that was calibrated; a bundle that was never calibrated has none.
    """

    confidence: Share | None = None
    tables: Annotated[
        Mapping[str, Annotated[tuple[ExitTable, ...], Length(1, MAX_TABLES), _rising]],
        Keys(get_args(Precision)),
        MAY_BE_MISSING,
    ] = field(default_factory=dict)


@dataclass(frozen=True)
class OperatingPoint:
    """What did best on the calibration clips at one cost.

    With `thresholds` the cost is a mean over clips, and a step's answer that reaches its threshold ends its clip
    (above 1.0: never). Without, it is what no clip may exceed, and how answers stop is left to the exit settings.
    """

    precision: Annotated[str, OneOf(get_args(Precision))]
    macs: SomeMacs
    """The cost that is asked for."""
    glances: Count
    looks: Annotated[int, Within(1, MAX_STEPS)]
    thresholds: Annotated[tuple[Annotated[float, Within(0.0, 2.0)], ...], Length(FIRST_LOOK + 1, MAX_STEPS)] | None
    top1: Share
    mean_macs: SomeMacs


def _bounded(record: Mapping[str, JsonValue]) -> str | None:
    """Rule: any JSON of bounded size and depth, with finite numbers."""
    todo: list[tuple[object, int]] = [(record, 1)]
    seen = 0
    while todo:
        item, depth = todo.pop()
        seen += 1
        if (why := _fault(item)) is not None:
            return why
        if isinstance(item, dict | list):
            if depth > MAX_DEPTH or seen + len(todo) + len(item) > MAX_VALUES:
                return f"nested deeper than {MAX_DEPTH}, or more than {MAX_VALUES} values"
            todo.extend((child, depth + 1) for child in (item.values() if isinstance(item, dict) else item))
    return None


def _fault(item: object) -> str | None:
    """Say why a value of a record is refused, but for what is inside it."""
    if isinstance(item, float) and not math.isfinite(item):
        return f"{item} is not a finite number"
    if isinstance(item, int) and abs(item) > MAX_INTEGER:
        return "an integer of more than 64 bits"
    for text in (item,) if isinstance(item, str) else item if isinstance(item, dict) else ():
        if not isinstance(text, str):
            return "a field's name is not a string"
        if any("\ud800" <= character <= "\udfff" for character in text):  # halves of characters have no UTF-8
            return f"{shown(text)} is not text"
    if item is None or isinstance(item, dict | list | str | float | int):
        return None
    return f"a {type(item).__name__} is not JSON"


Record: TypeAlias = Annotated[Mapping[str, JsonValue], _bounded]
"""Any JSON object of bounded size: on what, and how, a bundle was calibrated."""
