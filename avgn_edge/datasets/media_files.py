"""The media files of a folder, in an order that is the same on every machine."""

from __future__ import annotations

import os
from pathlib import Path

from avgn_edge.errors import DataError
from avgn_edge.media.suffixes import MEDIA


def media_files(what: str, folder: Path, *, nested: bool = True) -> list[Path]:
    """List the media files in `folder` by their suffixes, sorted; with `nested` those in the folders inside it too.

    Hidden files and folders are left out. Links to folders inside it are not followed: they may lead back. DataError
    about `what` for a folder that cannot be read.
    """
    found: list[Path] = []
    try:
        for place, folders, files in os.walk(folder, onerror=_raise):
            folders[:] = sorted(name for name in folders if nested and not name.startswith("."))
            for name in sorted(files):
                path = Path(place, name)
                if path.suffix.lower() in MEDIA and not name.startswith("."):
                    found.append(path)
    except OSError as error:
        why = f"the folder {error.filename} cannot be read ({error.strerror or error})"
        raise DataError(what, why, "check the path and its permissions") from error
    return found


def _raise(error: OSError) -> None:
    raise error
