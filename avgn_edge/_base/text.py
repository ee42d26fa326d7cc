"""Text that comes from outside: escaped for printing, and checked as a label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

_SURROGATE_ESCAPES = range(0xDC80, 0xDD00)


def printable(text: str) -> str:
    """Escape what would break a line or steer a terminal, and the bytes of names that are not UTF-8."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    if ord(character) in _SURROGATE_ESCAPES:  # how Python carries a byte that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


Task = Literal["single-label", "multi-label"]
"""How many a clip may have."""
MOST: Final = 100_000
LONGEST: Final = 200


def fault(label: str) -> str | None:
    """Say why a label is refused; None for 1 to 200 printable characters without blanks at the ends."""
    if not label.strip():
        return "it is empty"
    if len(label) > LONGEST:
        return f"it has {len(label)} characters, where {LONGEST} are allowed"
    if not label.isprintable():
        unprintable = next(character for character in label if not character.isprintable())
        return f"it holds an unprintable character ({ascii(unprintable)[1:-1]})"
    return "there are blanks at an end of it" if label != label.strip() else None


def fault_of_list(labels: Sequence[str]) -> str | None:
    """Say why a network's labels are refused; None for 1 to 100,000 good ones, each given once."""
    if not 1 <= len(labels) <= MOST:
        return f"there are {len(labels)} labels, where 1 to {MOST} are allowed"
    for label in labels:
        if (why := fault(label)) is not None:
            return f"the label {label[:LONGEST]!a} cannot be one: {why}"
    return "a label is given twice" if len(set(labels)) < len(labels) else None
