"""`highlights`: the salient segments of a long video, as lines, lists for editors, cuts and a contact sheet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from avgn_edge._base.errors import AvgnEdgeError
from avgn_edge._base.text import printable
from avgn_edge.cli import console
from avgn_edge.cli.formatting import columns, counted
from avgn_edge.cli.progress import Bar

if TYPE_CHECKING:
    from avgn_edge.data.evaluation.tvsum import TvSumRow
    from avgn_edge.runtime.highlights.result import Highlights
    from avgn_edge.runtime.recognizer import Recognizer


PERCENT = 100


@dataclass(frozen=True)
class Wanted:
    """The files to write, besides what is told."""

    clips: Path | None = None
    edl: Path | None = None
    csv: Path | None = None
    sheet: Path | None = None

    def check(self, video: str) -> None:
        """Refuse what is bound to fail, before anything takes time; make the folder of the cuts."""
        from avgn_edge._base.atomic import check_writable, make_folder  # noqa: PLC0415

        files = [path for path in (self.edl, self.csv, self.sheet) if path is not None]
        for path in files:
            check_writable(path)
            if path.exists() and Path(video).exists() and path.samefile(video):
                raise AvgnEdgeError(str(path), "it is the video itself", "name another file")
        if len(set(files)) < len(files):
            raise AvgnEdgeError(str(files[0]), "two lists cannot have one file", "name a file for each")
        if self.clips is not None:
            make_folder(self.clips)


def find_highlights(
    recognizer: Recognizer, video: str, budget: str | None, *, top: int, least: float | None
) -> Highlights:
    """Find the highlights, with a bar on a terminal."""
    from avgn_edge.runtime.highlights import HighlightSettings  # noqa: PLC0415

    settings = HighlightSettings()
    if least is not None:
        settings = replace(settings, least_score=least, least_share=0.0)
    with Bar("highlights, %", PERCENT) as bar:
        return recognizer.highlights(
            video,
            budget,
            top=top,
            settings=settings,
            progress=lambda done, total: bar.show(PERCENT * done // max(1, total)),
        )


def write_files(told: Highlights, wanted: Wanted) -> Highlights:
    """Write the files that are wanted, and return the highlights with what the cuts hold."""
    if wanted.clips is not None:
        from avgn_edge.runtime.highlights.cut import cut_segments  # noqa: PLC0415

        with Bar("clips", len(told.segments)) as bar:
            told = cut_segments(told, told.video, wanted.clips, bar.show)
    if wanted.edl is not None or wanted.csv is not None:
        from avgn_edge._base.atomic import write_text  # noqa: PLC0415
        from avgn_edge.runtime.highlights.edit_lists import (  # noqa: PLC0415
            edl,
            facts_of,
            table,
        )

        facts = facts_of(told.video)
        if wanted.edl is not None:
            write_text(wanted.edl, edl(told, facts))
        if wanted.csv is not None:
            write_text(wanted.csv, table(told, facts))
    if wanted.sheet is not None:
        from avgn_edge.runtime.highlights.contact_sheet import write_sheet  # noqa: PLC0415

        write_sheet(told, told.video, wanted.sheet)
    return told


def tell(told: Highlights, *, as_json: bool) -> None:
    """Write the highlights on stdout: an object, or a line a segment; what they cost and warnings on stderr."""
    for text in () if as_json else told.warnings:
        console.warning(f"{told.video}: {text}")
    if as_json:
        console.json_line(told.to_dict())
        return
    for line in as_text(told):
        console.data(line)
    console.note(summary(told))


def as_text(told: Highlights) -> Iterator[str]:
    """A line a segment: rank, from, to, how long, class and its probability, score, and the file it was cut to."""
    rows = [
        (
            f"{segment.rank}.",
            clock(segment.start_s),
            "-",
            clock(segment.end_s),
            f"{segment.end_s - segment.start_s:.1f} s",
            printable(segment.label),
            f"{segment.label_score:.2f}",
            f"score {segment.score:.2f}",
            "" if segment.clip is None else printable(segment.clip.file),
        )
        for segment in told.segments
    ]
    if rows:
        yield from columns(rows, right=frozenset({0, 1, 3, 4}))


def summary(told: Highlights) -> str:
    """What it cost, in a line."""
    budget = told.budget
    share = budget.spent_gflops / budget.one_a_second_gflops
    found = counted(len(told.segments), "highlight") if told.segments else "no highlights"
    return (
        f"{found} in {clock(told.duration_s)}: {counted(budget.glances, 'glance')} at {budget.moments} moments, "
        f"{budget.spent_gflops:.1f} GFLOPs, {100 * share:.0f} % of glancing once a second; "
        f"{told.device}, {told.precision}"
    )


def clock(seconds: float) -> str:
    """Write a time as minutes, or hours and minutes, and seconds with a digit behind the point."""
    tenths = round(10 * seconds)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    rest = f"{tenths // 10:02d}.{tenths % 10}"
    return f"{hours}:{minutes:02d}:{rest}" if hours else f"{minutes}:{rest}"


def measure_tvsum(recognizer: Recognizer, annotations: Path, folder: Path, budget: str | None) -> TvSumRow:
    """Hold the highlights of TVSum's videos against its annotations."""
    from avgn_edge.data.evaluation.tvsum import evaluate_tvsum, read_annotations, videos_in  # noqa: PLC0415

    annotated, videos = read_annotations(annotations), videos_in(folder)
    with Bar("videos", len(annotated)) as bar:
        return evaluate_tvsum(annotated, videos, lambda path: recognizer.highlights(path, budget), bar.show)


def tell_tvsum(row: TvSumRow, *, as_json: bool) -> None:
    """Write how well it went on stdout: an object, or a line a category and one for all."""
    if row.missing:
        console.warning(f"{counted(len(row.missing), 'annotated video')} without a file: {', '.join(row.missing[:5])}")
    if as_json:
        console.json_line({**asdict(row), "missing": list(row.missing)})
        return
    rows = [(printable(name), f"{value:.3f}") for name, value in row.by_category.items()]
    table = [("category", "top-5 mAP"), *rows, ("all", f"{row.top5_map:.3f}")]
    for line in columns(table, right=frozenset({1})):
        console.data(line)
    console.note(counted(row.videos, "video"))
