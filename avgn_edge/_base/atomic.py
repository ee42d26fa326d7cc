"""Files that appear whole under their names, or not at all."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from avgn_edge._base.errors import AvgnEdgeError


@contextmanager
def atomic_write(path: Path, *, durable: bool = False, alone: bool = False) -> Iterator[Path]:
    """Give a file to write, which gets the name `path` when the block ends well. Until then `path` stays as it was.

    Args:
        path: The file to make, or to replace.
        durable: Whether it is on the disk when the block ends, so that a power cut loses nothing.
        alone: Whether nobody else writes `path` meanwhile. What a kill leaves is then overwritten the next time;
            otherwise each writer has a file of its own.

    Raises:
        OSError: It cannot be written.

    """
    own = f".{path.name}.{os.getpid()}-{threading.get_ident()}.part"
    partial = path.with_name(f"{path.name}.partial" if alone else own)
    try:
        yield partial
        if durable:
            flush(partial)
        partial.replace(path)
        if durable:
            flush(path.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Do as `atomic_write` does for a file that a person named: AvgnEdgeError where it cannot be written."""
    try:
        with atomic_write(path) as partial:
            yield partial
    except OSError as error:
        raise AvgnEdgeError(
            str(path), f"it cannot be written ({error.strerror or error})", "name another file, or make room"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a text whole; AvgnEdgeError where that fails."""
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def flush(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    # Windows opens no folders, and not every file system flushes one.
    with contextlib.suppress(OSError) if path.is_dir() else contextlib.nullcontext():
        descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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
