"""What was taken for what: a table of few classes, a picture of many, and the pairs most often confused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from avgn_edge.reports.html import meter, name, percent, table, text, wide
from avgn_edge.reports.pictures import palette_png

if TYPE_CHECKING:
    from avgn_edge.evaluation.details import Details

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
