"""The clips that a command's arguments name: files as they are given, folders for the media in them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from avgn_edge.errors import ClipError
from avgn_edge.media.suffixes import MEDIA


@dataclass(frozen=True)
class Found:
    """One clip to classify, or an argument that names none and why."""

    clip: str
    error: ClipError | None = None


def find_clips(arguments: Iterable[str], *, recursive: bool = False) -> Iterator[Found]:
    """List the clips of the arguments, in their order; what is named twice is listed twice.

    A folder stands for the media files in it, sorted by name, hidden ones left out; with `recursive` for those in the
    folders inside it too. Links to folders inside a folder are not followed: they may lead back.
    """
    for argument in arguments:
        if not os.path.isdir(argument):  # noqa: PTH112 - paths stay as they were given, "./" and all
            yield Found(argument)
            continue
        found = list(_in_folder(argument, recursive=recursive))
        yield from found or [Found(argument, _nothing_in(argument, recursive=recursive))]


def _in_folder(folder: str, *, recursive: bool) -> Iterator[Found]:
    try:
        entries = _entries(folder)
    except OSError as error:
        why = f"the folder cannot be read ({error.strerror or error})"
        yield Found(folder, ClipError(folder, why, "check its permissions"))
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if recursive:
                yield from _in_folder(entry.path, recursive=True)
        elif os.path.splitext(entry.name)[1].lower() in MEDIA and not entry.is_dir():  # noqa: PTH122
            yield Found(entry.path)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)


def _nothing_in(folder: str, *, recursive: bool) -> ClipError:
    nested = not recursive and any(entry.is_dir(follow_symlinks=False) for entry in _entries(folder))
    advice = (
        "give -r to look in the folders inside it too" if nested else "give a folder that holds video or sound files"
    )
    return ClipError(folder, "no media files in this folder", advice)
