"""Text of anybody's as one line that steers no terminal and breaks no page."""

from __future__ import annotations

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
