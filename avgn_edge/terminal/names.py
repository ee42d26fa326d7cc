"""Names on standard input, read as they come: a list of a million is never held."""

from __future__ import annotations

import os
from collections.abc import Iterator

from avgn_edge.errors import DataError

STDIN = 0
BLOCK = 1 << 16
LONGEST = 1 << 16
"""Bytes. No system has paths as long; a video that was piped in by mistake is told from a list by it."""


class Names:
    """The names on an open file, a line each, or each ended by NUL where the first block that ends one holds a NUL.

    Empty ones are passed over. DataError where it cannot be read, or is no list of names.
    """

    def __init__(self, descriptor: int = STDIN) -> None:
        self._descriptor = descriptor
        self._separator: bytes | None = None
        self._begun = b""
        self._ended = False
        self.first: tuple[str, ...] = self._some()
        """What there was at once, at least one; empty: there are none at all."""

    def __iter__(self) -> Iterator[str]:
        """Yield the names after `first`."""
        while some := self._some():
            yield from some

    def _some(self) -> tuple[str, ...]:
        """Read until there is a name; none at the end."""
        while not self._ended:
            found = tuple(os.fsdecode(name) for name in self._split(self._read()) if name)
            if found:
                return found
            if len(self._begun) > LONGEST:
                why = f"a name of more than {LONGEST >> 10} KiB"
                raise DataError("standard input", why, "give the name of a clip a line")
        return ()

    def _read(self) -> bytes:
        try:
            return os.read(self._descriptor, BLOCK)
        except OSError as error:
            why = f"it cannot be read ({error.strerror})"
            raise DataError("standard input", why, "send it the name of a clip a line") from error

    def _split(self, data: bytes) -> list[bytes]:
        self._ended = not data
        data = self._begun + data
        if self._separator is None:
            self._separator = b"\0" if b"\0" in data else b"\n" if self._ended or b"\n" in data else None
        if self._separator is None:
            self._begun = data
            return []
        *whole, self._begun = data.split(self._separator)
        if self._ended:
            whole.append(self._begun)
        return [name.rstrip(b"\r") for name in whole] if self._separator == b"\n" else whole
