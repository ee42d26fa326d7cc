"""The clips of a batch: files, folders, patterns, a list on stdin, less what an earlier run answered (--skip-done)."""

# ruff: noqa: PTH112, PTH122 - paths stay as they were given, "./" and all

from __future__ import annotations

import fnmatch
import glob
import json
import os
import stat
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from avgn_edge._base.errors import ClipError, DataError
from avgn_edge.cli import console
from avgn_edge.cli.formatting import counted

LIST_ON_STDIN = "-"


@dataclass(frozen=True)
class ClipInput:
    """One clip to classify, or an argument that names none and why."""

    clip: str
    error: ClipError | None = None


@dataclass(frozen=True)
class Batch:
    """The clips to classify."""

    first: Sequence[ClipInput]
    """Those that are known from the start: all of them, or with a list on standard input its first block."""
    rest: Iterable[ClipInput] = ()
    """Those that come while the others are classified; read once."""
    listed: bool = False
    """Whether there is such a list."""

    @property
    def total(self) -> int | None:
        """How many there are; None as long as nobody knows."""
        return None if self.listed else len(self.first)

    def __iter__(self) -> Iterator[ClipInput]:
        """Yield them in their order."""
        return chain(self.first, self.rest)


def gather(arguments: Sequence[str], *, recursive: bool = False, done: Collection[str] = ()) -> Batch:
    """Find the clips that a command's arguments name, without those that are `done`.

    "-" stands for a list of files and folders on standard input; the list is read as it comes. DataError where it is
    none.
    """

    def wanted(found: Iterable[ClipInput]) -> Iterator[ClipInput]:
        return (item for item in found if item.error is not None or item.clip not in done)

    if LIST_ON_STDIN not in arguments:
        return Batch(list(wanted(find_clips(arguments, recursive=recursive))))
    if arguments.count(LIST_ON_STDIN) > 1:
        raise DataError(LIST_ON_STDIN, "standard input can be read once", "give one -")
    at = arguments.index(LIST_ON_STDIN)
    before = find_clips(arguments[:at], recursive=recursive)
    names = Names()
    if not names.first:
        console.warning("standard input names no clips")
    first = chain(before, find_named(names.first, recursive=recursive))
    rest = chain(find_named(names, recursive=recursive), find_clips(arguments[at + 1 :], recursive=recursive))
    return Batch(list(wanted(first)), wanted(rest), listed=True)


def find_clips(arguments: Iterable[str], *, recursive: bool = False) -> Iterator[ClipInput]:
    """List the clips of the arguments, in their order; a clip that is named twice is listed twice.

    A folder stands for the media files in it, sorted by name, hidden ones left out; with `recursive` for those in the
    folders inside it too. Links to folders inside a folder are not followed: they may lead back. A name with *, ? or
    [ that is no file's is a pattern, and stands for what `matching` finds.
    """
    for argument in arguments:
        if not glob.has_magic(argument) or os.path.lexists(argument):
            yield from find_named((argument,), recursive=recursive)
            continue
        empty = True
        for path in matching(argument):
            for item in _in_folder(path, recursive=recursive) if os.path.isdir(path) else (ClipInput(path),):
                empty = False
                yield item
        if empty:
            why = "no such file, and no media file that it matches as a pattern"
            yield ClipInput(argument, ClipError(argument, why, "check the path"))


def find_named(names: Iterable[str], *, recursive: bool = False) -> Iterator[ClipInput]:
    """As `find_clips`, for names that are no patterns."""
    for name in names:
        if not os.path.isdir(name):
            yield ClipInput(name)
            continue
        found = list(_in_folder(name, recursive=recursive))
        yield from found or [ClipInput(name, _nothing_in(name, recursive=recursive))]


def _in_folder(folder: str, *, recursive: bool) -> Iterator[ClipInput]:
    try:
        inside = entries(folder)
    except OSError as error:
        why = f"the folder cannot be read ({error.strerror or error})"
        yield ClipInput(folder, ClipError(folder, why, "check its permissions"))
        return
    for entry in inside:
        if entry.is_dir(follow_symlinks=False):
            if recursive:
                yield from _in_folder(entry.path, recursive=True)
        elif is_media(entry.name) and not entry.is_dir():
            yield ClipInput(entry.path)


def _nothing_in(folder: str, *, recursive: bool) -> ClipError:
    nested = not recursive and any(entry.is_dir(follow_symlinks=False) for entry in entries(folder))
    inside = "give -r to look in the folders inside it too"
    advice = inside if nested else "give a folder that holds video or sound files"
    return ClipError(folder, "no media files in this folder", advice)


def entries(folder: str, *, hidden: bool = False) -> list[os.DirEntry[str]]:
    """List what is in a folder, sorted by name, hidden things left out unless asked for; OSError if it cannot be."""
    with os.scandir(folder) as found:
        kept = (entry for entry in found if hidden or not entry.name.startswith("."))
        return sorted(kept, key=lambda entry: entry.name)


def is_media(name: str) -> bool:
    """Say whether a file's name is that of video or sound."""
    from avgn_edge.media.container import MEDIA  # noqa: PLC0415 - PyAV, which `classify --help` need not wait for

    return os.path.splitext(name)[1].lower() in MEDIA


ANY_DEPTH = "**"


def matching(pattern: str) -> Iterator[str]:
    """List the files that match a pattern, sorted in each folder, and the folders, if it has no "**".

    "**" stands for any number of folders, links to folders and hidden ones left out. Of the files, those are meant
    that are media by their names, or all if the pattern states the suffix. Only a pattern's own leading dot matches
    hidden names.
    """
    drive, path = os.path.splitdrive(pattern)
    parts = [part for part in path.replace(os.sep, "/").split("/") if part]
    root = drive + path[: len(path) - len(path.lstrip("/" + os.sep))]
    states_suffix = not glob.has_magic(os.path.splitext(parts[-1])[1] or "*")
    for found in dict.fromkeys(_matching(root, parts)):  # two "**" may lead to the same file
        if os.path.isdir(found):
            if ANY_DEPTH not in parts:
                yield found
        elif states_suffix or is_media(found):
            yield found


def _matching(folder: str, parts: list[str]) -> Iterator[str]:
    """Match the parts of a pattern, each in the folders that the one before it gave."""
    part, rest = parts[0], parts[1:]
    if part == ANY_DEPTH:
        while rest and rest[0] == ANY_DEPTH:  # twice as deep is no deeper
            rest = rest[1:]
        yield from _below(folder, rest or ["*"])
    elif not glob.has_magic(part):
        path = folder + part
        if os.path.lexists(path):
            yield from _rest(path, rest)
    else:
        for entry in _readable(folder, hidden=part.startswith(".")):
            if fnmatch.fnmatch(entry.name, part):
                yield from _rest(folder + entry.name, rest)


def _rest(path: str, rest: list[str]) -> Iterator[str]:
    if not rest:
        yield path
    elif os.path.isdir(path):
        yield from _matching(path + os.sep, rest)


def _below(folder: str, rest: list[str]) -> Iterator[str]:
    yield from _matching(folder, rest)
    for entry in _readable(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _below(folder + entry.name + os.sep, rest)


def _readable(folder: str, *, hidden: bool = False) -> list[os.DirEntry[str]]:
    """What a folder holds; nothing where it cannot be read, as a shell has it."""
    try:
        return entries(folder or os.curdir, hidden=hidden)
    except OSError:
        return []


BLOCK = 1 << 16
LONGEST = 1 << 16
"""Bytes. No system has paths as long; a video that was piped in by mistake is told from a list by it."""


class Names:
    """The names on an open file, a line each, or each ended by NUL where the first block that ends one holds a NUL.

    Empty ones are passed over. DataError where it cannot be read, or is no list of names.
    """

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._separator: bytes | None = None
        self._begun = b""
        self._ended = False
        self.first: tuple[str, ...] = self._some()
        """What there was at once, at least one; empty: there are none at all."""

    def __iter__(self) -> Iterator[str]:
        """Yield the names after `first`."""
        while some := self._some():
            yield from some

    def _some(self) -> tuple[str, ...]:
        """Read until there is a name; none at the end."""
        while not self._ended:
            found = tuple(os.fsdecode(name) for name in self._split(self._read()) if name)
            if found:
                return found
            if len(self._begun) > LONGEST:
                why = f"a name of more than {LONGEST >> 10} KiB"
                raise DataError("standard input", why, "give the name of a clip a line")
        return ()

    def _read(self) -> bytes:
        try:
            return os.read(self._descriptor, BLOCK)
        except OSError as error:
            why = f"it cannot be read ({error.strerror})"
            raise DataError("standard input", why, "send it the name of a clip a line") from error

    def _split(self, data: bytes) -> list[bytes]:
        self._ended = not data
        data = self._begun + data
        if self._separator is None:
            self._separator = b"\0" if b"\0" in data else b"\n" if self._ended or b"\n" in data else None
        if self._separator is None:
            self._begun = data
            return []
        *whole, self._begun = data.split(self._separator)
        if self._ended:
            whole.append(self._begun)
        return [name.rstrip(b"\r") for name in whole] if self._separator == b"\n" else whole


LONGEST_LINE = 1 << 24
"""Bytes. An answer with a thousand classes takes a hundredth of it."""


@dataclass
class ResumeFile:
    """What is known of a file of JSON lines, as far as it was read."""

    clips: set[str] = field(default_factory=set)
    """Clips with an answer, by the names that they were given; a clip that failed has none."""
    strange: int = 0
    """Lines that are no outcomes of `classify`."""
    begin: int = 0
    """Where the last line begins, in bytes."""
    end: int = 0
    """Where it ends."""
    unended: bool = False
    """Whether the last line has no newline."""
    cut: bool = False
    """Whether it has none and is no outcome: it was cut off."""

    def add(self, line: bytes) -> None:
        """Read the next line, or a piece of one that is longer than any of ours."""
        self.begin, self.end = self.end, self.end + len(line)
        self.unended, self.cut = not line.endswith(b"\n"), False
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict) or not isinstance(row.get("clip"), str) or not row.keys() & {"label", "error"}:
            self.cut = self.unended
            self.strange += not self.unended and bool(line.strip())
        elif "error" not in row:
            self.clips.add(row["clip"])


def skip_done(path: Path, *, as_json: bool) -> Collection[str]:
    """Return the clips that need not be classified again, and see to it that more lines can be appended to the file.

    A file that does not exist holds none. DataError where it cannot be read or is not what `classify --json` writes,
    and for a command line that would destroy it.
    """
    what, advice = f"--skip-done {path}", "give the file that classify --json was written to"
    if not as_json:
        raise DataError(what, "it goes on with JSON lines", "give --json too")
    if _is_output(path) and not _appends_output():  # the shell has emptied it already
        raise DataError(what, "standard output overwrites this very file", "append to it: >> in place of >")
    done = ResumeFile()
    try:
        with path.open("rb") as file:
            while line := file.readline(LONGEST_LINE):
                done.add(line)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise DataError(what, f"it cannot be read ({error.strerror})", advice) from error
    if done.strange and not done.clips:
        raise DataError(what, "no line in it is an answer", advice)
    if done.strange:
        console.warning(f"{path}: {counted(done.strange, 'line')} in it that no classify wrote: passed over")
    if done.unended and _is_output(path):  # what will be appended must not be one line with what is there
        if done.cut:
            os.ftruncate(sys.stdout.fileno(), done.begin)
            console.note(f"{path}: its last line was cut off, and is taken out")
        else:
            console.data("")
    if done.clips:
        console.note(f"{path}: {counted(len(done.clips), 'clip')} done before")
    return done.clips


def _is_output(path: Path) -> bool:
    """Whether standard output is the file."""
    try:
        ours, theirs = os.fstat(sys.stdout.fileno()), path.stat()
    except (OSError, ValueError, AttributeError):  # no such file; an output that is none, or closed
        return False
    return stat.S_ISREG(ours.st_mode) and os.path.samestat(ours, theirs)


def _appends_output() -> bool:
    """Whether standard output writes at the end of its file; taken for granted on Windows."""
    if sys.platform == "win32":
        return True
    from fcntl import F_GETFL, fcntl  # noqa: PLC0415 - not on Windows

    return bool(fcntl(sys.stdout.fileno(), F_GETFL) & os.O_APPEND)
