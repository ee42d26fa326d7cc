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
    """A context in which SIGINT and SIGTERM call `heard`, and nothing else.

    Only the first SIGTERM counts, because `timeout` sends one to a process and then one to all of its group. Every
    SIGINT does: Ctrl-C twice is a person in a hurry. A signal that is ignored stays so, as under nohup or a shell's &,
    and outside the main thread, which alone gets signals, nothing changes.
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}
        self._terminated = False

    def heard(self) -> None:
        """React to a signal."""
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
    """A context that keeps the signals for good from processes started in it; this process gets them afterwards.

    A terminal, systemd and SLURM send signals to all processes of a job. Its workers have to live on, because the first
    process finishes what is under way and then ends them itself. Each worker calls `obey_parent_alone`.
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
