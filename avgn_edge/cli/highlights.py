"""`highlights`: the salient segments of a long video, as lines, lists for editors, cuts and a contact sheet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from avgn_edge._base.atomic import check_writable, make_folder, write_text
from avgn_edge._base.errors import AvgnEdgeError, ClipError
from avgn_edge._base.text import printable
from avgn_edge.cli import console
from avgn_edge.cli.formatting import clock, columns, counted
from avgn_edge.cli.progress import Bar
from avgn_edge.cli.shared import AsJson, Device, PackagedModel, Precision, Threads
from avgn_edge.data.evaluation.tvsum import TvSumRow, evaluate_tvsum, read_annotations, videos_in
from avgn_edge.runtime.highlights import HighlightSettings
from avgn_edge.runtime.highlights.contact_sheet import write_sheet
from avgn_edge.runtime.highlights.cut import cut_segments
from avgn_edge.runtime.highlights.edit_lists import edl as edit_list
from avgn_edge.runtime.highlights.edit_lists import facts_of
from avgn_edge.runtime.highlights.edit_lists import table as segments_table
from avgn_edge.runtime.highlights.result import Highlights
from avgn_edge.runtime.recognizer import Recognizer

PERCENT = 100


def command(
    context: typer.Context,
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="A video or sound file; with --tvsum a folder.")],
    model: PackagedModel = None,
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget",
            "-b",
            metavar="B",
            help="For the whole video: 90gflops, or none. [default: a quarter of glancing at one frame a second]",
        ),
    ] = None,
    top: Annotated[int, typer.Option(metavar="N", min=1, max=999, help="Segments at most.")] = 5,
    least: Annotated[
        float | None,
        typer.Option(
            metavar="S", min=0, help="The least score of a segment. [default: 0.3, and 0.65 of the best one's]"
        ),
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
    as_json: AsJson = False,
    clips: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Cut the segments out, without encoding them again.")
    ] = None,
    edl: Annotated[Path | None, typer.Option(metavar="FILE", help="An edit decision list, CMX 3600.")] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="A table of the segments.")] = None,
    sheet: Annotated[Path | None, typer.Option(metavar="FILE", help="A contact sheet, PNG.")] = None,
    tvsum: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Measure instead: TVSum's annotations (ydata-tvsum50-anno.tsv).")
    ] = None,
) -> None:
    """Find the salient segments of a long video: its sound is heard throughout, frames are glanced at where it pays."""
    files = OutputFiles(clips, edl, csv, sheet)
    if tvsum is None:
        files.check(video)
    elif files != OutputFiles():
        raise AvgnEdgeError("--tvsum", "it measures, and writes no files", "leave --clips, --edl, --csv, --sheet out")
    try:
        with Recognizer.open(model, device, precision, threads=threads) as recognizer:
            if tvsum is not None:
                print_tvsum(measure_tvsum(recognizer, tvsum, Path(video), budget), as_json=as_json)
                return
            found = find_highlights(recognizer, video, budget, top=top, least=least)
        found = files.write(found)
    except ClipError as error:
        if as_json:
            console.json_line({"video": video, "error": console.one_line(error)})
        console.failure(error, debug=context.obj)
        raise typer.Exit(1) from None
    if as_json:
        console.json_line(found.to_dict())
        return
    for text in found.warnings:
        console.warning(f"{found.video}: {text}")
    console.data_lines(as_text(found))
    console.note(summary(found))


@dataclass(frozen=True)
class OutputFiles:
    """The files to write beside what is printed."""

    clips: Path | None = None
    """The folder of the cuts."""
    edl: Path | None = None
    csv: Path | None = None
    sheet: Path | None = None

    def check(self, video: str) -> None:
        """Refuse what is bound to fail, before anything takes time; make the folder of the cuts."""
        files = [path for path in (self.edl, self.csv, self.sheet) if path is not None]
        for path in files:
            check_writable(path)
            if path.exists() and Path(video).exists() and path.samefile(video):
                raise AvgnEdgeError(str(path), "it is the video itself", "name another file")
        if len(set(files)) < len(files):
            raise AvgnEdgeError(str(files[0]), "two lists cannot have one file", "name a file for each")
        if self.clips is not None:
            make_folder(self.clips)

    def write(self, found: Highlights) -> Highlights:
        """Write the files, and return the highlights with what the cuts hold."""
        if self.clips is not None:
            with Bar("clips", len(found.segments)) as bar:
                found = cut_segments(found, found.video, self.clips, bar.show)
        if self.edl is not None or self.csv is not None:
            facts = facts_of(found.video)
            if self.edl is not None:
                write_text(self.edl, edit_list(found, facts))
            if self.csv is not None:
                write_text(self.csv, segments_table(found, facts))
        if self.sheet is not None:
            write_sheet(found, found.video, self.sheet)
        return found


def find_highlights(
    recognizer: Recognizer, video: str, budget: str | None, *, top: int, least: float | None
) -> Highlights:
    """Find the highlights, with a progress bar."""
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


def as_text(found: Highlights) -> Iterator[str]:
    """Lay out a line a segment: rank, from, to, length, class and its probability, score, the file it was cut to."""
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
        for segment in found.segments
    ]
    if rows:
        yield from columns(rows, right=frozenset({0, 1, 3, 4}))


def summary(found: Highlights) -> str:
    """Say in a line what was found and what it cost."""
    budget = found.budget
    share = budget.spent_gflops / budget.one_a_second_gflops
    count = counted(len(found.segments), "highlight") if found.segments else "no highlights"
    return (
        f"{count} in {clock(found.duration_s)}: {counted(budget.glances, 'glance')} at {budget.moments} moments, "
        f"{budget.spent_gflops:.1f} GFLOPs, {100 * share:.0f} % of glancing once a second; "
        f"{found.device}, {found.precision}"
    )


def measure_tvsum(recognizer: Recognizer, annotations: Path, folder: Path, budget: str | None) -> TvSumRow:
    """Compare the highlights of TVSum's videos with its annotations."""
    annotated, videos = read_annotations(annotations), videos_in(folder)
    with Bar("videos", len(annotated)) as bar:
        return evaluate_tvsum(annotated, videos, lambda path: recognizer.highlights(path, budget), bar.show)


def print_tvsum(row: TvSumRow, *, as_json: bool) -> None:
    """Print how well it went: an object, or a line a category and one for all."""
    if row.missing:
        console.warning(f"{counted(len(row.missing), 'annotated video')} without a file: {', '.join(row.missing[:5])}")
    if as_json:
        console.json_line({**asdict(row), "missing": list(row.missing)})
        return
    rows = [(printable(name), f"{value:.3f}") for name, value in row.by_category.items()]
    console.data_lines(
        columns([("category", "top-5 mAP"), *rows, ("all", f"{row.top5_map:.3f}")], right=frozenset({1}))
    )
    console.note(counted(row.videos, "video"))
