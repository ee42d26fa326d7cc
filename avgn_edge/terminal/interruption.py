"""Ctrl-C and SIGTERM during a command: they end it, but never in the middle of a line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from avgn_edge.signals import Listening


class Interruptible(Listening):
    """While it is entered, each of the signals raises KeyboardInterrupt; while something is `held`, after that.

    One that comes when another is waiting raises at once: what is held may wait for a reader that does not read. For a
    signal that is ignored nothing changes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._holding = self._asked = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Do what is inside whole."""
        self._holding = True
        try:
            yield
        finally:
            self._holding = False
        if self._asked:
            self._asked = False
            raise KeyboardInterrupt

    def heard(self) -> None:
        """Raise KeyboardInterrupt, now or when nothing is held."""
        if self._holding and not self._asked:
            self._asked = True
            return
        raise KeyboardInterrupt
