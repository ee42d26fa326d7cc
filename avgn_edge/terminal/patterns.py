"""Patterns such as "clips/*.mp4" and "clips/**", for shells that leave them as they are.

The standard library's `glob` follows links to folders under "**", which may lead back, and comes in no order.
"""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Iterator

from avgn_edge.terminal.folders import entries, is_media

ANY_DEPTH = "**"


def is_pattern(name: str) -> bool:
    """Say whether a name is to be read as a pattern: it has *, ? or [, and nothing has this very name."""
    return glob.has_magic(name) and not os.path.lexists(name)


def matching(pattern: str) -> Iterator[str]:
    """List the files that match a pattern, sorted in each folder, and the folders, if it has no "**".

    "**" stands for any number of folders, links to folders and hidden ones left out. Of the files, those are meant
    that are media by their names, or all if the pattern states the suffix. Only a pattern's own leading dot matches
    hidden names.
    """
    drive, path = os.path.splitdrive(pattern)
    parts = [part for part in path.replace(os.sep, "/").split("/") if part]
    root = drive + path[: len(path) - len(path.lstrip("/" + os.sep))]
    states_suffix = not glob.has_magic(os.path.splitext(parts[-1])[1] or "*")  # noqa: PTH122
    for found in dict.fromkeys(_matching(root, parts)):  # two "**" may lead to the same file
        if os.path.isdir(found):  # noqa: PTH112 - paths stay as they were given, "./" and all
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
    elif os.path.isdir(path):  # noqa: PTH112
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
