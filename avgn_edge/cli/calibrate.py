"""`calibrate`, and the part of `export` that needs clips: the table that says what each precision costs and gains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avgn_edge._base.errors import AvgnEdgeError, BundleError, DeviceError
from avgn_edge.cli import console
from avgn_edge.cli.extras import require
from avgn_edge.cli.formatting import columns, counted, size
from avgn_edge.cli.progress import Bar

if TYPE_CHECKING:
    from avgn_edge.bundle.calibration_tables import ExitTable
    from avgn_edge.bundle.reader import Bundle
    from avgn_edge.calibration.comparison import Agreement
    from avgn_edge.calibration.precisions import Progress
    from avgn_edge.calibration.procedure import Calibration


PACKAGES = ("onnx", "onnxruntime")
SHOWN_RISKS = (0.01, 0.02, 0.05)
LEGEND = (
    "error: the largest difference from fp32 over the output's range; top-1 in %, of the clips that no range came from",
    "moments: first looks at the same moment as in fp32; saliency: mean absolute difference; boxes: mean shift, pixels",
    "speed: times as fast as fp32 here, on one CPU; fp16 is for GPUs, and a CPU emulates it",
)


def check_extra() -> None:
    """Say in one line which package is missing."""
    require("calibrate", PACKAGES)


def read_precisions(text: str) -> tuple[str, ...]:
    """Read a list such as "fp32,int8"."""
    from avgn_edge.bundle.manifest import PRECISIONS  # noqa: PLC0415

    names = [name.strip() for name in text.lower().split(",")]
    for name in names:
        if name not in PRECISIONS:
            raise DeviceError(f"precision {name[:40]!r}", "unknown", f"choose of {', '.join(PRECISIONS)}")
    return tuple(name for name in PRECISIONS if name in names)


def wanted_precisions(bundle: Bundle, text: str | None) -> tuple[str, ...]:
    """Return what a bundle shall hold: what it holds already, and INT8 or what was asked for."""
    from avgn_edge.bundle.manifest import PRECISIONS  # noqa: PLC0415

    if "fp32" not in bundle.precisions:
        if text is not None:
            why = "it holds no fp32 graphs to make others of"
            raise BundleError(str(bundle.path), why, "leave --precisions out: the exits can be calibrated")
        return bundle.precisions
    wanted = {*bundle.precisions, *read_precisions("int8" if text is None else text)}
    return tuple(name for name in PRECISIONS if name in wanted)


def check_loss(points: float) -> float:
    """Return the loss of top-1, given in points, as a share."""
    if not 0 <= points <= 100:
        raise AvgnEdgeError(f"--max-loss {points:g}", "it is in points of top-1", "give 0 to 100")
    return points / 100


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
    """Calibrate with a bar; unreadable clips are named once it is done."""
    from avgn_edge.bundle.writer import check_replaceable  # noqa: PLC0415
    from avgn_edge.calibration.procedure import calibrate  # noqa: PLC0415 - imports the engines and onnx
    from avgn_edge.cli.evaluate import read_clips  # noqa: PLC0415

    check_replaceable(target.resolve())
    clips = read_clips(data, videos, split)
    with _bars() as progress:
        done = calibrate(
            source,
            target,
            clips,
            precisions=precisions,
            most_lost=most_lost,
            threads=threads,
            progress=progress,
        )
    for failed in done.failed:
        console.warning(f"skipped: {failed.error}")
    return done


@contextmanager
def _bars() -> Iterator[Progress]:
    """One bar after the other, each for what is being done."""
    current: list[tuple[str, Bar]] = []

    def close() -> None:
        if current:
            current.pop()[1].__exit__(None, None, None)

    def progress(what: str, done: int, whole: int) -> None:
        if not current or current[-1][0] != what:
            close()
            bar = Bar(what, whole)
            bar.__enter__()
            current.append((what, bar))
        current[-1][1].show(done)

    try:
        yield progress
    finally:
        close()


def as_json(done: Calibration) -> dict[str, Any]:
    """Return the table as data."""
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
        "calibration": done.bundle.manifest.to_dict()["calibration"],
    }


def as_text(done: Calibration, shown: str) -> Iterator[str]:
    """Lay the tables out; `shown` is the folder as a person would type it."""
    from avgn_edge._base.text import printable  # noqa: PLC0415

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
    yield f"next: avgn-edge classify CLIP --model {printable(shown)} --exit-risk 0.02"


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
        yield ""


def _risk_cells(table: ExitTable, precision: str, risk: float) -> tuple[str, ...]:
    from avgn_edge.runtime.exits import certified  # noqa: PLC0415

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
