"""Strict reading of untrusted JSON: every value is checked, every complaint names the field it is about."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, TypeAlias

from avgn_edge._base.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn


JsonValue: TypeAlias = "bool | int | float | str | list[Any] | dict[str, Any] | None"

MAX_DEPTH = 16
"""Levels of lists and objects inside a free-form record."""
MAX_VALUES = 200_000
"""Values inside a free-form record."""
MAX_INTEGER = 2**63 - 1
MAX_DIGITS = 20
MAX_SHOWN = 60
"""Characters of a bad value that an error repeats."""


def refuse(path: str, why: str) -> NoReturn:
    """Raise the error for the field at `path`."""
    raise BundleError(f"manifest.json: {path}", why, "export the bundle again with this version of avgn-edge")


def shown(value: object) -> str:
    """Return a short, one-line, printable form of a value that may be hostile."""
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int):  # the digits of a huge one cannot even be printed
        return str(value) if abs(value) <= MAX_INTEGER else "an integer of more than 64 bits"
    if isinstance(value, str):
        return ascii(value[:MAX_SHOWN]) + ("…" if len(value) > MAX_SHOWN else "")
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else f"a {type(value).__name__}"


def parse_json(text: bytes, path: str) -> object:
    """Parse JSON as the standard has it: no NaN, no repeated keys, no bottomless nesting."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            refuse(path, "a field is given twice in one object")
        return result

    def whole(digits: str) -> int:
        if len(digits) > MAX_DIGITS:  # converting millions of digits takes minutes on older Pythons
            refuse(path, "an integer of more than 64 bits")
        return int(digits)

    def constant(name: str) -> NoReturn:
        refuse(path, f"{name} is not JSON")

    try:
        return json.loads(text.decode("utf-8"), object_pairs_hook=unique, parse_int=whole, parse_constant=constant)
    except BundleError:
        raise
    except RecursionError:
        refuse(path, "nested too deeply")
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
        refuse(path, f"not JSON ({error})")


def fields(value: object, path: str, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the object `value` when it has every required field, and nothing unknown."""
    if not isinstance(value, dict):
        refuse(path, f"an object is needed, this is {shown(value)}")
    for name in required:
        if name not in value:
            refuse(f"{path}.{name}", "missing")
    if len(value) == len(required):  # and all of those are there: a manifest has thousands of such objects
        return value
    known = set(required) | set(optional)
    for name in value:
        if not isinstance(name, str) or name not in known:
            refuse(f"{path}.{shown(name)}", "unknown field")
    return value


def integer(value: object, path: str, low: int, high: int) -> int:
    """Return an integer in [low, high]; a float or a bool is not one."""
    if isinstance(value, bool) or not isinstance(value, int):
        refuse(path, f"an integer is needed, this is {shown(value)}")
    if not low <= value <= high:
        refuse(path, f"{shown(value)} is outside {low} to {high}")
    return value


def number(value: object, path: str, low: float, high: float) -> float:
    """Return a finite number in [low, high]."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        refuse(path, f"a number is needed, this is {shown(value)}")
    if not low <= value <= high:  # NaN fails this, and so does infinity where the limits are finite
        refuse(path, f"{shown(value)} is outside {low} to {high}")
    return float(value)


def text(value: object, path: str, longest: int) -> str:
    """Return a string of 1 to `longest` printable characters, no line breaks, blank at neither end."""
    if not isinstance(value, str):
        refuse(path, f"a string is needed, this is {shown(value)}")
    if not 1 <= len(value) <= longest:
        refuse(path, f"{len(value)} characters, where 1 to {longest} are allowed")
    if not value.isprintable() or value != value.strip():
        refuse(path, f"{shown(value)} holds unprintable characters or blanks at an end")
    return value


def choice(value: object, path: str, allowed: tuple[str, ...]) -> str:
    """Return one of the allowed strings."""
    if not isinstance(value, str) or value not in allowed:
        refuse(path, f"{shown(value)} is not one of {', '.join(allowed)}")
    return value


def sequence(value: object, path: str, low: int, high: int) -> list[Any]:
    """Return a list of low to high elements, not yet checked."""
    if not isinstance(value, list):
        refuse(path, f"a list is needed, this is {shown(value)}")
    if not low <= len(value) <= high:
        refuse(path, f"{len(value)} elements, where {low} to {high} are allowed")
    return value


def mapping(value: object, path: str, check_key: Callable[[object, str], str], high: int) -> dict[str, Any]:
    """Return an object of at most `high` fields whose names pass `check_key`; its values are not yet checked."""
    if not isinstance(value, dict):
        refuse(path, f"an object is needed, this is {shown(value)}")
    if len(value) > high:
        refuse(path, f"{len(value)} fields, where at most {high} are allowed")
    return {check_key(key, f"{path}.{shown(key)}"): item for key, item in value.items()}


def record(value: object, path: str) -> Mapping[str, JsonValue]:
    """Return a free-form JSON object, of bounded size and depth, with finite numbers only."""
    if not isinstance(value, dict):
        refuse(path, f"an object is needed, this is {shown(value)}")
    todo: list[tuple[object, int]] = [(value, 1)]
    seen = 0
    while todo:
        item, depth = todo.pop()
        seen += 1
        _check_leaf(item, path)
        if isinstance(item, dict | list):
            if depth > MAX_DEPTH or seen + len(todo) + len(item) > MAX_VALUES:
                refuse(path, f"nested deeper than {MAX_DEPTH}, or more than {MAX_VALUES} values")
            todo.extend((child, depth + 1) for child in (item.values() if isinstance(item, dict) else item))
    return value


def _check_leaf(item: object, path: str) -> None:
    if isinstance(item, dict):
        for key in item:
            _check_string(key, path)
    elif isinstance(item, str):
        _check_string(item, path)
    elif isinstance(item, float):
        if not math.isfinite(item):
            refuse(path, f"{item} is not a finite number")
    elif isinstance(item, int):  # bool too
        if abs(item) > MAX_INTEGER:
            refuse(path, "an integer of more than 64 bits")
    elif not (item is None or isinstance(item, list)):
        refuse(path, f"a {type(item).__name__} is not JSON")


def _check_string(item: object, path: str) -> None:
    if not isinstance(item, str):
        refuse(path, "a field's name is not a string")
    if any("\ud800" <= character <= "\udfff" for character in item):  # halves of characters have no UTF-8
        refuse(path, f"{shown(item)} is not text")
