"""What was measured, and what follows from it: rows, ratios, and the tables that a person reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from benchmarks.processes import Batch, Cold
from benchmarks.rounds import Spread

WITHIN, SHARE = 1.3, 0.05
"""What ours may take over the sum of its floors, and what of it may be orchestration."""


@dataclass(frozen=True)
class Row:
    """One contender on one clip."""

    contender: str
    seconds: Spread | None
    """None where it was not run."""
    stages: Mapping[str, float]
    """Median seconds by what took them."""
    note: str = ""
    """Why it was not run, or how far the answer got."""
    floor: Spread | None = None
    """Of ours: what the same decoding and the same graphs take by themselves."""
    floor_stages: Mapping[str, float] | None = None
    orchestration: float | None = None
    """Of ours: the share that is neither decoding, front end nor a graph."""

    @property
    def over_floor(self) -> float | None:
        """Seconds over the floor's."""
        return None if self.floor is None or self.seconds is None else self.seconds.median / self.floor.median


@dataclass(frozen=True)
class ClipRows:
    """All contenders on one clip."""

    clip: str
    seconds: float
    megabits: float
    """Of the whole file a second."""
    rows: tuple[Row, ...]

    def times_as_fast(self, contender: str, than: str) -> float | None:
        """Return how many times as fast one contender is as another; None where either was not run."""
        found = {row.contender: row.seconds for row in self.rows}
        mine, theirs = found.get(contender), found.get(than)
        return None if mine is None or theirs is None else theirs.median / mine.median


@dataclass(frozen=True)
class Report:
    """One run of the benchmarks."""

    machine: Mapping[str, str | None]
    settings: Mapping[str, str]
    clips: tuple[ClipRows, ...]
    cold: tuple[Cold, ...] = ()
    batches: tuple[Batch, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; all times are seconds."""
        made = asdict(self)
        for clip, written in zip(self.clips, made["clips"], strict=True):
            for row, fields in zip(clip.rows, written["rows"], strict=True):
                fields["over_floor"] = row.over_floor
        for batch, fields in zip(self.batches, made["batches"], strict=True):
            fields |= {"peak_bytes": batch.peak_bytes, "growth": batch.growth}
        return made

    def tables(self, against: Sequence[str]) -> Iterator[Table]:
        """Lay it out in the order of measuring; ours are compared with the contenders named in `against`."""
        if self.cold:
            yield _cold_table(self.cold)
        if self.batches:
            yield _batch_table(self.batches)
        for clip in self.clips:
            yield _clip_table(clip, against)


def median_stages(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of each stage; one that did not happen in a run took no time in it."""
    names = dict.fromkeys(name for stages in runs for name in stages)
    return {name: Spread.of([stages.get(name, 0.0) for stages in runs]).median for name in names}


def milliseconds(seconds: float) -> str:
    """Write a time as ms, with a digit behind the point below 100."""
    return f"{1e3 * seconds:.1f}" if seconds < 0.1 else f"{1e3 * seconds:,.0f}"


def _clip_table(clip: ClipRows, against: Sequence[str]) -> Table:
    table = Table(
        "",
        "ms",
        "quartiles",
        "runs",
        *(f"times as fast as {name}" for name in against),
        "floor, ms",
        f"over floor (≤ {WITHIN})",
        f"orchestration (≤ {SHARE:.0%})",
        "",
        title=f"{clip.clip}: {clip.seconds:.0f} s, {clip.megabits:.1f} Mbit/s",
    )
    for row in clip.rows:
        if row.seconds is None:
            table.add_row(row.contender, "not run", *[""] * (5 + len(against)), row.note)
            continue
        ratios = (clip.times_as_fast(row.contender, name) for name in against)
        table.add_row(
            row.contender,
            milliseconds(row.seconds.median),
            f"{milliseconds(row.seconds.low)} … {milliseconds(row.seconds.high)}",
            str(row.seconds.runs),
            *("" if ratio is None or row.contender in against else f"{ratio:.1f}" for ratio in ratios),
            "" if row.floor is None else milliseconds(row.floor.median),
            "" if row.over_floor is None else f"{row.over_floor:.2f}",
            "" if row.orchestration is None else f"{row.orchestration:.1%}",
            row.note,
        )
    return table


def _cold_table(rows: Sequence[Cold]) -> Table:
    table = Table("clip", "to the label, ms", "quartiles", "to the end, ms", "peak, MB", "runs", title="fresh process")
    for cold in rows:
        table.add_row(
            cold.clip,
            milliseconds(cold.label_s.median),
            f"{milliseconds(cold.label_s.low)} … {milliseconds(cold.label_s.high)}",
            milliseconds(cold.exit_s.median),
            f"{cold.peak_bytes.median / 1e6:.0f}",
            str(cold.label_s.runs),
        )
    return table


def _batch_table(rows: Sequence[Batch]) -> Table:
    table = Table("jobs", "s", "clips a second", "processes", "peak, MB", "late memory / early", title="a folder")
    for batch in rows:
        table.add_row(
            "–" if batch.jobs is None else str(batch.jobs),
            f"{batch.seconds:.1f}",
            f"{batch.clips_per_s:.1f}",
            str(max((count for *_, count in batch.samples), default="")),
            "" if batch.peak_bytes is None else f"{batch.peak_bytes / 1e6:.0f}",
            "" if batch.growth is None else f"{batch.growth:.2f}",
        )
    return table
