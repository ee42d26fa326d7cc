"""`calibrate`, and the part of `export` that needs clips: the table that says what each precision costs and gains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avgn_edge._base.errors import BundleError
from avgn_edge._base.text import printable
from avgn_edge.bundle.calibration_tables import ExitTable
from avgn_edge.bundle.manifest import PRECISIONS, Manifest
from avgn_edge.bundle.reader import Bundle
from avgn_edge.bundle.writer import check_replaceable
from avgn_edge.cli import console
from avgn_edge.cli.formatting import columns, counted, size
from avgn_edge.cli.progress import Bar
from avgn_edge.cli.shared import AsJson, MaxLoss, Split, Threads, Videos, read_max_loss, read_precisions, require_extra
from avgn_edge.data.datasets import read_dataset
from avgn_edge.runtime.exits import certified, smallest_risk

if TYPE_CHECKING:
    from avgn_edge.calibration.comparison import Agreement
    from avgn_edge.calibration.precisions import Progress
    from avgn_edge.calibration.procedure import Calibration

SHOWN_RISKS = (0.01, 0.02, 0.05)
LEGEND = (
    "error: the largest difference from fp32 over the output's range; top-1 in %, of the clips that no range came from",
    "moments: first looks at the same moment as in fp32; saliency: mean absolute difference; boxes: mean shift, pixels",
    "speed: times as fast as fp32 here, on one CPU; fp16 is for GPUs, and a CPU emulates it",
)


def command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Calibrated where it is, whole or not at all.")],
    data: Annotated[Path, typer.Option(metavar="PATH", help="Labelled clips, as for evaluate.")],
    precisions: Annotated[
        str | None, typer.Option(metavar="LIST", help="To add or make anew, of fp16,int8. [default: int8]")
    ] = None,
    videos: Videos = None,
    split: Split = None,
    max_loss: MaxLoss = 1.0,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Fit a bundle to your clips: INT8 ranges, when to stop early, and what each budget buys.

    A quarter of the clips gives ranges and temperatures, the others thresholds and the figures that are shown.
    """
    check_packages()
    opened = Bundle.open(bundle, verify="all")
    done = calibrate_bundle(
        opened,
        bundle,
        data,
        videos=videos,
        split=split,
        precisions=wanted_precisions(opened, precisions),
        most_lost=read_max_loss(max_loss),
        threads=threads,
    )
    if as_json:
        console.json_line(to_json(done))
    else:
        console.data_lines(as_text(done, str(bundle)))


def check_packages() -> None:
    """MissingExtraError names the first package of the extra `calibrate` that is not installed."""
    require_extra("calibrate", ("onnx", "onnxruntime"))


def wanted_precisions(bundle: Bundle, text: str | None) -> tuple[str, ...]:
    """Return the precisions that a bundle holds and those to add; BundleError where there is no fp32 to make them of.

    `text` is the value of --precisions; None adds INT8 where that is possible.
    """
    if "fp32" not in bundle.precisions:
        if text is not None:
            why = "it holds no fp32 graphs to make others of"
            raise BundleError(str(bundle.path), why, "leave --precisions out: the exits can be calibrated")
        return bundle.precisions
    wanted = {*bundle.precisions, *read_precisions("int8" if text is None else text)}
    return tuple(name for name in PRECISIONS if name in wanted)


def calibrate_bundle(
    source: Bundle,
    target: Path,
    data: Path,
    *,
    videos: Path | None,
    split: str | None,
    precisions: Sequence[str],
    most_lost: float,
    threads: int | None,
) -> Calibration:
    """Calibrate with progress bars, and name the clips that could not be read once it is done."""
    from avgn_edge.calibration.procedure import calibrate  # noqa: PLC0415 - PyTorch and onnx

    check_replaceable(target.resolve())
    clips = read_dataset(data, videos)
    if split is not None:
        clips = clips.part(split)
    with _bars() as progress:
        done = calibrate(
            source, target, clips, precisions=precisions, most_lost=most_lost, threads=threads, progress=progress
        )
    for failed in done.failed:
        console.warning(f"skipped: {failed.error}")
    return done


@contextmanager
def _bars() -> Iterator[Progress]:
    """Show a bar for each kind of work, one after the other."""
    bar: Bar | None = None
    with ExitStack() as shown:

        def progress(what: str, done: int, whole: int) -> None:
            nonlocal bar
            if bar is None or bar.what != what:
                shown.close()
                bar = shown.enter_context(Bar(what, whole))
            bar.show(done)

        yield progress


def to_json(done: Calibration) -> dict[str, Any]:
    """Return the tables as data."""
    return {
        "bundle": str(done.bundle.path),
        "hash": done.bundle.hash,
        "clips": done.clips,
        "failed": [{"clip": failed.clip, "error": failed.error} for failed in done.failed],
        "graphs": [
            {
                **graph.to_dict(),
                "alone": None if (alone := done.alone.get((graph.precision, graph.graph))) is None else alone.to_dict(),
            }
            for graph in done.graphs
        ],
        "precisions": {precision: agreement.to_dict() for precision, agreement in done.whole.items()},
        "smallest_risk": _smallest_risks(done.bundle.manifest),
        "calibration": done.bundle.manifest.to_dict()["calibration"],
    }


def as_text(done: Calibration, shown: str) -> Iterator[str]:
    """Lay the tables out; `shown` is the folder as a person would type it."""
    head = ("graph", "precision", "size", "of fp32", "error", "speed", "top-1", "moments", "saliency", "boxes")
    rows = [head]
    for graph in done.graphs:
        alone = done.alone.get((graph.precision, graph.graph))
        rows.append(
            (
                graph.graph,
                graph.precision,
                size(graph.bytes),
                f"{100 * graph.bytes / graph.float_bytes:.0f} %",
                "-" if graph.error is None else f"{graph.error:.1e}",
                "-" if graph.speed is None else f"{graph.speed:.2f}x",
                *_agreement(alone),
            )
        )
    for precision, agreement in done.whole.items():
        mine = [graph for graph in done.graphs if graph.precision == precision]
        total, floats = sum(graph.bytes for graph in mine), sum(graph.float_bytes for graph in mine)
        rows.append(
            ("all graphs", precision, size(total), f"{100 * total / floats:.0f} %", "", "", *_agreement(agreement))
        )
    if len(rows) > 1:
        yield from columns(rows, right=frozenset(range(2, len(head))))
        yield from LEGEND
        yield ""
    yield from _exit_lines(done)
    yield f"{printable(shown)}: calibrated on {counted(done.clips, 'clip')}"
    least = max(_smallest_risks(done.bundle.manifest).values(), default=1.0)
    risk = "" if least >= 1 else f" --exit-risk {max(0.02, least):g}"
    yield f"next: avgn-edge classify CLIP --model {printable(shown)}{risk}"


def _agreement(agreement: Agreement | None) -> tuple[str, str, str, str]:
    if agreement is None:
        return "", "", "", ""
    top1 = f"{100 * agreement.top1:.1f} ({100 * (agreement.top1 - agreement.float_top1):+.1f})"
    moments = "-" if agreement.same_moment is None else f"{100 * agreement.same_moment:.0f} %"
    saliency = "-" if agreement.saliency_error is None else f"{agreement.saliency_error:.3f}"
    return top1, moments, saliency, "-" if agreement.box_shift is None else f"{agreement.box_shift:.1f}"


def _exit_lines(done: Calibration) -> Iterator[str]:
    """Say what stopping early saves at a few risks, with the bundle's own T_G."""
    manifest = done.bundle.manifest
    rows: list[tuple[str, ...]] = [("exit risk", "precision", "stops at", "disagrees", "mean GFLOPs", "of the whole")]
    for precision, tables in manifest.exits.tables.items():
        table = tables[-1]
        rows.extend(_risk_cells(table, precision, risk) for risk in SHOWN_RISKS)
    if len(rows) > 1:
        yield from columns(rows, right=frozenset(range(2, 6)))
        for precision, risk in _smallest_risks(manifest).items():
            yield f"the smallest exit risk that these clips certify in {precision} is {risk:g}"
        yield ""


def _smallest_risks(manifest: Manifest) -> dict[str, float]:
    tables = {precision: tables[-1] for precision, tables in manifest.exits.tables.items()}
    return {precision: smallest_risk(table.clips, table.risk) for precision, table in tables.items()}


def _risk_cells(table: ExitTable, precision: str, risk: float) -> tuple[str, ...]:
    row = certified(table.clips, table.risk, risk)
    if row is None:
        return f"{risk:g}", precision, "never", "-", "-", "-"
    whole = table.full_macs
    return (
        f"{risk:g}",
        precision,
        f"{row.confidence:.4f}",
        f"{row.disagreements} of {table.clips}",
        f"{row.mean_macs / 1e9:.3f}",
        f"{100 * row.mean_macs / whole:.0f} %",
    )
