"""`export`: from a checkpoint to a bundle, with the table that says whether to trust it."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avgn_edge.bundle.manifest import NAME
from avgn_edge.bundle.writer import check_replaceable
from avgn_edge.errors import BundleError, DeviceError, MissingExtraError
from avgn_edge.terminal.lines import printable
from avgn_edge.terminal.progress import Bar
from avgn_edge.terminal.tables import columns, mmacs, size

if TYPE_CHECKING:
    from avgn_edge.export.export import Export, ExportedGraph

PACKAGES = ("torch", "onnx", "onnxscript", "safetensors")


def check_extra() -> None:
    """Say in one line which extra is missing."""
    for package in PACKAGES:
        _import(package)


def _import(package: str) -> None:
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise MissingExtraError("export", package, "export") from error


def check_precisions(text: str) -> None:
    """Refuse a precision that is not written by this version, before anything takes time."""
    from avgn_edge.runtime.devices import VALID_PRECISIONS  # noqa: PLC0415

    for name in text.lower().split(","):
        precision = name.strip()
        if precision not in VALID_PRECISIONS or precision == "auto":
            raise DeviceError(f"precision {name[:40]!r}", "unknown", "this version writes fp32")
        if precision != "fp32":
            raise DeviceError(f"precision {precision}", "fp16 and int8 are not written by this version", "write fp32")


def export_checkpoint(checkpoint: Path, output: Path, name: str | None, licence: str | None) -> Export:
    """Write the bundle; a bar shows how many graphs are done."""
    name = _checked_name(name) if name is not None else _name_from(checkpoint)
    check_replaceable(output.resolve())  # before the export, not after it
    check_extra()
    from avgn_edge.export.export import UNSTATED_LICENCE, export_bundle  # noqa: PLC0415 - imports PyTorch
    from avgn_edge.export.graphs import GRAPH_SPECS  # noqa: PLC0415
    from avgn_edge.models.checkpoint import load  # noqa: PLC0415

    done: list[ExportedGraph] = []
    with Bar("graphs", len(GRAPH_SPECS)) as bar:

        def progress(graph: ExportedGraph) -> None:
            done.append(graph)
            bar.show(len(done))

        model = load(checkpoint)
        return export_bundle(model, output, name=name, licence=licence or UNSTATED_LICENCE, progress=progress)


def as_json(export: Export) -> dict[str, Any]:
    """Return the table as data."""
    return {
        "bundle": str(export.bundle.path),
        "hash": export.bundle.hash,
        "graphs": [
            {
                "name": graph.name,
                "bytes": graph.bytes,
                **graph.cost.to_dict(),
                "parity": {parity.engine: parity.error for parity in graph.parity},
            }
            for graph in export.graphs
        ],
    }


def as_text(export: Export, shown: str) -> Iterator[str]:
    """Lay the table out; `shown` is the folder as a person would type it."""
    from avgn_edge.export.parity import TOLERANCE  # noqa: PLC0415 - imports PyTorch

    engines = [parity.engine for parity in export.graphs[0].parity]
    rows = [("graph", "size", "MFLOPs fixed", "per item", *(f"error on {engine}" for engine in engines))]
    for graph in export.graphs:
        parity = (f"{parity.error:.1e}" for parity in graph.parity)
        rows.append(
            (graph.name, size(graph.bytes), mmacs(graph.cost.fixed_macs), mmacs(graph.cost.macs_per_item), *parity)
        )
    yield from columns(rows, right=frozenset(range(1, len(rows[0]))))
    total = sum(graph.bytes for graph in export.graphs)
    worst = max(parity.error for graph in export.graphs for parity in graph.parity)
    yield f"errors are differences from PyTorch over its range: at most {worst:.1e}, where {TOLERANCE:.0e} is allowed"
    yield ""
    yield f"{printable(shown)}: {size(total)} in fp32; licence: {printable(export.bundle.manifest.licence)}"
    yield f"next: avgn-edge classify CLIP --model {printable(quoted(shown))}"


def quoted(path: str) -> str:
    """Quote a path for a shell where it needs it."""
    import shlex  # noqa: PLC0415

    return shlex.quote(path)


def _checked_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise BundleError(
            f"name {name[:40]!r}",
            "a bundle's name is 1 to 100 letters, digits, dots, dashes and underscores",
            "change it",
        )
    return name


def _name_from(checkpoint: Path) -> str:
    """Make a name of the checkpoint's."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", checkpoint.stem).lstrip("._-")[:100] or "bundle"


def folder_beside(checkpoint: Path) -> Path:
    """Return where a bundle goes when nobody says where."""
    folder = checkpoint.with_suffix("")
    return folder if folder != checkpoint else checkpoint.with_name(f"{checkpoint.name}-bundle")
