"""Ctrl-C and SIGTERM: listened to for a while, and kept from worker processes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from typing_extensions import Self


SIGNALS = (signal.SIGINT, signal.SIGTERM)
PATIENCE_S: Final = 5.0
"""How often a worker process looks whether its parent still lives."""


class Listening:
    """While it is entered, each of the signals calls `heard` in place of what it did before; of SIGTERM only the first.

    Ctrl-C twice is a person in a hurry; `timeout` sends SIGTERM to a process and then to all of its group.
    Nothing changes outside the main thread, where signals cannot be had, nor for a signal that is ignored, as nohup and
    a shell's & have it.
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}
        self._terminated = False

    def heard(self) -> None:
        """What a signal does."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._came)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def _came(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGTERM:
            if self._terminated:
                return
            self._terminated = True
        self.heard()


@contextmanager
def kept_from_children() -> Iterator[None]:
    """Keep the signals from processes that are started meanwhile, for good; this one gets them afterwards.

    A terminal, systemd or SLURM send them to all processes of a job. Its workers have to live on: the first process
    finishes what is under way, and ends them itself. Each of them calls `obey_parent_alone`.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker  # noqa: PLC0415 - only who starts processes needs it

    resource_tracker.ensure_running()  # Python starts it with the first worker, and lets the signals in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def obey_parent_alone() -> None:
    """Make this worker process deaf to the signals, but for SIGTERM of its parent; it ends when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigtimedwait"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_await_end, args=(os.getppid(),), daemon=True).start()
    elif hasattr(signal, "pthread_sigmask"):  # macOS does not say whose signal it is: everybody's is obeyed
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _await_end(parent: int) -> None:
    while os.getppid() == parent:
        came = signal.sigtimedwait({signal.SIGTERM}, PATIENCE_S)
        if came is not None and came.si_pid == parent:
            break
    os._exit(1)
