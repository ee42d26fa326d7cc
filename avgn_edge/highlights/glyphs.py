"""Ten digits and a few marks, five pixels by seven: what a contact sheet says beside its pictures, without a font."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

WIDTH: Final = 5
HEIGHT: Final = 7
_ROWS: Final = {
    "0": "01110 10001 10011 10101 11001 10001 01110",
    "1": "00100 01100 00100 00100 00100 00100 01110",
    "2": "01110 10001 00001 00110 01000 10000 11111",
    "3": "11110 00001 00001 01110 00001 00001 11110",
    "4": "00010 00110 01010 10010 11111 00010 00010",
    "5": "11111 10000 11110 00001 00001 10001 01110",
    "6": "00110 01000 10000 11110 10001 10001 01110",
    "7": "11111 00001 00010 00100 01000 01000 01000",
    "8": "01110 10001 10001 01110 10001 10001 01110",
    "9": "01110 10001 10001 01111 00001 00010 01100",
    ":": "00000 00100 00100 00000 00100 00100 00000",
    ".": "00000 00000 00000 00000 00000 01100 01100",
    "#": "01010 01010 11111 01010 11111 01010 01010",
    "-": "00000 00000 00000 11111 00000 00000 00000",
    " ": "00000 00000 00000 00000 00000 00000 00000",
}


def draw(text: str, scale: int) -> NDArray[np.bool_]:
    """Return `text` as ink, bool [7 · scale, 6 · scale · len(text)]; what has no glyph is left blank."""
    letters = [np.pad(_glyph(character), ((0, 0), (0, 1))) for character in text] or [_glyph(" ")]
    return np.asarray(np.hstack(letters).repeat(scale, axis=0).repeat(scale, axis=1), dtype=np.bool_)


@cache
def _glyph(character: str) -> NDArray[np.bool_]:
    rows = _ROWS.get(character, _ROWS[" "]).split()
    return np.array([[pixel == "1" for pixel in row] for row in rows], dtype=np.bool_)
