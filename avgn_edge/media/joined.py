"""Recordings that were joined byte by byte (`cat a.ts b.ts`): FFmpeg and libsndfile tell the length of one of them."""

from __future__ import annotations

import contextlib
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, Final

import av.error

if TYPE_CHECKING:
    from av.container import InputContainer

TIMED_FORMATS: Final = frozenset({"mpegts", "mpeg"})
"""Formats without an index, whose packets say where in time they belong: those of a second recording begin again."""
SAMPLES: Final = 12
"""Places of the file at which a time is read: half a millisecond each."""
HALVINGS: Final = 6
BACK_S: Final = 1.0
"""Times that fall by less are the order of B-frames, or jitter."""
PACKETS: Final = 2_000
"""Packets that are read in search of one with a time."""
_PAGE: Final = b"OggS\0"
_FIRST_PAGE: Final = b"OggS\0\x02"
_BLOCK: Final = 2**20


def times_begin_again(container: InputContainer, number: int, size: int) -> float | None:
    """Return after which share of the file, about, the times of stream `number` begin again; None where they rise.

    `size` is the file's, in bytes. A recording shorter than a `SAMPLES`th of the file may not be noticed. Reads
    anywhere in `container`, which is of one of the `TIMED_FORMATS`.
    """
    latest_s = float("-inf")
    with contextlib.suppress(av.error.FFmpegError):
        for sample in range(SAMPLES):
            time_s = _time_s(container, number, size * sample // SAMPLES)
            if time_s < latest_s - BACK_S:
                before, after = size * (sample - 1) // SAMPLES, size * sample // SAMPLES
                for _ in range(HALVINGS):
                    middle = (before + after) // 2
                    falls = _time_s(container, number, middle) < latest_s - BACK_S
                    before, after = (before, middle) if falls else (middle, after)
                return after / size
            latest_s = max(latest_s, time_s)
    return None


def _time_s(container: InputContainer, number: int, position: int) -> float:
    """Return the time of the first packet of stream `number` from `position` in the file on, inf without one."""
    container.seek(position, unsupported_byte_offset=True)
    for packet in islice(container.demux(), PACKETS):
        if packet.stream.index == number and packet.dts is not None and packet.time_base is not None:
            return float(packet.dts * packet.time_base)
    return float("inf")


def next_link(file: BinaryIO, size: int) -> float | None:
    """Return after which share of an Ogg file, of `size` bytes, a second link of its chain begins; None without one."""
    position = 0
    while (header := _header(file, position))[:6] == _FIRST_PAGE:  # one for each stream of the first link
        position += len(header) + sum(header[27:])
    file.seek(position)
    rest = b""
    while block := file.read(_BLOCK):
        found = (rest + block).find(_FIRST_PAGE)
        if found >= 0:
            return (position - len(rest) + found) / size
        position += len(block)
        rest = block[-len(_FIRST_PAGE) + 1 :]
    return None


def _header(file: BinaryIO, position: int) -> bytes:
    """Return the header of the page at `position`: 27 bytes, and one for the length of each of its segments."""
    file.seek(position)
    fixed = file.read(27)
    return fixed + (file.read(fixed[26]) if fixed.startswith(_PAGE) and len(fixed) == 27 else b"")
