"""Ctrl-C and SIGTERM during a command: they end it, but never in the middle of a line."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Final, NoReturn

from avgn_edge.signals import Listening

AGAIN_S: Final = 0.5


class Interruptible(Listening):
    """While it is entered, each of the signals raises KeyboardInterrupt; while something is `held`, after that.

    One that comes when another is waiting raises at once: what is held may wait for a reader that does not read. For a
    signal that is ignored nothing changes. Until it is `caught`, on its way, or the block is left, it is raised again
    every half second: a library in C may drop an exception that comes while it runs, as PyAV's checks for errors do.
    """

    def __init__(self) -> None:
        super().__init__()
        self._holding = self._asked = self._over = self._reminded = False
        self._number: int = signal.SIGINT
        self._reminder: threading.Timer | None = None

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
            self._interrupt()

    def heard(self) -> None:
        """Raise KeyboardInterrupt, now or when nothing is held."""
        if self._holding and not self._asked:
            self._asked = True
            return
        self._interrupt()

    def caught(self) -> None:
        """Raise it no more: whoever calls this is about to end."""
        if self._reminder is not None:
            self._reminder.cancel()
            self._reminder.join()
        self._reminder, self._reminded = None, False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        self.caught()
        super().__exit__(kind, error, trace)

    def _came(self, number: int, frame: FrameType | None) -> None:
        if self._over:
            return
        if self._reminded:  # it is the reminder, not another signal
            self._reminded, self._reminder = False, None
            if isinstance(sys.exc_info()[1], KeyboardInterrupt):  # on its way: what is half done is being taken away
                self._remind()
                return
            self._interrupt()
        self._number = number
        super()._came(number, frame)

    def _interrupt(self) -> NoReturn:
        self._remind()
        raise KeyboardInterrupt

    def _remind(self) -> None:
        def again() -> None:
            self._reminded = True
            if hasattr(signal, "pthread_kill"):  # which ends a sleep as well
                signal.pthread_kill(threading.main_thread().ident or 0, self._number)
            else:  # Windows
                _thread.interrupt_main(signal.Signals(self._number))

        if self._reminder is None:
            self._reminder = threading.Timer(AGAIN_S, again)
            self._reminder.daemon = True
            self._reminder.start()
