"""The page of one clip: what it answered, when and where it looked, how the answer formed, and what it cost."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import avgn_edge
from avgn_edge.report.charts import STYLES, lines
from avgn_edge.report.html import render
from avgn_edge.report.pictures import GLANCE_PIXELS, any_widened, fitted, jpeg, palette, palette_png, spectrogram

if TYPE_CHECKING:
    from avgn_edge.report.record import Record, Step


CLASSES: Final = 5
"""Classes that are listed; those whose probabilities are followed may be one more."""

EXITS: Final = {
    "confident": "It stopped because it was sure enough: looking further would hardly have changed the answer.",
    "budget": "It stopped because the budget did not reach any further.",
    "looks": "It stopped after all the looks that were planned.",
    "no-visual": "There are no pictures to look at: the answer comes from the sound alone.",
    None: "It has not ended.",
}


def clip_page(record: Record, *, back: tuple[str, str] | None = None, note: str = "", data: str = "") -> str:
    """Return the whole page, HTML that needs nothing besides itself; at most about a megabyte.

    Args:
        record: The clip.
        back: The file of a page beside this one, and what to call it, for a link to it.
        note: Why there is this page, in plain text.
        data: What the page keeps for the index: see `IndexRow`.
    """
    result = record.result
    order = (-result.probabilities).argsort(kind="stable").tolist()
    return render(
        "clip.html",
        record=record,
        result=result,
        back=back,
        note=note,
        data=data,
        version=avgn_edge.__version__,
        ended=EXITS[result.exit],
        best=[(record.labels[at], result.probabilities[at]) for at in order[: max(CLASSES, len(result.top))]],
        spectrogram=palette_png(spectrogram(record), palette()) if record.heard.any() else None,
        widened=record.heard.any() and any_widened(record),
        salient=max(
            (moment for moment in result.moments if moment.saliency is not None),
            key=lambda moment: moment.saliency or 0.0,
            default=None,
        ),
        looks=_looks(record),
        glances=_glances(record),
        **_forming(record, order),
        costs=_costs(record),
    )


def _looks(record: Record) -> list[dict[str, Any]]:
    """Return the moments that were looked at, each with its frame and with the answer after it, a label and a score."""
    looks = []
    for moment in record.looked if record.shown is not None else ():
        after = next(step.probabilities for step in record.steps if step.moment == moment.index)
        best = int(after.argmax())
        frame = jpeg(record.frames[moment.index])
        looks.append({"moment": moment, "frame": frame, "label": record.labels[best], "score": after[best]})
    return looks


def _glances(record: Record) -> list[dict[str, Any]]:
    """Return the moments that were only glanced at, each with a small picture of its frame."""
    if record.shown is None:
        return []
    size = fitted(record.shown, GLANCE_PIXELS)
    return [
        {"moment": record.result.moments[index], "frame": jpeg(frame, *size), "size": size}
        for index, frame in record.frames.items()
        if record.result.moments[index].rank is None
    ]


def _forming(record: Record, order: list[int]) -> dict[str, Any]:
    """Return how the answer formed, as names for the template.

    `steps` are the steps with their words. `followed` are the classes that led at some step or are among the best at
    the end, as (index, label), and `chart` shows their probabilities. `order` are all classes, the most probable first.
    """
    if not record.steps:
        return {"steps": []}
    leading = (int(step.probabilities.argmax()) for step in record.steps)
    followed = sorted(list(dict.fromkeys([order[0], *leading, *order[:CLASSES]]))[:STYLES], key=order.index)
    labels = [record.labels[at] for at in followed]
    series = [[float(step.probabilities[at]) for step in record.steps] for at in followed]
    looked, short, steps = 0, [], []
    for step in record.steps:
        looked += step.kind == "looked"
        short.append({"began": "–", "listened": "♪", "glanced": "G", "looked": str(looked)}[step.kind])
        steps.append((_words(step, looked), step))
    chart = lines(series, short, "Probabilities of the best classes after each step: " + ", ".join(labels))
    return {"steps": steps, "followed": list(zip(followed, labels, strict=True)), "chart": chart}


def _words(step: Step, looked: int) -> str:
    if step.kind == "looked" and step.moment is not None:
        return f"look {looked}: moment {step.moment + 1}"
    glances = f"{len(step.glanced)} {'glance' if len(step.glanced) == 1 else 'glances'}"
    return {"began": "nothing yet", "listened": "listening", "glanced": glances, "looked": "looked"}[step.kind]


def _costs(record: Record) -> list[tuple[str, int | str, float, float]]:
    """Return the rows of the table of stages: a title, how many items ran, GFLOPs and milliseconds."""
    timing = record.result.timing_ms
    items: Counter[str] = Counter()
    for run in record.result.runs:
        items[run.graph] += run.items
    rows: list[tuple[str, int | str, float, float]] = [("Decoding: opening, frames and sound", "", 0.0, timing.decode)]
    for role in record.roles:
        gflops = record.gflops.get(role.name, 0.0)
        rows.append((role.title, items[role.name], gflops, timing.stages[role.timing]))
    return [*rows, ("Everything else", "", 0.0, max(0.0, timing.total - sum(took for *_, took in rows)))]
