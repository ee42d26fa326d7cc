"""The shape of the package, read from its code: rooms, one above another, and no circles (docs/architecture.md)."""

from __future__ import annotations

import ast
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import avgn_edge

PACKAGE = Path(avgn_edge.__file__).parent
FLOORS = (
    {"cli", "__main__"},
    {"report"},
    {"architectures"},
    {"calibration", "export", "training"},
    {"data"},
    {"runtime"},
    {"engines"},
    {"bundle"},
    {"media"},
    {"_base"},
)
FLOOR = {room: at for at, rooms in enumerate(FLOORS) for room in rooms}


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports():
    """Every import of one module from another, wherever in a file it stands, types included: (from, to)."""
    for module, path in MODULES.items():
        if path.name == "__init__.py":  # the face of a package names what is in it
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("avgn_edge"):
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    yield module, inner if inner in MODULES else node.module


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else "__main__"


def test_nothing_is_imported_from_above():
    assert not [(a, b) for a, b in imports() if b != "avgn_edge" and FLOOR[room(b)] < FLOOR[room(a)]]


def test_no_module_needs_itself():
    needs = defaultdict(set)
    for a, b in imports():
        needs[a].add(b)
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_a_file_name_is_in_one_room():
    rooms = defaultdict(set)
    for module, path in MODULES.items():
        if path.name != "__init__.py":
            rooms[path.name].add(room(module))
    assert not {name: where for name, where in rooms.items() if len(where) > 1}


def test_networks_are_named_by_nothing_that_runs_them():
    """They are found by the name in a manifest: `bundle.architecture`."""
    knowing = {(a, b) for a, b in imports() if room(b) == "architectures" and room(a) != "architectures"}
    assert {room(a) for a, _ in knowing} <= {"cli"}, knowing
