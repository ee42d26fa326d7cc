"""FFmpeg's libraries for torchcodec, which brings none: those in PyAV's wheel, under the names that it asks for.

The loader reads `LD_LIBRARY_PATH` when a process starts, so that the process is started again with it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path

_DONE = "AVGN_EDGE_BENCHMARK_LIBRARIES"
_PATH = "LD_LIBRARY_PATH"


def restart_with_libraries(folder: Path) -> None:
    """Start this process again with PyAV's libraries in sight, where torchcodec is installed and that may help.

    `folder` is where their links are put.
    """
    if _DONE in os.environ or sys.platform != "linux" or importlib.util.find_spec("torchcodec") is None:
        return
    bundled = bundled_libraries()
    if bundled is None:
        return
    link(bundled, folder)
    path = ":".join(part for part in (str(folder), os.environ.get(_PATH, "")) if part)
    os.execve(sys.executable, sys.orig_argv, {**os.environ, _PATH: path, _DONE: str(folder)})


def plain_environment() -> dict[str, str]:
    """Return the environment that other programs are started with: as it was before."""
    kept = {name: value for name, value in os.environ.items() if name not in {_DONE, _PATH}}
    before = [part for part in os.environ.get(_PATH, "").split(":") if part not in {"", os.environ.get(_DONE)}]
    return kept | ({_PATH: ":".join(before)} if before else {})


def bundled_libraries() -> Path | None:
    """Return the folder of FFmpeg's libraries in PyAV's wheel; None where PyAV was built otherwise."""
    found = importlib.util.find_spec("av")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent.parent / "av.libs"
    return folder if folder.is_dir() else None


def link(bundled: Path, folder: Path) -> None:
    """Link `libavcodec-<hash>.so.62.28.102` as libavcodec.so.62 and so on into `folder`, and all under their own names.

    The loader sees that a link and the library that PyAV loaded are one file, and loads it once.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for library in bundled.iterdir():
        names = {library.name}
        if library.name.startswith(("libav", "libsw")):
            names.add(re.sub(r"-[0-9a-f]{8}(\.so\.\d+).*$", r"\1", library.name))
        for name in names:
            (folder / name).unlink(missing_ok=True)
            (folder / name).symlink_to(library)
