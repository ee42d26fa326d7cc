"""`doctor`: what this machine can run, and why not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from avgn_edge.printable import printable
from avgn_edge.terminal.tables import columns, duration, fields

if TYPE_CHECKING:
    from avgn_edge.runtime.doctor import DeviceHealth


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
