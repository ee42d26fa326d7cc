"""Writes a bundle whole or not at all: into a sibling folder, read back, then moved into place by renaming."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from avgn_edge._base.atomic import flush
from avgn_edge._base.errors import BundleError
from avgn_edge.bundle.manifest import GraphFile, Manifest
from avgn_edge.bundle.reader import MANIFEST_NAME, Bundle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from avgn_edge.bundle.manifest import TensorSpec


def describe_graph(
    precision: str,
    graph: str,
    data: bytes | Path,
    *,
    opset: int,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
) -> GraphFile:
    """Return what the manifest says of one graph whose ONNX bytes, or file, are `data`."""
    content = data.read_bytes() if isinstance(data, Path) else data
    return GraphFile(
        path=f"graphs/{precision}/{graph}.onnx",
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        opset=opset,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
    )


def write_bundle(
    directory: str | Path, manifest: Manifest, graph_files: Mapping[str, Mapping[str, bytes | Path]]
) -> Bundle:
    """Write a bundle, in place of one that is already there. Whatever fails, the old bundle stays as it was.

    Args:
        directory: Its folder. What else lies in an old bundle's folder is kept.
        manifest: What it holds; `describe_graph` makes what it says of each graph.
        graph_files: Precision, or "int8-s8s8" for an INT8 variant → graph → ONNX bytes or the path of a file, which may
            lie in the bundle that is replaced.

    Returns:
        The bundle, opened.

    Raises:
        BundleError: The files are not those that the manifest describes, or cannot be written.

    """
    target = Path(directory).resolve()
    check_replaceable(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = _sibling(target, "new")
        fresh.mkdir()
    except OSError as error:
        raise _cannot_write(target, error) from error
    try:
        _fill(fresh, manifest, graph_files)
        _keep_extras(target, fresh)
        Bundle.open(fresh, verify="all")  # what cannot be read back must not replace what can
        _move_into_place(fresh, target)
    except OSError as error:
        raise _cannot_write(target, error) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)  # gone already when all went well
    return Bundle.open(target)


def check_replaceable(target: Path) -> None:
    """Refuse to replace anything but an empty folder or a bundle: what is replaced is removed."""
    if not target.exists():
        return
    if not target.is_dir():
        raise BundleError(str(target), "a file of that name exists", "choose another folder")
    looks_like_bundle = (target / MANIFEST_NAME).is_file() and (target / "graphs").is_dir()
    if not looks_like_bundle and any(target.iterdir()):
        raise BundleError(str(target), "the folder holds something other than a bundle", "choose another folder")


def _fill(folder: Path, manifest: Manifest, graph_files: Mapping[str, Mapping[str, bytes | Path]]) -> None:
    data = manifest.to_json()
    checked = Manifest.from_json(data)  # the writer holds itself to what the reader will ask
    if set(graph_files) != set(checked.folders):
        raise BundleError(str(folder), "the graphs' precisions differ from the manifest's", "describe every graph")
    for precision, graphs in checked.folders.items():
        for name in graphs:
            content = graph_files[precision].get(name)
            if content is None:
                raise BundleError(str(folder), f"no graph {name} in {precision}", "give every graph")
            path = folder / graphs[name].path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.read_bytes() if isinstance(content, Path) else content)
    (folder / MANIFEST_NAME).write_bytes(data)
    for path in (*folder.rglob("*"), folder):
        flush(path)


def _keep_extras(old: Path, fresh: Path) -> None:
    """Copy a model card, a licence text and the like over from the bundle that is replaced."""
    for extra in old.iterdir() if old.is_dir() else ():
        if extra.name in {MANIFEST_NAME, "graphs"}:
            continue
        if extra.is_dir() and not extra.is_symlink():
            shutil.copytree(extra, fresh / extra.name, symlinks=True)
        else:
            shutil.copy2(extra, fresh / extra.name, follow_symlinks=False)


def _move_into_place(fresh: Path, target: Path) -> None:
    # A folder that is not empty cannot be renamed over: the old one steps aside first, and back if anything fails.
    aside = _sibling(target, "old")
    with contextlib.suppress(FileNotFoundError):
        target.rename(aside)
    try:
        fresh.rename(target)
    except BaseException:  # Ctrl-C too
        if aside.exists():
            aside.rename(target)
        raise
    flush(target.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _sibling(path: Path, role: str) -> Path:
    return path.with_name(f".{path.name}.{role}-{secrets.token_hex(4)}")


def _cannot_write(target: Path, error: OSError) -> BundleError:
    return BundleError(str(target), f"cannot be written ({error.strerror or error})", "choose another folder")
