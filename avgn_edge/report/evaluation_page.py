"""The page over an evaluation: accuracy against cost, how clips ended, what was taken for what, and what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from avgn_edge.report.charts import CurvePoint, curve, histogram, reliability
from avgn_edge.report.html import (
    facts,
    link,
    meter,
    milliseconds,
    name,
    page,
    percent,
    section,
    table,
    text,
    wide,
)
from avgn_edge.report.looks import palette_png

if TYPE_CHECKING:
    from avgn_edge.data.evaluation.row import Details, Mistake, Row


MOST_CELLS: Final = 24
"""Classes of a table; of more there is a picture."""
MOST_PAIRS: Final = 20
_INK: Final = (59, 130, 209)
"""Of the picture, as opaque as a cell is full: it is seen on light and on dark."""


def confusion(details: Details) -> str:
    """Return the confusion matrix in whatever form can be read, or the classes by average precision."""
    if details.confusion is None:
        return _precisions(details)
    counts = details.confusion
    lost = f"<p>{details.unknown} clips have a label that the bundle does not know.</p>" if details.unknown else ""
    drawn = _cells(counts, details.labels) if len(counts) <= MOST_CELLS else _picture(counts)
    return lost + drawn + _pairs(counts, details.labels) + _classes(counts, details.labels)


def shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each class's clips by their answers, as shares of them, float64 [C, C]; a class without clips has 0."""
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), dtype=np.float64)


def _cells(counts: NDArray[np.int64], labels: Sequence[str]) -> str:
    head = "".join(f'<th scope="col" class="up"><span>{name(label)}</span></th>' for label in labels)
    rows = ""
    for truth, (row, part) in enumerate(zip(counts.tolist(), shares(counts).tolist(), strict=True)):
        cells = "".join(
            f'<td class="{_kind(truth == answer, share)}" style="--v:{share:.2f}">{count or ""}</td>'
            for answer, (count, share) in enumerate(zip(row, part, strict=True))
        )
        rows += f'<tr><th scope="row">{name(labels[truth])}</th>{cells}</tr>\n'
    caption = "Clips by what they show (rows) and by the answer (columns); the frame marks right answers"
    return wide(
        f'<table class="matrix"><caption>{caption}</caption><thead><tr><td></td>{head}</tr></thead>'
        f"<tbody>\n{rows}</tbody></table>",
        "Confusion matrix",
    )


def _kind(right: bool, share: float) -> str:
    return " ".join(word for word, so in (("right", right), ("strong", share > 0.55)) if so)


def _picture(counts: NDArray[np.int64]) -> str:
    palette = np.zeros((256, 4), dtype=np.uint8)
    palette[:, :3] = _INK
    palette[:, 3] = np.arange(256)
    # The root: a tenth of a class that goes astray should be seen.
    picture = palette_png((255 * np.sqrt(shares(counts))).round().astype(np.uint8), palette)
    about = f"Confusion matrix of {len(counts)} classes; the tables that follow name what stands out"
    return (
        f'<figure style="margin:.5rem 0"><img class="map" src="{picture}" alt="{about}">'
        "<figcaption>What clips show from top to bottom, the answer from left to right, in the order of the bundle's "
        "labels. What is right lies on the diagonal.</figcaption></figure>"
    )


def _pairs(counts: NDArray[np.int64], labels: Sequence[str]) -> str:
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_PAIRS]
    pairs = [(int(at) // len(counts), int(at) % len(counts)) for at in order if wrong.flat[at]]
    if not pairs:
        return "<p>No clip was taken for anything else.</p>"
    part = shares(counts)
    rows = [
        (
            name(labels[truth]),
            name(labels[answer]),
            str(wrong[truth, answer]),
            percent(float(part[truth, answer])),
            meter(float(part[truth, answer]), "look"),
        )
        for truth, answer in pairs
    ]
    head = ("What it shows", "Taken for", "Clips", "Of its clips", "")
    return table(head, rows, "The pairs most often confused", numbers=frozenset({2, 3}))


def _classes(counts: NDArray[np.int64], labels: Sequence[str]) -> str:
    clips, right = counts.sum(axis=1), counts.diagonal()
    present = [int(at) for at in np.argsort(right / np.maximum(clips, 1), kind="stable") if clips[at]]
    rows = [
        (
            name(labels[at]),
            str(clips[at]),
            percent(float(right[at] / clips[at])),
            meter(float(right[at] / clips[at])),
            str(counts[:, at].sum()),
        )
        for at in present
    ]
    head = ("Class", "Clips", "Right", "", "Times answered")
    told = table(head, rows, "Every class that has clips, the worst first", numbers=frozenset({1, 2, 4}))
    return f"<details><summary>{len(present)} classes</summary>{told}</details>"


def _precisions(details: Details) -> str:
    ordered = sorted(details.average_precisions.items(), key=lambda pair: pair[1])
    rows = [(name(label), percent(value), meter(value)) for label, value in ordered]
    told = table(("Class", "Average precision", ""), rows, "Every class that has clips", numbers=frozenset({1}))
    words = "Clips have several labels: none of them is taken for another. Here are the classes, the worst first."
    return f"<p>{text(words)}</p>{told}"


EVALUATION: Final = "evaluation.html"
COST_BINS: Final = 12
ENDS: Final = {
    "confident": "sure enough",
    "budget": "the budget did not reach further",
    "looks": "all looks were taken",
    "no-visual": "no pictures to look at",
}


@dataclass(frozen=True)
class Example:
    """A clip that went wrong, and its page."""

    mistake: Mistake
    page: str | None
    """The file beside the evaluation's; None where it could not be made, and then `error` says why."""
    thumbnail: str | None = None
    error: str = ""


def evaluation_page(rows: Sequence[Row], details: Sequence[Details], examples: Sequence[Example] = ()) -> str:
    """Return the page over one row or more of one bundle on one data set, with the details of each.

    `examples` are of the dearest row.
    """
    first = rows[0]
    several = first.task == "multi-label"
    told = [
        ("Model", name(first.model)),
        ("Device", text(first.device)),
        ("Precision", text(first.precision)),
        ("Clips", str(max(row.clips for row in rows))),
        ("Chance", f"{percent(first.chance)} {'mAP' if several else 'top-1'}"),
    ]
    dearest = dearest_row(rows)
    parts = [
        f"<header><h1>{name(first.model)} on labelled clips</h1>{facts(told)}</header>\n",
        section("Accuracy and cost", _curves(rows, several=several) + _table(rows)),
        *(
            _row(row, told_more, number, opened=number == dearest + 1)
            for number, (row, told_more) in enumerate(zip(rows, details, strict=True), 1)
        ),
        _examples(examples, rows[dearest]),
        _failed(rows),
    ]
    foot = (
        "<footer><p>GFLOPs are 10<sup>9</sup> multiply-accumulates, all of them counted. p95 is the 95th percentile "
        "over the clips. ECE, the expected calibration error, is how far confidence is from being right.</p></footer>"
    )
    return page(f"{first.model} on labelled clips", f"<main>\n{''.join(parts)}</main>\n{foot}")


def dearest_row(rows: Sequence[Row]) -> int:
    """The place of the row that spent most, which says most of the network itself."""
    return max(range(len(rows)), key=lambda at: rows[at].mean_gflops)


def _budget(row: Row) -> str:
    return "no budget" if row.budget == "none" else row.budget


def _curves(rows: Sequence[Row], *, several: bool) -> str:
    def score(row: Row) -> float:
        return row.mean_average_precision or 0.0 if several else row.top1

    what = "mAP" if several else "Top-1 accuracy"
    compute = [CurvePoint(_budget(row), row.mean_gflops, row.p95_gflops, score(row)) for row in rows]
    time = [CurvePoint(_budget(row), row.mean_ms, row.p95_ms, score(row)) for row in rows]
    chance = rows[0].chance
    drawn = curve(compute, chance, "GFLOPs a clip", f"{what} over compute; the table has its numbers")
    drawn += curve(time, chance, "ms a clip", f"{what} over time; the table has its numbers")
    return (
        f'<p class="about">{what} over the mean cost of a clip; the pale bar reaches to the 95th percentile. '
        f'Points are numbered as in the table.</p><div class="two">{drawn}</div>'
    )


def _table(rows: Sequence[Row]) -> str:
    judged = any(row.when_clips or row.readable_clips for row in rows)
    head = ["", "Budget", "Clips", "Top-1", "Top-5", "mAP", "ECE", "GFLOPs", "p95", "Glances", "Looks", "Time", "p95"]
    head += ["When", "Where", "Strict"] if judged else []
    cells = [
        (
            str(number),
            text(_budget(row)),
            str(row.clips),
            percent(row.top1),
            percent(row.top5),
            _share(row.mean_average_precision),
            percent(row.expected_calibration_error),
            f"{row.mean_gflops:.3f}",
            f"{row.p95_gflops:.3f}",
            f"{row.mean_glances:.1f}",
            f"{row.mean_looks:.1f}",
            milliseconds(row.mean_ms),
            milliseconds(row.p95_ms),
            *((_share(row.when), _share(row.where), _share(row.where_of_readable)) if judged else ()),
        )
        for number, row in enumerate(rows, 1)
    ]
    numbers = frozenset({0, *range(2, len(head))})
    note = (
        '<p class="about">When: the most salient moment lies in a true episode. Where: the first look\'s box contains '
        "the card's centre, of the clips whose first look falls on a card that can be read; strict: of all that hold "
        "one.</p>"
        if judged
        else ""
    )
    return table(head, cells, "A row a budget", numbers=numbers) + note


def _share(value: float | None) -> str:
    return "–" if value is None else percent(value)


def _row(row: Row, details: Details, number: int, *, opened: bool) -> str:
    content = (
        f"<h3>How clips ended</h3>{_ends(row)}"
        f'<div class="two">{_counts(details.glances, "glances")}{_counts(details.looks, "looks")}'
        f"{_costs(details.gflops)}</div>"
        f"<h3>How sure, and how right</h3>{_reliability(row, details)}"
        f"<h3>What was taken for what</h3>{confusion(details)}"
    )
    state = " open" if opened else ""
    return (
        f"<section><details{state}><summary>{number}. {text(_budget(row))}: {percent(row.top1)} top-1 at "
        f"{row.mean_gflops:.3f} GFLOPs</summary>{content}</details></section>\n"
    )


def _ends(row: Row) -> str:
    rows = [
        (text(ENDS.get(end, end)), str(count), percent(count / row.clips), meter(count / row.clips))
        for end, count in row.exits.items()
    ]
    return table(("Ended because", "Clips", "Share", ""), rows, "Why clips ended", numbers=frozenset({1, 2}))


def _counts(values: NDArray[np.int64], what: str) -> str:
    counts = np.bincount(values).tolist()
    return histogram(counts, [str(at) for at in range(len(counts))], f"{what} of a clip", f"How many {what} clips had")


def _costs(gflops: NDArray[np.float64]) -> str:
    counts, edges = np.histogram(gflops, bins=COST_BINS, range=(0.0, max(float(gflops.max()), 1e-9)))
    names = [f"{(low + high) / 2:.2g}" for low, high in pairwise(edges.tolist())]
    return histogram(counts.tolist(), names, "GFLOPs of a clip", "How many GFLOPs clips cost")


def _reliability(row: Row, details: Details) -> str:
    found = details.reliability
    drawn = reliability(
        found.confidence.tolist(),
        found.accuracy.tolist(),
        found.counts.tolist(),
        "How often answers were right, by how sure they were",
    )
    bins = [
        (percent(sure), percent(right), str(count))
        for sure, right, count in zip(found.confidence, found.accuracy, found.counts, strict=True)
        if count
    ]
    head = ("How sure", "Right", "Decisions" if row.task == "multi-label" else "Clips")
    told = table(head, bins, "Answers by how sure they were", numbers=frozenset({0, 1, 2}))
    return (
        '<p class="about">On the dashed line, what is said with 80 % is right in 80 %; below it, it is too sure. The '
        f"mean distance is {percent(row.expected_calibration_error)}.</p>"
        f'<div class="two">{drawn}<div>{told}</div></div>'
    )


def _examples(examples: Sequence[Example], row: Row) -> str:
    if not examples:
        return ""
    cards = ""
    for example in examples:
        mistake = example.mistake
        seen = f'<img class="thumb" src="{example.thumbnail}" alt="">' if example.thumbnail else ""
        title = name(mistake.clip.name) if example.page is None else link(example.page, name(mistake.clip.name))
        shown = ", ".join(map(name, mistake.clip.labels)) or "nothing"
        error = f'<p class="error">{text(example.error)}</p>' if example.error else ""
        cards += (
            f"<li>{seen}<h3>{title}</h3><p>It shows {shown} ({percent(mistake.true_score)}), the answer was "
            f"{name(mistake.label)}, {percent(mistake.score)}.</p>{error}</li>\n"
        )
    about = (
        f"Of {text(_budget(row))}: the wrong answers that were given most surely. Each was run once more for its page; "
        "with a budget of time it may have come out differently."
    )
    return section("What went wrong", f'<ul class="looks">{cards}</ul>', about)


def _failed(rows: Sequence[Row]) -> str:
    failed = {failure.clip: failure.error for row in rows for failure in row.failed}
    if not failed:
        return ""
    told = table(("Clip", "Why"), ((name(clip), text(error)) for clip, error in failed.items()), "Skipped clips")
    return section("Clips without an answer", told)
