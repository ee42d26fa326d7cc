"""Lines out: data on stdout, flushed a line at a time; errors, warnings and notes on stderr, one line each."""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import TextIO

from avgn_edge.errors import AvgnEdgeError
from avgn_edge.printable import printable


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
        _point_at_nothing(stream)


def _point_at_nothing(stream: TextIO | None) -> None:
    try:
        if stream is not None:
            stream.flush()
    except OSError:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())  # type: ignore[union-attr] # only a stream that is there fails to flush
        os.close(nothing)


def _write_error(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def _no_output(why: str) -> AvgnEdgeError:
    return AvgnEdgeError("standard output", f"it cannot be written ({why})", "send it somewhere else")
