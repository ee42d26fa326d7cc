"""The user's cache folder: compiled graphs, device profiles, and nothing that cannot be made again."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def user_cache() -> Path:
    """Return where this package's caches lie, which need not exist: `$XDG_CACHE_HOME`, or `~/.cache`, /avgn-edge.

    OSError where the user has no home.
    """
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if named.is_absolute():  # the XDG specification: a relative path is to be ignored
        return named / "avgn-edge"
    try:
        return Path.home() / ".cache" / "avgn-edge"
    except RuntimeError as error:
        raise OSError(f"no home folder ({error})") from error


def writable_cache(*names: str) -> Path | None:
    """Make a folder in the user's cache and return it; None where none can be written, which costs time only."""
    try:
        folder = user_cache().joinpath(*names)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a read-only home, a full disk, a file in the way
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def trim(folder: Path, most_bytes: int) -> None:
    """Remove the files written first until those in `folder` take no more than `most_bytes`."""
    with contextlib.suppress(OSError):  # gone already, or in use on Windows: the next time will do
        kept = sorted((path.stat().st_mtime_ns, path.stat().st_size, path) for path in folder.iterdir())
        total = sum(size for _, size, _ in kept)
        for _, size, path in kept:
            if total <= most_bytes:
                break
            path.unlink()
            total -= size
