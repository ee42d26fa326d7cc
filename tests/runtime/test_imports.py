"""The runtime, the media and the bundle work without PyTorch, and do not even import it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import avgn_edge

PACKAGE = Path(avgn_edge.__file__).parent
FORBIDDEN = ("torch", "onnx", "scipy", "safetensors", "onnxscript", "librosa", "rich", "typer")
NEEDS_TORCH = ("training", "export", "calibration")
OF_TRAINING = {"split", "network", "training"}
"""Of a network's folder in `architectures`, what makes and trains it; backbones and weights do so for all."""
LIGHT = ("_base", "architectures", "bundle", "data.datasets", "engines", "media", "report", "runtime")


def imported(source: str, module: str) -> set[str]:
    """Every module named in an import, absolute, wherever it stands: in functions too, and for type checking."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*module.split(".")[: -node.level], *([base] if base else [])])
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return names


def is_of_training(path: Path) -> bool:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0] == "architectures" and (parts[1] in {"backbones", "weights"} or bool(OF_TRAINING & set(parts[2:])))


def test_the_reader_of_imports_sees_all_kinds():
    source = "import a.b\nfrom c import d\ndef f():\n    from . import g\n    from ..h import i"
    assert imported(source, "p.q.r") == {"a.b", "c", "c.d", "p.q", "p.q.g", "p.h", "p.h.i"}


@pytest.mark.parametrize("folder", LIGHT)
def test_nothing_in_these_folders_imports_what_needs_pytorch(folder):
    files = [path for path in sorted((PACKAGE / folder.replace(".", "/")).rglob("*.py")) if not is_of_training(path)]
    assert files
    for path in files:
        module = ".".join(("avgn_edge", *path.relative_to(PACKAGE).with_suffix("").parts))
        names = imported(path.read_text(encoding="utf-8"), module)
        wrong = {name for name in names if name.split(".")[0] in {"torch", "onnx", "scipy", "safetensors"}}
        wrong |= {n for n in names if n.startswith("avgn_edge.") and n.split(".")[1] in NEEDS_TORCH}
        wrong |= {n for n in names if n.startswith("avgn_edge.architectures.") and OF_TRAINING & set(n.split(".")[3:])}
        assert not wrong, path


EVERYTHING = """
import importlib, pkgutil, sys
import {package}
for found in pkgutil.walk_packages({package}.__path__, "{package}."):
    if "{package}" == "avgn_edge.architectures" and set(found.name.split(".")[2:]) & {of_training}:
        continue
    importlib.import_module(found.name)
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
"""


@pytest.mark.parametrize(
    "package",
    [f"avgn_edge.{name}" for name in LIGHT],
)
def test_importing_every_module_of_these_packages_loads_no_heavy_package(package):
    done = subprocess.run(
        [sys.executable, "-c", EVERYTHING.format(package=package, of_training={*OF_TRAINING, "backbones", "weights"})],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert "numpy" in loaded or package.endswith(("_base", "bundle", "datasets", "engines"))
    assert not loaded & set(FORBIDDEN)


def test_importing_the_package_and_its_runtime_loads_no_engine():
    code = "import sys, avgn_edge; print('numpy' in sys.modules); import avgn_edge.runtime; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, rest = done.stdout.split("\n", 1)
    assert first == "False"  # `import avgn_edge` costs nothing
    tops = {name.partition(".")[0] for name in rest.split()}
    assert not tops & {*FORBIDDEN, "onnxruntime", "openvino"}


def test_every_public_name_can_be_imported():
    for name in avgn_edge.__all__:
        assert getattr(avgn_edge, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        avgn_edge.nothing  # noqa: B018
