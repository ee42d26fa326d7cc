"""A room of the package imports only the rooms below it (docs/architecture.md)."""

from __future__ import annotations

import ast
from pathlib import Path

import avgn_edge

PACKAGE = Path(avgn_edge.__file__).parent
FLOORS = (
    {"cli", "__main__", "terminal"},
    {"reports"},
    {"training"},
    {"architectures"},
    {"calibration", "export"},
    {"evaluation"},
    {"datasets", "synth"},
    {"runtime", "streaming", "highlights"},  # the recognizer opens streams and finds highlights
    {"runtime.engines"},
    {"bundle"},
    {"media"},
    {"base"},
)
FLOOR = {room: at for at, rooms in enumerate(FLOORS) for room in rooms}
PROGRAMS = {"training/tables.py"}
"""To be run by hand: they print, as commands do."""


def room(module: str) -> str:
    parts = module.split(".")[1:]
    if parts[:2] == ["runtime", "engines"]:
        return "runtime.engines"
    return parts[0] if parts and parts[0] in FLOOR else "base"


def imports():
    """Every import of one room from another, wherever in a file it stands, types included: (file, from, to)."""
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        if name == "__init__.py" or name in PROGRAMS:  # the package's face names what is in it
            continue
        here = room(".".join(("avgn_edge", *path.relative_to(PACKAGE).with_suffix("").parts)))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("avgn_edge"):
                for alias in node.names:
                    there = room(f"{node.module}.{alias.name}" if node.module == "avgn_edge" else node.module)
                    if there != here:
                        yield name, here, there


def test_nothing_is_imported_from_above():
    upward = [(name, here, there) for name, here, there in imports() if FLOOR[there] < FLOOR[here]]
    assert not upward


def test_networks_are_named_by_nothing_that_runs_them():
    """They are found by the name in a manifest: `bundle.architecture`."""
    knowing = {name for name, here, there in imports() if there == "architectures"}
    assert all(name.split("/")[0] in {"training", "terminal"} for name in knowing), knowing
