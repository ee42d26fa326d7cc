"""Ctrl-C and SIGTERM, which end training after the step that runs, and not in the middle of it."""

from __future__ import annotations

from collections.abc import Callable

from avgn_edge.signals import Listening


class Interruption(Listening):
    """While it is entered, remembers that a signal came, and calls `tell`; a second one raises KeyboardInterrupt.

    `patient`: none raises. torchrun passes on what the terminal has sent already, so that each comes twice.
    One that is ignored stays so, and outside the main thread, where signals cannot be had, it remembers nothing.
    """

    def __init__(self, tell: Callable[[], None], *, patient: bool = False) -> None:
        super().__init__()
        self.asked = False
        self._tell = tell
        self._patient = patient

    def heard(self) -> None:
        """Remember it."""
        if self.asked and not self._patient:
            raise KeyboardInterrupt
        if not self.asked:
            self.asked = True
            self._tell()
