"""The clips of a batch: files as they are named, folders for the media in them, patterns, and a list on stdin."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from avgn_edge.errors import ClipError, DataError
from avgn_edge.terminal import lines
from avgn_edge.terminal.folders import entries, is_media
from avgn_edge.terminal.names import Names
from avgn_edge.terminal.patterns import is_pattern, matching

STDIN = "-"


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

    if STDIN not in arguments:
        return Batch(list(wanted(find_clips(arguments, recursive=recursive))))
    if arguments.count(STDIN) > 1:
        raise DataError(STDIN, "standard input can be read once", "give one -")
    at = arguments.index(STDIN)
    before = find_clips(arguments[:at], recursive=recursive)
    names = Names()
    if not names.first:
        lines.warning("standard input names no clips")
    first = chain(before, find_named(names.first, recursive=recursive))
    rest = chain(find_named(names, recursive=recursive), find_clips(arguments[at + 1 :], recursive=recursive))
    return Batch(list(wanted(first)), wanted(rest), listed=True)


def find_clips(arguments: Iterable[str], *, recursive: bool = False) -> Iterator[ClipInput]:
    """List the clips of the arguments, in their order; what is named twice is listed twice.

    A folder stands for the media files in it, sorted by name, hidden ones left out; with `recursive` for those in the
    folders inside it too. Links to folders inside a folder are not followed: they may lead back. A name with *, ? or
    [ that is no file's is a pattern, and stands for what `matching` finds.
    """
    for argument in arguments:
        if is_pattern(argument):
            yield from _of_pattern(argument, recursive=recursive)
        else:
            yield from find_named((argument,), recursive=recursive)


def find_named(names: Iterable[str], *, recursive: bool = False) -> Iterator[ClipInput]:
    """As `find_clips`, for names that are no patterns."""
    for name in names:
        if not os.path.isdir(name):  # noqa: PTH112 - paths stay as they were given, "./" and all
            yield ClipInput(name)
            continue
        found = list(_in_folder(name, recursive=recursive))
        yield from found or [ClipInput(name, _nothing_in(name, recursive=recursive))]


def _of_pattern(pattern: str, *, recursive: bool) -> Iterator[ClipInput]:
    none = True
    for path in matching(pattern):
        folder = os.path.isdir(path)  # noqa: PTH112
        for item in _in_folder(path, recursive=recursive) if folder else (ClipInput(path),):
            none = False
            yield item
    if none:
        why = "no such file, and no media file that it matches as a pattern"
        yield ClipInput(pattern, ClipError(pattern, why, "check the path"))


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
    advice = (
        "give -r to look in the folders inside it too" if nested else "give a folder that holds video or sound files"
    )
    return ClipError(folder, "no media files in this folder", advice)
