"""What a folder holds, in an order that is the same everywhere."""

from __future__ import annotations

import os

from avgn_edge.media.suffixes import MEDIA


def entries(folder: str, *, hidden: bool = False) -> list[os.DirEntry[str]]:
    """List what is in a folder, sorted by name, hidden things left out unless asked for; OSError if it cannot be."""
    with os.scandir(folder) as found:
        kept = (entry for entry in found if hidden or not entry.name.startswith("."))
        return sorted(kept, key=lambda entry: entry.name)


def is_media(name: str) -> bool:
    """Say whether a file's name is that of video or sound."""
    return os.path.splitext(name)[1].lower() in MEDIA  # noqa: PTH122 - paths stay as they were given
