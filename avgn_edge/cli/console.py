"""Lines out: data on stdout, flushed a line at a time; errors, warnings and notes on stderr, one line each."""

from __future__ import annotations

import _thread
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Final, NoReturn

from avgn_edge._base.errors import AvgnEdgeError
from avgn_edge._base.signals import Listening
from avgn_edge._base.text import printable

FAILED = 2
INTERRUPTED = 130
BROKEN_PIPE = 141
"""Exit codes; 1 is for clips or a source that failed while the command itself went well."""


def prepare() -> None:
    """Let no character stop a line: what the terminal's encoding lacks is escaped."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # a replaced stream may be any object
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def one_line(error: BaseException) -> str:
    """Return "what: why: what to do", whatever the error is."""
    if isinstance(error, AvgnEdgeError):
        # Not str(error): it squeezes spaces, and a file's name may hold two.
        parts = (error.what, *(" ".join(part.split()) for part in (error.why, error.what_to_do)))
        return ": ".join(map(printable, parts))
    if isinstance(error, MemoryError):
        return "memory: there is not enough of it: close other programs, or do less at once"
    if isinstance(error, OSError) and error.strerror:  # the machine's doing, not a bug
        where = error.filename if isinstance(error.filename, str) else "this machine"
        return printable(f"{where}: {error.strerror}: check the path, its permissions and the space that is left")
    text = " ".join(str(error).split())[:300]
    what = f"{type(error).__name__} ({text})" if text else type(error).__name__
    return printable(f"{what}: this is a bug: run again with --debug and report it")


def data(line: str) -> None:
    """Write one line of data; AvgnEdgeError if it cannot be written, BrokenPipeError if nobody reads on."""
    if sys.stdout is None:
        raise _no_output("it is closed")
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _no_output(error.strerror or str(error)) from error


def data_lines(lines: Iterable[str]) -> None:
    """Write lines of data, each as it comes."""
    for line in lines:
        data(line)


def json_line(value: object) -> None:
    """Write a value as one line of JSON: ASCII, so that it is the same in every locale."""
    data(json.dumps(value, allow_nan=False))


def failure(error: BaseException, *, debug: bool) -> None:
    """Write an error on stderr, after its traceback with `debug`."""
    if debug:
        _write_error("".join(traceback.format_exception(error)).rstrip())
    _write_error(f"error: {one_line(error)}")


def clip_failure(clip: str, why: str, trace: str = "") -> None:
    """Write on stderr why a clip has no answer, after a traceback if there is one; the clip is named once."""
    if trace:
        _write_error(trace)
    name = printable(clip)
    _write_error(f"error: {why}" if name in why else f"error: {name}: {why}")


def warning(text: str) -> None:
    """Write a warning on stderr."""
    _write_error(f"warning: {printable(text)}")


def note(text: str) -> None:
    """Write a note on stderr."""
    _write_error(printable(text))


def abandon_output() -> None:
    """Send what is still buffered nowhere, so that the interpreter does not complain about it while it ends."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except OSError:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, stream.fileno())
            os.close(nothing)


def _write_error(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def _no_output(why: str) -> AvgnEdgeError:
    return AvgnEdgeError("standard output", f"it cannot be written ({why})", "send it somewhere else")


AGAIN_S: Final = 0.5


class Interruptible(Listening):
    """While it is entered, each of the signals raises KeyboardInterrupt; while something is `held`, after that.

    One that comes when another is waiting raises at once: what is held may wait for a reader that does not read. For a
    signal that is ignored nothing changes. Until it is `caught`, on its way, or the block is left, it is raised again
    every half second: a library in C may drop an exception that comes while it runs, as PyAV's checks for errors do.
    """

    def __init__(self) -> None:
        super().__init__()
        self._holding = self._pending = self._over = self._reminded = False
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
        if self._pending:
            self._pending = False
            self._interrupt()

    def heard(self) -> None:
        """Raise KeyboardInterrupt, now or when nothing is held."""
        if self._holding and not self._pending:
            self._pending = True
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
