"""`export`: from a checkpoint to a bundle, with the table that says whether to trust it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avgn_edge._base.errors import BundleError, DeviceError
from avgn_edge._base.text import printable
from avgn_edge.bundle.manifest import NAME
from avgn_edge.bundle.writer import check_replaceable
from avgn_edge.cli.extras import require
from avgn_edge.cli.formatting import columns, mmacs, size
from avgn_edge.cli.progress import Bar

if TYPE_CHECKING:
    from avgn_edge.calibration.procedure import Calibration
    from avgn_edge.export.to_bundle import Export, ExportedGraph


PACKAGES = ("torch", "onnx", "onnxscript", "safetensors")


def check_extra() -> None:
    """Say in one line which extra is missing."""
    require("export", PACKAGES)


@dataclass(frozen=True)
class Clips:
    """What to calibrate on."""

    data: Path
    videos: Path | None
    split: str | None
    most_lost: float
    threads: int | None


def choose_precisions(text: str | None, clips: Path | None) -> tuple[str, ...]:
    """Read the precisions to write, and refuse those that there is nothing to make of, before anything takes time."""
    from avgn_edge.cli.calibrate import read_precisions  # noqa: PLC0415

    chosen = read_precisions(text) if text is not None else ("fp32",) if clips is None else ("fp32", "fp16", "int8")
    if "int8" in chosen and clips is None:
        raise DeviceError("precision int8", "its ranges come from clips", "give some with --calibration-data PATH")
    return chosen


def export_checkpoint(
    checkpoint: Path,
    output: Path,
    name: str | None,
    licence: str | None,
    precisions: Sequence[str] = ("fp32",),
    clips: Clips | None = None,
) -> tuple[Export, Calibration | None]:
    """Write the bundle, calibrated where there are clips; a bar shows how many graphs are done."""
    name = _checked_name(name) if name is not None else _name_from(checkpoint)
    check_replaceable(output.resolve())  # before the export, not after it
    check_extra()
    if tuple(precisions) == ("fp32",) and clips is None:
        return _export(checkpoint, output, name, licence), None
    from avgn_edge.cli import calibrate as calibrating  # noqa: PLC0415

    calibrating.check_extra()
    with tempfile.TemporaryDirectory(prefix="avgn-edge-export-") as folder:
        made = _export(checkpoint, Path(folder) / "bundle", name, licence)
        if clips is None:
            from avgn_edge.calibration.precisions import write_precisions  # noqa: PLC0415

            return replace(made, bundle=write_precisions(made.bundle, output, precisions)), None
        done = calibrating.calibrate_bundle(
            made.bundle,
            output,
            clips.data,
            videos=clips.videos,
            split=clips.split,
            precisions=precisions,
            most_lost=clips.most_lost,
            threads=clips.threads,
        )
        return replace(made, bundle=done.bundle), done


def _export(checkpoint: Path, output: Path, name: str, licence: str | None) -> Export:
    from avgn_edge.export.to_bundle import UNSTATED_LICENCE, export_bundle  # noqa: PLC0415 - imports PyTorch
    from avgn_edge.export.trained_network import read_network  # noqa: PLC0415

    network = read_network(checkpoint)
    done: list[ExportedGraph] = []
    with Bar("graphs", len(network.graphs)) as bar:

        def progress(graph: ExportedGraph) -> None:
            done.append(graph)
            bar.show(len(done))

        return export_bundle(network, output, name=name, licence=licence or UNSTATED_LICENCE, progress=progress)


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
    from avgn_edge.export.onnx_graphs import TOLERANCE  # noqa: PLC0415 - imports PyTorch

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
    held = ", ".join(export.bundle.precisions)
    licence = printable(export.bundle.manifest.licence)
    yield f"{printable(shown)}: {size(total)} in fp32, holds {held}; licence: {licence}"
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
