"""The page over an evaluation: accuracy against cost, how clips ended, what was taken for what, and what went wrong."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from avgn_edge._base.atomic import write_text
from avgn_edge._base.errors import BudgetError, ClipError
from avgn_edge.data.evaluation.measuring import open_labelled
from avgn_edge.report.charts import Chart, CurvePoint, curve, histogram, reliability
from avgn_edge.report.clip_page import clip_page
from avgn_edge.report.html import page_name, percent, render
from avgn_edge.report.pictures import palette_png, thumbnail
from avgn_edge.report.record import record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from avgn_edge.data.evaluation.row import Details, Mistake, Row
    from avgn_edge.runtime.options import Options
    from avgn_edge.runtime.recognizer import Recognizer


EVALUATION: Final = "evaluation.html"
MOST_CELLS: Final = 24
"""Classes of a table; of more there is a picture."""
MOST_PAIRS: Final = 20
COST_BINS: Final = 12
ENDS: Final = {
    "confident": "sure enough",
    "budget": "the budget did not reach further",
    "looks": "all looks were taken",
    "no-visual": "no pictures to look at",
}
_INK: Final = (59, 130, 209)
"""Of the picture, as opaque as a cell is full: it is seen on light and on dark."""


@dataclass(frozen=True)
class Example:
    """A clip that went wrong, and its page."""

    mistake: Mistake
    page: str | None
    """The file beside the evaluation's; None where it could not be made, and then `error` says why."""
    thumbnail: str | None = None
    error: str = ""


def evaluation_page(rows: Sequence[Row], details: Sequence[Details], examples: Sequence[Example] = ()) -> str:
    """Return the page over an evaluation of one bundle on one data set.

    Args:
        rows: A row for each budget, one at least.
        details: The details of each row.
        examples: Clips that went wrong in the dearest row.
    """
    several = rows[0].task == "multi-label"
    return render(
        "evaluation.html",
        first=rows[0],
        several=several,
        score_name="mAP" if several else "Top-1 accuracy",
        rows=rows,
        budget=_budget,
        curves=_curves(rows, several=several),
        dearest=dearest_row(rows),
        parts=[_part(one) for one in details],
        ends=ENDS,
        examples=examples,
        failed={failure.clip: failure.error for row in rows for failure in row.failed},
    )


def dearest_row(rows: Sequence[Row]) -> int:
    """Return the place of the row that spent most, which says most of the network itself."""
    return max(range(len(rows)), key=lambda at: rows[at].mean_gflops)


def report_mistakes(
    recognizer: Recognizer, mistakes: Iterable[Mistake], folder: Path, options: Options
) -> Iterator[Example]:
    """Classify the clips that went wrong once more and write their pages.

    Args:
        recognizer: The recognizer to use.
        mistakes: The clips.
        folder: Where to write the pages.
        options: What the evaluation asked for.

    Yields:
        Each clip as soon as its page is written. One that has no answer this time has no page and says why.

    Raises:
        AvgnEdgeError: A page cannot be written.
    """
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


def _budget(row: Row) -> str:
    return "no budget" if row.budget == "none" else row.budget


def _curves(rows: Sequence[Row], *, several: bool) -> tuple[Chart, Chart]:
    """Return the score over compute, and over time."""
    what = "mAP" if several else "Top-1 accuracy"
    scores = [(row.mean_average_precision or 0.0) if several else row.top1 for row in rows]
    named = [(_budget(row), row, score) for row, score in zip(rows, scores, strict=True)]
    compute = [CurvePoint(budget, row.mean_gflops, row.p95_gflops, score) for budget, row, score in named]
    time = [CurvePoint(budget, row.mean_ms, row.p95_ms, score) for budget, row, score in named]
    chance = rows[0].chance
    return (
        curve(compute, chance, "GFLOPs a clip", f"{what} over compute; the table has its numbers"),
        curve(time, chance, "ms a clip", f"{what} over time; the table has its numbers"),
    )


def _part(details: Details) -> dict[str, Any]:
    """Return what the part of the page about one row shows besides the row."""
    found = details.reliability
    confidence, accuracy, counts = found.confidence.tolist(), found.accuracy.tolist(), found.counts.tolist()
    about = "How often answers were right, by how sure they were"
    return {
        "histograms": [
            _count_histogram(details.glances, "glances"),
            _count_histogram(details.looks, "looks"),
            _cost_histogram(details.gflops),
        ],
        "reliability": reliability(confidence, accuracy, counts, about),
        "bins": [row for row in zip(confidence, accuracy, counts, strict=True) if row[2]],
        **_confusion(details),
    }


def _count_histogram(values: NDArray[np.int64], what: str) -> Chart:
    counts = np.bincount(values).tolist()
    return histogram(counts, [str(at) for at in range(len(counts))], f"{what} of a clip", f"How many {what} clips had")


def _cost_histogram(gflops: NDArray[np.float64]) -> Chart:
    counts, edges = np.histogram(gflops, bins=COST_BINS, range=(0.0, max(float(gflops.max()), 1e-9)))
    names = [f"{(low + high) / 2:.2g}" for low, high in pairwise(edges.tolist())]
    return histogram(counts.tolist(), names, "GFLOPs of a clip", "How many GFLOPs clips cost")


def _confusion(details: Details) -> dict[str, Any]:
    """Return what was taken for what, or with several labels a clip the classes by average precision."""
    if details.confusion is None:
        return {"precisions": sorted(details.average_precisions.items(), key=lambda pair: pair[1])}
    counts, labels = details.confusion, details.labels
    clips = counts.sum(axis=1)
    # Of each class, its clips by their answers; a class without clips has 0.
    shares = counts / np.maximum(clips, 1)[:, None]

    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_PAIRS]
    pairs = [divmod(int(at), len(counts)) for at in order if wrong.flat[at]]
    right = shares.diagonal()
    present = [int(at) for at in np.argsort(right, kind="stable") if clips[at]]
    return {
        "unknown": details.unknown,
        "labels": labels,
        "counts": counts.tolist(),
        "shares": shares.tolist(),
        "picture": _picture(shares) if len(counts) > MOST_CELLS else None,
        "pairs": [(labels[truth], labels[at], counts[truth, at], shares[truth, at]) for truth, at in pairs],
        "classes": [(labels[at], clips[at], right[at], counts[:, at].sum()) for at in present],
    }


def _picture(shares: NDArray[np.float64]) -> str:
    palette = np.zeros((256, 4), dtype=np.uint8)
    palette[:, :3] = _INK
    palette[:, 3] = np.arange(256)
    # The root: a tenth of a class that goes astray should be seen.
    return palette_png((255 * np.sqrt(shares)).round().astype(np.uint8), palette)
