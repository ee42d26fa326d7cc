"""`bench`: where the time goes, and the device profile that time budgets are planned with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from avgn_edge._base.errors import AvgnEdgeError
from avgn_edge._base.text import printable
from avgn_edge.cli.formatting import columns, counted

if TYPE_CHECKING:
    from pathlib import Path

    from avgn_edge.runtime.recognizer import Recognizer
    from avgn_edge.runtime.timings import Bench


def check_request(clip: str | None, *, save: bool) -> None:
    """Refuse a command that asks for nothing."""
    if clip is None and not save:
        raise AvgnEdgeError("avgn-edge bench", "it needs a clip", "name one, or measure the device with --save")


def save_profile(recognizer: Recognizer) -> Path:
    """Measure the device profile and keep it; an error where it cannot be kept, for that was asked for."""
    path = recognizer.save_profile()
    if path is None:
        advice = "make the cache folder writable, or set XDG_CACHE_HOME to one that is"
        raise AvgnEdgeError("the device profile", "the user's cache folder cannot be written", advice)
    return path


def as_text(done: Bench) -> Iterator[str]:
    """Say it to a person."""
    yield printable(f"{done.clip}: {done.model}, {done.device}, {done.precision}, budget {done.budget}")
    steps = f"{counted(done.glance, 'glance')}, {counted(done.looks, 'look')}, exit {done.exit}"
    yield f"{steps}; medians of {counted(done.repeats, 'run')}, the slowest {done.slowest_ms:.1f} ms"
    rows = [("", "ms", "%", "runs")]
    for stage in done.stages:
        share = f"{100 * stage.ms / done.total_ms:.0f}" if done.total_ms else ""
        rows.append((stage.name, f"{stage.ms:.2f}", share, str(stage.runs or "")))
    rows.append(("total", f"{done.total_ms:.2f}", "", ""))
    yield from columns(rows, right=frozenset({1, 2, 3}))
    if done.ahead_ms:
        yield f"frames decoded ahead for {done.ahead_ms:.1f} ms; listed is what was waited for"
    if done.over_floors is not None:
        floors = f"{done.frames_floor_ms:.1f} ms of the frames alone, {done.graphs_floor_ms:.1f} ms of the graphs alone"
        yield f"floors: {floors}; the total is {done.over_floors:.2f} times their sum"
