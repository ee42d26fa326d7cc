"""Ctrl-C and SIGTERM, listened to for a while."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Listening:
    """While it is entered, each of the signals calls `heard` in place of what it did before.

    Outside the main thread, where signals cannot be had, nothing changes; nor, with `ignored` False, for a signal that
    is ignored, as nohup and a shell's & have it.
    """

    def __init__(self, *, ignored: bool) -> None:
        self._ignored = ignored
        self._before: dict[signal.Signals, Any] = {}

    def heard(self) -> None:
        """What a signal does."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if self._ignored or signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._came)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def _came(self, _number: int, _frame: FrameType | None) -> None:
        self.heard()
