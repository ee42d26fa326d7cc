"""`--skip-done`: what an earlier run answered, read from its JSON lines, which may have been cut off anywhere."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from avgn_edge._base.errors import DataError
from avgn_edge.cli import console
from avgn_edge.cli.formatting import counted

LONGEST_LINE = 1 << 24
"""Bytes. An answer with a thousand classes takes a hundredth of it."""
_ADVICE = "give the file that classify --json was written to"


@dataclass(frozen=True)
class ResumeFile:
    """What a file of JSON lines holds."""

    clips: frozenset[str]
    """Those with an answer, by the names they were given; a clip that failed has none."""
    strange: int = 0
    """Lines that are no outcomes of `classify`."""
    end: int = 0
    """Where the last line begins that has no newline, or the end of the file, in bytes."""
    unended: bool = False
    """Whether there is such a line."""
    cut: bool = False
    """Whether that line is cut off."""


def skip_done(path: Path, *, as_json: bool) -> frozenset[str]:
    """Return the clips that need not be done again, and see to it that more can be appended to the file.

    A file that does not exist holds none. DataError where it cannot be read or is not what `classify --json` writes,
    and for a command line that would destroy it.
    """
    what = f"--skip-done {path}"
    if not as_json:
        raise DataError(what, "it goes on with JSON lines", "give --json too")
    if _overwritten(path):
        raise DataError(what, "standard output overwrites this very file", "append to it: >> in place of >")
    done = _read(path)
    if done.strange and not done.clips:
        raise DataError(what, "no line in it is an answer", _ADVICE)
    if done.strange:
        console.warning(f"{path}: {counted(done.strange, 'line')} in it that no classify wrote: passed over")
    if done.unended and _is_output(path):
        _end_last_line(path, done)
    if done.clips:
        console.note(f"{path}: {counted(len(done.clips), 'clip')} done before")
    return done.clips


def _read(path: Path) -> ResumeFile:
    clips: set[str] = set()
    strange = begin = end = 0
    unended = cut = False
    try:
        with path.open("rb") as file:
            for line in _lines(file):
                begin, end = end, end + len(line)
                unended = not line.endswith(b"\n")
                try:
                    clip = _answered(line)
                except (ValueError, RecursionError):
                    cut = unended
                    strange += not unended and bool(line.strip())
                else:
                    clips.update(() if clip is None else (clip,))
    except FileNotFoundError:
        return ResumeFile(frozenset())
    except OSError as error:
        raise DataError(f"--skip-done {path}", f"it cannot be read ({error.strerror})", _ADVICE) from error
    return ResumeFile(frozenset(clips), strange, begin if unended else end, unended, cut)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines; a piece of one that is longer than any of ours."""
    while line := file.readline(LONGEST_LINE):
        yield line


def _answered(line: bytes) -> str | None:
    """Return the clip that a line answers, None for one that failed; ValueError for a line that is not ours."""
    row = json.loads(line)
    if not isinstance(row, dict) or not isinstance(row.get("clip"), str) or not row.keys() & {"label", "error"}:
        raise ValueError("no outcome")
    return None if "error" in row else row["clip"]


def _end_last_line(path: Path, done: ResumeFile) -> None:
    """Keep what will be appended from being one line with what is there."""
    if not done.cut:
        console.data("")
        return
    os.ftruncate(sys.stdout.fileno(), done.end)
    console.note(f"{path}: its last line was cut off, and is taken out")


def _overwritten(path: Path) -> bool:
    """Whether standard output is the file, and not at its end: then the shell has emptied it already."""
    if not _is_output(path) or sys.platform == "win32":
        return False
    from fcntl import F_GETFL, fcntl  # noqa: PLC0415 - not on Windows

    return not fcntl(sys.stdout.fileno(), F_GETFL) & os.O_APPEND


def _is_output(path: Path) -> bool:
    try:
        ours, theirs = os.fstat(sys.stdout.fileno()), path.stat()
    except (OSError, ValueError, AttributeError):  # no such file; an output that is none, or closed
        return False
    return stat.S_ISREG(ours.st_mode) and os.path.samestat(ours, theirs)
