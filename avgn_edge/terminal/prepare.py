"""`doctor --prepare`: build what a device's engine keeps in its cache, before it is needed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from avgn_edge.terminal import lines

if TYPE_CHECKING:
    from avgn_edge.bundle.reader import Bundle
    from avgn_edge.runtime.prepare import PreparedGraph


def prepare_device(bundle: Bundle, device: str, precision: str, threads: int | None) -> Iterator[PreparedGraph]:
    """Prepare the graphs of a bundle, saying on stderr what is used."""
    from avgn_edge.runtime.devices import choose_precision, open_engine, precision_note  # noqa: PLC0415
    from avgn_edge.runtime.prepare import prepare  # noqa: PLC0415

    engine = open_engine(device, threads=threads)
    chosen = choose_precision(precision, bundle.precisions_for(engine.int8_variant), engine.device)
    bundle.verify(chosen, engine.int8_variant)
    report = engine.report
    lines.note(f"{bundle.manifest.name} in {chosen} on {report.used} ({report.engine} {report.engine_version})")
    for note in (*report.notes, precision_note(precision, chosen, engine.device)):
        if note is not None:
            lines.note(note)
    yield from prepare(bundle, engine, chosen)


def as_line(row: PreparedGraph) -> str:
    """Say it to a person."""
    items = "1 item" if row.items == 1 else f"{row.items} items"
    return f"{row.graph:<14}  {items:>8}  ready in {row.ready_s:6.2f} s, then {row.run_ms:7.2f} ms a run"
