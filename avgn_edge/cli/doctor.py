"""`doctor`: what this machine can run, and why not; with `--prepare`, what engines cache is built."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from avgn_edge._base.text import printable
from avgn_edge.bundle.reader import Bundle, packaged_bundle_path
from avgn_edge.cli import console
from avgn_edge.cli.formatting import columns, counted, duration, fields
from avgn_edge.cli.shared import AsJson
from avgn_edge.engines.select import choose_precision, open_engine, precision_note
from avgn_edge.runtime import device_check
from avgn_edge.runtime.device_check import DeviceHealth, PreparedGraph


def command(
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="BUNDLE", help="What to time a look of. [default: the packaged one]"),
    ] = None,
    prepare: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="Build what this device's engine caches: minutes for tensorrt.")
    ] = None,
    precision: Annotated[str, typer.Option(metavar="P", help="With --prepare: auto, fp32, fp16, int8.")] = "auto",
    threads: Annotated[int | None, typer.Option(metavar="N", help="With --prepare: CPU threads.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what this machine can run, and how long a look takes: each device really runs a bundle's graphs."""
    bundle = Bundle.open(packaged_bundle_path() if model is None else model)
    if prepare is not None:
        for row in prepare_device(bundle, prepare, precision, threads):
            if as_json:
                console.json_line(row.to_dict())
            else:
                console.data(prepared_line(row))
        return
    versions, devices, problems = device_check.versions(), device_check.examine(bundle), device_check.problems()
    if as_json:
        found = [health.to_dict() for health in devices]
        console.json_line({"versions": versions, "devices": found, "problems": list(problems)})
    else:
        console.data_lines(as_text(versions, devices, problems))
    raise typer.Exit(0 if any(health.ok for health in devices) else console.FAILED)


def prepare_device(bundle: Bundle, device: str, precision: str, threads: int | None) -> Iterator[PreparedGraph]:
    """Prepare the graphs of a bundle, and write on stderr which engine and precision are used."""
    engine = open_engine(device, threads=threads)
    chosen = choose_precision(precision, bundle.precisions_for(engine.int8_variant), engine.device)
    bundle.verify(chosen, engine.int8_variant)
    report = engine.report
    console.note(f"{bundle.manifest.name} in {chosen} on {report.used} ({report.engine} {report.engine_version})")
    for note in (*report.notes, precision_note(precision, chosen, engine.device)):
        if note is not None:
            console.note(note)
    yield from device_check.prepare(bundle, engine, chosen)


def prepared_line(row: PreparedGraph) -> str:
    """Describe a prepared graph in a line."""
    items = counted(row.items, "item")
    return f"{row.graph:<14}  {items:>8}  ready in {row.ready_s:6.2f} s, then {row.run_ms:7.2f} ms a run"


def as_text(versions: dict[str, str | None], devices: Sequence[DeviceHealth], problems: Sequence[str]) -> Iterator[str]:
    """Lay out what was found for a person."""
    yield from fields([(name, version or "not installed") for name, version in versions.items()])
    yield ""
    yield from columns([_cells(health) for health in devices])
    if problems:
        yield ""
    for problem in problems:
        yield f"problem: {printable(problem)}"


def _cells(health: DeviceHealth) -> tuple[str, str, str]:
    if not health.ok:
        return health.device, "no", printable(f"{health.why}: {health.what_to_do}")
    look = "" if health.look_ms is None else f", a look {health.look_ms:.1f} ms in {health.precision}"
    notes = "".join(f"; {note}" for note in health.notes)
    first_run = duration(health.milliseconds or 0)
    return health.device, "works", printable(f"{health.engine}{look}, first run {first_run}{notes}")
