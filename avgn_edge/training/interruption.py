"""Ctrl-C and SIGTERM, which end training after the step that runs, and not in the middle of it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """While it is entered, remembers that a signal came, and calls `tell`; a second one raises KeyboardInterrupt.

    `patient`: none raises. torchrun passes on what the terminal has sent already, so that each comes twice.
    Outside the main thread, where signals cannot be had, it remembers nothing.
    """

    def __init__(self, tell: Callable[[], None], *, patient: bool = False) -> None:
        self.asked = False
        self._tell = tell
        self._patient = patient
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._remember) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def _remember(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked and not self._patient:
            raise KeyboardInterrupt
        if not self.asked:
            self.asked = True
            self._tell()
