"""Files that appear whole under their names, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from avgn_edge._base.errors import AvgnEdgeError


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a name to write to; what is there in the end gets the name `path`. AvgnEdgeError where that fails."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield unfinished
        unfinished.replace(path)
    except OSError as error:
        raise AvgnEdgeError(
            str(path), f"it cannot be written ({error.strerror or error})", "name another file, or make room"
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text."""
    with whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", newline="\n")


def check_writable(path: Path) -> None:
    """Refuse a file that is bound to fail later, before anything takes time."""
    if path.is_dir():
        raise AvgnEdgeError(str(path), "it is a folder", "name a file")
    if not path.parent.is_dir():
        raise AvgnEdgeError(str(path), f"there is no folder {path.parent}", "make it first, or name another file")


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, where they are not there yet."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = "it is a file" if folder.is_file() else error.strerror or str(error)
        raise AvgnEdgeError(str(folder), f"the folder cannot be made ({why})", "name another folder") from error
