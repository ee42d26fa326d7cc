"""Where the time of a clip goes, side by side: this package, the pipelines that anyone would write, and the floors.

    python -m benchmarks [--all] [--clips PATTERN...] [--device cpu openvino:CPU] [--json FILE] [--plot FILE]

Makes its own clips, the same each time, and keeps them in `--work` (2 GB; with --all 9 GB). On each of them, in turn
and in one process that is warm: ours at several budgets; what PyAV and what torchcodec give to the same network in
PyTorch; and under each of ours the same frames, windows and graphs by themselves. Before that fresh processes, and a
folder. Most clips show no digit: the answer means nothing, is never sure, and all looks are taken, the dearest case.
Those called `-digit` are recognised at the first look.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from avgn_edge._base.atomic import write_text
from avgn_edge._base.user_cache import user_cache
from avgn_edge.bundle.reader import Bundle, packaged_bundle_path
from avgn_edge.data.evaluation.plot import check_plot
from avgn_edge.runtime.device_check import versions
from avgn_edge.runtime.device_profile import processor
from benchmarks import ffmpeg

if TYPE_CHECKING:
    from rich.table import Table

    from benchmarks.report import ClipRows, Report

BUDGETS = ("none", "3gflops", "1gflops", "500mflops", "80ms")
PARTS = ("clips", "cold", "folder")
SHORT = "10s-*"
"""The clips that fresh processes and a folder are measured with: the first of them."""
COLD_RUNS = 7
WIDTH = 190
"""Of the tables where no terminal says otherwise."""


def main() -> None:
    """Make the clips, measure, tell."""
    options = _options()
    if not options.no_pipelines:
        ffmpeg.restart_with_libraries(options.work / "libraries")
    from benchmarks.clips import ALL, DEFAULT, made  # noqa: PLC0415 - PyAV, after the restart
    from benchmarks.picture import draw  # noqa: PLC0415

    if options.plot:
        check_plot(options.plot)
    chosen = [
        spec
        for spec in (ALL if options.all or options.clips else DEFAULT)
        if not options.clips or any(fnmatch(spec.name, pattern) for pattern in options.clips)
    ]
    if not chosen:
        raise SystemExit(f"no clip is called so; there are {', '.join(spec.name for spec in ALL)}")
    console = Console(stderr=True)
    paths = []
    for spec in chosen:
        with console.status(f"making {spec.name}"):
            paths.append(made(spec, options.work))
    told = 0
    for report in _measured(options, paths, console):  # minutes lie between them
        told = _tell(report, told)
        if options.json:
            write_text(options.json, json.dumps(report.to_dict(), indent=1) + "\n")
    if options.plot and report.clips:
        draw(report, options.plot)


def _measured(options: argparse.Namespace, paths: Sequence[Path], console: Console) -> Iterator[Report]:
    """The report, from its beginning to its end, after each part."""
    from benchmarks.processes import batches, cold  # noqa: PLC0415
    from benchmarks.report import Report  # noqa: PLC0415

    bundle = Bundle.open(options.model or packaged_bundle_path())
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else None
    machine = {"processor": processor(), "load at the start": load, **versions(), **_packages("torch", "torchcodec")}
    settings = {"bundle": bundle.manifest.name, "precision": options.precision, "rounds": str(options.rounds)}
    report = Report(machine, settings, ())
    yield report
    # Processes first: what this one does later is in nobody's way then.
    short = next((path for path in paths if fnmatch(path.stem, SHORT)), None)
    asked = ["--model", str(bundle.path), "--device", options.device[0], "--precision", options.precision]
    if short is not None and "cold" in options.parts:
        with console.status("fresh processes"):
            report = replace(report, cold=(cold(short, asked, COLD_RUNS),))
        yield report
    if short is not None and "folder" in options.parts:
        with console.status("a folder"):
            report = replace(report, batches=tuple(batches(short, asked)))
        yield report
    if "clips" in options.parts:
        for rows in _side_by_side(options, bundle, paths, console):
            report = replace(report, clips=(*report.clips, rows))
            yield report


def _side_by_side(
    options: argparse.Namespace, bundle: Bundle, paths: Sequence[Path], console: Console
) -> Iterator[ClipRows]:
    from benchmarks.obvious import settings_of  # noqa: PLC0415
    from benchmarks.side_by_side import Contenders, measure  # noqa: PLC0415

    contenders = Contenders()
    for device in options.device:
        contenders.add_ours(bundle, device, options.precision, options.budget)
    if not options.no_pipelines:
        contenders.add_pipelines(settings_of(bundle.manifest))
    contenders.warm(min(paths, key=lambda path: path.stat().st_size))
    for path in paths:
        with console.status(f"measuring {path.stem}"):
            rows = measure(contenders, path, options.rounds, options.patience)
        yield rows


def _tell(report: Report, told: int) -> int:
    """Print what was not told yet; `told` is 0 or what the call before returned."""
    from benchmarks.side_by_side import PIPELINES  # noqa: PLC0415

    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    lines = [f"{name}: {value or 'not installed'}" for name, value in {**report.machine, **report.settings}.items()]
    pieces: list[str | Table] = ["\n".join(lines), *report.tables(PIPELINES)]
    for piece in pieces[told:]:
        console.print(piece, highlight=False)
    sys.stdout.flush()
    return len(pieces)


def _packages(*names: str) -> dict[str, str | None]:
    found: dict[str, str | None] = dict.fromkeys(names)
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--all", action="store_true", help="every length, size, codec and key-frame interval")
    parser.add_argument("--clips", nargs="+", metavar="PATTERN", help="those called so, such as '2min-*-hevc-*'")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="default: all")
    parser.add_argument("--no-pipelines", action="store_true", help="ours and their floors only")
    parser.add_argument("--work", type=Path, default=None, metavar="DIR", help="default: the user's cache folder")
    parser.add_argument("--model", type=Path, metavar="BUNDLE", help="default: the packaged one")
    parser.add_argument("--device", nargs="+", default=["cpu"], metavar="D", help="processes take the first")
    parser.add_argument("--precision", default="auto", metavar="P")
    parser.add_argument("--budget", nargs="+", default=BUDGETS, metavar="B")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="at most, for each clip")
    parser.add_argument("--patience", type=float, default=6.0, metavar="S", help="for each contender on each clip")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help=".png, .svg or .pdf")
    options = parser.parse_args()
    options.work = (options.work or user_cache() / "benchmarks").resolve()
    return options


if __name__ == "__main__":
    main()
