"""`export`: from a checkpoint to a bundle, with the table that says whether to trust it."""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avgn_edge._base.errors import BundleError, DeviceError
from avgn_edge._base.text import printable
from avgn_edge.bundle.manifest import NAME
from avgn_edge.bundle.writer import check_replaceable
from avgn_edge.cli import calibrate, console
from avgn_edge.cli.formatting import columns, mmacs, size
from avgn_edge.cli.progress import Bar
from avgn_edge.cli.shared import AsJson, MaxLoss, Split, Threads, Videos, read_max_loss, read_precisions, require_extra

if TYPE_CHECKING:
    from avgn_edge.calibration.procedure import Calibration
    from avgn_edge.export.to_bundle import Export, ExportedGraph


def command(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="What training wrote.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="The bundle's folder. [default: the checkpoint's stem, beside it]"
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The bundle's name. [default: the checkpoint's stem]")
    ] = None,
    licence: Annotated[str | None, typer.Option(metavar="TEXT", help="The licence of the weights.")] = None,
    precisions: Annotated[
        str | None, typer.Option(metavar="LIST", help="Of fp32,fp16,int8. [default: fp32; with clips, all]")
    ] = None,
    calibration_data: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Labelled clips, as for evaluate.")
    ] = None,
    videos: Videos = None,
    split: Split = None,
    max_loss: MaxLoss = 1.0,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Make a bundle of a checkpoint. Every graph is compared with PyTorch before it is written.

    With labelled clips the bundle is calibrated too: see calibrate.
    """
    chosen = choose_precisions(precisions, calibration_data)
    most_lost = read_max_loss(max_loss)
    folder = output or _folder_beside(checkpoint)
    name = _checked_name(name) if name is not None else _name_from(checkpoint)
    check_replaceable(folder.resolve())  # before the export, not after it
    require_extra("export", ("torch", "onnx", "onnxscript", "safetensors"))
    calibration: Calibration | None = None
    if chosen == ("fp32",) and calibration_data is None:
        made = _export(checkpoint, folder, name, licence)
    else:
        calibrate.check_packages()
        with tempfile.TemporaryDirectory(prefix="avgn-edge-export-") as temporary:
            made = _export(checkpoint, Path(temporary) / "bundle", name, licence)
            if calibration_data is None:
                from avgn_edge.calibration.precisions import write_precisions  # noqa: PLC0415 - PyTorch and onnx

                bundle = write_precisions(made.bundle, folder, chosen)
            else:
                calibration = calibrate.calibrate_bundle(
                    made.bundle,
                    folder,
                    calibration_data,
                    videos=videos,
                    split=split,
                    precisions=chosen,
                    most_lost=most_lost,
                    threads=threads,
                )
                bundle = calibration.bundle
        made = replace(made, bundle=bundle)
    if as_json:
        console.json_line(to_json(made) | ({} if calibration is None else calibrate.to_json(calibration)))
        return
    console.data_lines(as_text(made, str(folder)))
    if calibration is not None:
        console.data_lines(calibrate.as_text(calibration, str(folder)))


def choose_precisions(text: str | None, clips: Path | None) -> tuple[str, ...]:
    """Read the precisions to write, and refuse INT8 without clips, before anything takes time.

    `text` is the value of --precisions, `clips` that of --calibration-data.
    """
    chosen = read_precisions(text) if text is not None else ("fp32",) if clips is None else ("fp32", "fp16", "int8")
    if "int8" in chosen and clips is None:
        raise DeviceError("precision int8", "its ranges come from clips", "give some with --calibration-data PATH")
    return chosen


def _export(checkpoint: Path, output: Path, name: str, licence: str | None) -> Export:
    """Write a bundle in FP32; a bar shows how many graphs are done."""
    from avgn_edge.export import to_bundle, trained_network  # noqa: PLC0415 - PyTorch

    network = trained_network.read_network(checkpoint)
    licence = licence or to_bundle.UNSTATED_LICENCE
    done = 0
    with Bar("graphs", len(network.graphs)) as bar:

        def progress(_: ExportedGraph) -> None:
            nonlocal done
            done += 1
            bar.show(done)

        return to_bundle.export_bundle(network, output, name=name, licence=licence, progress=progress)


def to_json(export: Export) -> dict[str, Any]:
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
    yield f"next: avgn-edge classify CLIP --model {printable(shlex.quote(shown))}"


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


def _folder_beside(checkpoint: Path) -> Path:
    """Return where a bundle goes when nobody says where."""
    folder = checkpoint.with_suffix("")
    return folder if folder != checkpoint else checkpoint.with_name(f"{checkpoint.name}-bundle")
