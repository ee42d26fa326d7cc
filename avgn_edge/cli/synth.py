"""`synth`: writes a composed set to a folder that is new, empty, or holds an earlier set."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avgn_edge._base.errors import DataError
from avgn_edge._base.processes import usable_cores
from avgn_edge._base.text import printable
from avgn_edge.cli import console
from avgn_edge.cli.formatting import counted
from avgn_edge.cli.progress import Bar

if TYPE_CHECKING:
    from avgn_edge.data.synth import Sources, Summary

TABLES = ("labels.csv", "truth.json")
UNFINISHED = ".unfinished"
"""Marks a folder whose set is being written, or was when it was interrupted."""
CLIPS_A_WORKER = 8
"""Starting a worker takes about as long as composing a clip."""
_CLIP = re.compile(r"[0-9]{6,}\.mp4")


def command(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="A new or empty folder, or an earlier set.")
    ],
    clips: Annotated[int, typer.Option(metavar="N", min=1, help="How many clips.")] = 100,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="The same seed gives the same set.")] = 0,
    objects: Annotated[Path | None, typer.Option(metavar="DIR", help="Pictures, a folder a class.")] = None,
    sounds: Annotated[Path | None, typer.Option(metavar="DIR", help="Recordings, a folder a class.")] = None,
    backgrounds: Annotated[Path | None, typer.Option(metavar="DIR", help="Photographs.")] = None,
    environment: Annotated[Path | None, typer.Option(metavar="DIR", help="Recordings of places.")] = None,
    val_fraction: Annotated[float, typer.Option(metavar="F", min=0, max=1, help="Share of validation clips.")] = 0.2,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Processes. [default: as many as are worth it]")
    ] = None,
) -> None:
    """Compose a data set with known when and where. What has no folder is drawn, or played, by us."""
    from avgn_edge.data.synth import Sources  # noqa: PLC0415 - Pillow

    sources = Sources.from_folders(objects, sounds, backgrounds, environment)
    summary = write_set(output, sources, clips=clips, seed=seed, val_fraction=val_fraction, workers=workers)
    console.data_lines(as_text(summary))


def write_set(
    directory: Path, sources: Sources, *, clips: int, seed: int, val_fraction: float, workers: int | None
) -> Summary:
    """Write the set, replacing an earlier one; DataError for a folder that holds anything else."""
    from avgn_edge.data.synth import write_dataset  # noqa: PLC0415 - Pillow

    _check_replaceable(directory)
    directory.mkdir(parents=True, exist_ok=True)
    unfinished = directory / UNFINISHED
    unfinished.touch()
    # Until the new tables are written nothing describes the clips: half of a set must not pass for a whole one.
    for table in TABLES:
        (directory / table).unlink(missing_ok=True)
    workers = workers or max(1, min(usable_cores(), clips // CLIPS_A_WORKER))
    with Bar("clips", clips) as bar:
        summary = write_dataset(
            directory,
            clips=clips,
            seed=seed,
            sources=sources,
            val_fraction=val_fraction,
            workers=workers,
            progress=lambda done, _: bar.show(done),
        )
    for path in (directory / "clips").iterdir():  # those of a larger set before
        if _CLIP.fullmatch(path.name) and int(path.stem) >= clips:
            path.unlink()
    unfinished.unlink()
    return summary


def as_text(summary: Summary) -> Iterator[str]:
    """Say what was written."""
    split = ", ".join(f"{count} {part}" for part, count in sorted(summary.by_split.items()))
    channels = ", ".join(f"{count} {channel}" for channel, count in sorted(summary.by_channel.items()))
    classes = counted(len(summary.by_label), "class", "classes")
    yield f"{counted(summary.clips, 'clip')} of {classes}, {summary.seconds:.0f} s: {split}; {channels}"
    yield f"labels: {printable(str(summary.labels))}"
    yield f"truth: {printable(str(summary.truth))}"


def _check_replaceable(directory: Path) -> None:
    """Refuse a folder that holds something other than a set, whole or interrupted."""
    if not directory.exists():
        return
    if not directory.is_dir():
        raise DataError("synth", f"{directory} is a file", "give a new or empty folder")
    names = {path.name for path in directory.iterdir()}
    if names and UNFINISHED not in names and not names.issuperset({*TABLES, "clips"}):
        raise DataError("synth", f"{directory} holds something other than a composed set", "give a new or empty folder")
