"""Classifies clips and writes their pages: what a batch does for each clip in whatever process, and an evaluation."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from avgn_edge._base.atomic import write_text
from avgn_edge._base.errors import BudgetError, ClipError
from avgn_edge.report.clip_page import clip_page
from avgn_edge.report.evaluation_page import EVALUATION, Example
from avgn_edge.report.html import page_name, percent
from avgn_edge.report.index import INDEX, IndexRow
from avgn_edge.report.looks import thumbnail
from avgn_edge.report.record import record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from avgn_edge.data.evaluation.row import Mistake
    from avgn_edge.runtime.options import Options
    from avgn_edge.runtime.recognizer import Recognizer
    from avgn_edge.runtime.result import Result


def classify_and_report(recognizer: Recognizer, clip: str, folder: Path, options: Options) -> Result:
    """Classify a clip as `Recognizer.answer` does, and write its page into `folder`; `write_index` lists the pages.

    Raises what `answer` raises, and AvgnEdgeError for a page that cannot be written.
    """
    told = record(recognizer, partial(recognizer.open_clip, clip, options.sampling), options)
    file = page_name(clip)
    row = IndexRow.of(told, file)
    write_text(folder / file, clip_page(told, back=(INDEX, "All clips"), data=row.to_json()))
    return told.result


def report_mistakes(
    recognizer: Recognizer, mistakes: Iterable[Mistake], folder: Path, options: Options
) -> Iterator[Example]:
    """Run clips that went wrong again and write their pages into `folder`; yield each as it is done.

    One that has no answer this time has no page, and says why. AvgnEdgeError for a page that cannot be written.
    """
    from avgn_edge.data.evaluation.measuring import open_labelled  # noqa: PLC0415 - a batch of clips needs none of it

    average = None if options.average is None else options.average.asked
    asked = (options.budget.asked, options.exit_risk, average)
    for mistake in mistakes:
        clip = mistake.clip
        try:
            opening = partial(open_labelled, clip, recognizer.manifest, options.sampling)
            told = record(recognizer, opening, options)
        except (ClipError, BudgetError) as error:
            yield Example(mistake, None, error=str(error))
            continue
        file = page_name(str(clip.path), clip.start_s, clip.end_s, *asked)
        shown = ", ".join(clip.labels) or "nothing"
        note = f"{clip.name} shows {shown}; the evaluation's answer was {mistake.label}, {percent(mistake.score)}."
        write_text(folder / file, clip_page(told, back=(EVALUATION, "The evaluation"), note=note))
        yield Example(mistake, file, thumbnail(told))
