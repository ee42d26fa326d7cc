"""`doctor`: what this machine can run, and why not; with `--prepare`, what engines cache is built."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from avgn_edge._base.text import printable
from avgn_edge.cli import console
from avgn_edge.cli.formatting import columns, duration, fields

if TYPE_CHECKING:
    from avgn_edge.bundle.reader import Bundle
    from avgn_edge.runtime.device_check import DeviceHealth, PreparedGraph


def prepare_device(bundle: Bundle, device: str, precision: str, threads: int | None) -> Iterator[PreparedGraph]:
    """Prepare the graphs of a bundle, saying on stderr what is used."""
    from avgn_edge.engines.select import choose_precision, open_engine, precision_note  # noqa: PLC0415
    from avgn_edge.runtime.device_check import prepare  # noqa: PLC0415

    engine = open_engine(device, threads=threads)
    chosen = choose_precision(precision, bundle.precisions_for(engine.int8_variant), engine.device)
    bundle.verify(chosen, engine.int8_variant)
    report = engine.report
    console.note(f"{bundle.manifest.name} in {chosen} on {report.used} ({report.engine} {report.engine_version})")
    for note in (*report.notes, precision_note(precision, chosen, engine.device)):
        if note is not None:
            console.note(note)
    yield from prepare(bundle, engine, chosen)


def as_line(row: PreparedGraph) -> str:
    """Say it to a person."""
    items = "1 item" if row.items == 1 else f"{row.items} items"
    return f"{row.graph:<14}  {items:>8}  ready in {row.ready_s:6.2f} s, then {row.run_ms:7.2f} ms a run"


def as_json(
    versions: dict[str, str | None], devices: Sequence[DeviceHealth], problems: Sequence[str]
) -> dict[str, Any]:
    """Return everything that was found out."""
    return {"versions": versions, "devices": [health.to_dict() for health in devices], "problems": list(problems)}


def as_text(versions: dict[str, str | None], devices: Sequence[DeviceHealth], problems: Sequence[str]) -> Iterator[str]:
    """Say it to a person."""
    yield from fields([(name, version or "not installed") for name, version in versions.items()])
    yield ""
    yield from columns([_device(health) for health in devices])
    if problems:
        yield ""
    for problem in problems:
        yield f"problem: {printable(problem)}"


def _device(health: DeviceHealth) -> tuple[str, str, str]:
    if not health.ok:
        return health.device, "no", printable(f"{health.why}: {health.what_to_do}")
    look = "" if health.look_ms is None else f", a look {health.look_ms:.1f} ms in {health.precision}"
    notes = "".join(f"; {note}" for note in health.notes)
    told = f"{health.engine}{look}, first run {duration(health.milliseconds or 0)}{notes}"
    return health.device, "works", printable(told)
