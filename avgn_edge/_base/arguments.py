"""Arguments of the Python API, checked where they come in: an `ArgumentError` says which one, and what is allowed."""

from __future__ import annotations

import math
import operator
import reprlib
from collections.abc import Sequence
from numbers import Real
from typing import NoReturn, TypeVar

from avgn_edge._base.errors import ArgumentError

T = TypeVar("T")
Text = TypeVar("Text", bound=str)


def refuse(name: str, value: object, why: str, what_to_do: str) -> NoReturn:
    """Raise the error for the argument `name`."""
    raise ArgumentError(f"{name}={shown(value)}", why, what_to_do)


def shown(value: object) -> str:
    """Return a short, one-line form of whatever was given."""
    try:
        return " ".join(reprlib.repr(value).split())
    except Exception:  # noqa: BLE001 - a caller's __repr__, or an integer too long to print
        return f"a {type(value).__name__}"


def whole(name: str, value: object, low: int, high: int | None = None) -> int:
    """Return a whole number, Python's or NumPy's but no bool, of `low` to `high` (None: without limit)."""
    allowed = f"{low} or more" if high is None else f"{low} to {high}"
    try:
        found = None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type] # or it says so
    except TypeError:
        found = None
    if found is None:
        refuse(name, value, "it is not a whole number", f"give {allowed}")
    if found < low or (high is not None and found > high):
        refuse(name, value, f"it must lie in {low}..{'' if high is None else high}", f"give {allowed}")
    return found


def number(name: str, value: object, low: float = -math.inf, high: float = math.inf) -> float:
    """Return a finite number of `low` to `high`, both included, as a float."""
    where = "the finite numbers" if low == -math.inf else f"{low:g}..{'' if high == math.inf else f'{high:g}'}"
    if isinstance(value, bool) or not isinstance(value, Real):
        refuse(name, value, "it is not a number", f"give one in {where}")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not (math.isfinite(found) and low <= found <= high):
        refuse(name, value, f"it must lie in {where}", "give a number in there")
    return found


def choice(name: str, value: object, allowed: Sequence[Text]) -> Text:
    """Return `value` if it is one of `allowed`."""
    for one in allowed:
        if isinstance(value, str) and value == one:
            return one
    refuse(name, value, "there is no such choice", f"give {' or '.join(map(repr, allowed))}")


def instance(name: str, value: object, kind: type[T]) -> T:
    """Return `value` if it is of this class."""
    if not isinstance(value, kind):
        refuse(name, value, f"it is not of {kind.__name__}", f"give an object of avgn_edge's {kind.__name__}")
    return value
