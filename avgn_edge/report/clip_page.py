"""The page of one clip: what it answered, when and where it looked, how the answer formed, and what it cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import avgn_edge
from avgn_edge.report.charts import STYLES, line_key, lines
from avgn_edge.report.html import (
    facts,
    link,
    meter,
    milliseconds,
    name,
    page,
    percent,
    seconds,
    section,
    short_name,
    table,
    text,
)
from avgn_edge.report.looks import looks
from avgn_edge.report.timeline import timeline

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

    `back` is a page that lies beside it, and what to call it; `note`, plain text, says why there is this page; `data`
    is kept in it for the index.
    """
    parts = (
        _head(record, note),
        timeline(record),
        looks(record),
        _forming(record),
        _spending(record),
        _moments(record),
    )
    upward = "" if back is None else f"<p>{link(back[0], '← ' + text(back[1]))}</p>\n"
    foot = (
        "<footer><p>GFLOPs are 10<sup>9</sup> multiply-accumulates, all of them counted. A glance is a whole frame "
        "through the small network, a look a patch of it through the large one. Saliency says how much a moment is "
        f"expected to tell. Made by avgn-edge {text(avgn_edge.__version__)}.</p></footer>"
    )
    return page(short_name(record.result.clip), f"{upward}<main>\n{''.join(parts)}</main>\n{foot}", data=data)


def _head(record: Record, note: str) -> str:
    result = record.result
    order = (-result.probabilities).argsort(kind="stable")[: max(CLASSES, len(result.top))]
    rows = (
        (
            str(rank),
            name(record.labels[at]),
            percent(float(result.probabilities[at])),
            meter(float(result.probabilities[at])),
        )
        for rank, at in enumerate(order.tolist(), 1)
    )
    size = "no pictures seen" if record.display_size is None else f"{record.display_size[0]} × {record.display_size[1]}"
    told = [
        ("Length", seconds(result.duration_s)),
        ("Pictures", size if record.has_video else "none"),
        ("Sound", "yes" if record.heard.any() else "silence" if record.has_audio else "none"),
        ("Device", text(result.device)),
        ("Precision", text(result.precision)),
        ("Model", name(result.model)),
    ]
    warned = "".join(f'<p class="warn">Warning: {text(warning)}</p>' for warning in result.warnings)
    several = "Several may be right: each has a score of its own." if record.task == "multi-label" else ""
    return (
        f"<header><h1>{name(short_name(result.clip))}</h1>\n"
        + (f'<p class="soft">{name(result.clip)}</p>\n' if short_name(result.clip) != result.clip else "")
        + (f'<p class="about">{text(note)}</p>' if note else "")
        + f'<p class="answer">{name(result.label)} <small>{percent(result.score)}</small></p>\n'
        f"<p>{EXITS[result.exit]}</p>{warned}{facts(told)}</header>\n"
        + section(
            "The answer",
            table(("", "Class", "Score", ""), rows, "The most probable classes", numbers=frozenset({0, 2})),
            several,
        )
    )


def _forming(record: Record) -> str:
    """How the answer formed: those classes that led at some step, and the best at the end."""
    if not record.steps:
        return ""
    best = (-record.result.probabilities).argsort(kind="stable").tolist()
    leading = dict.fromkeys(int(step.probabilities.argmax()) for step in record.steps)
    followed = sorted(list(dict.fromkeys([best[0], *leading, *best[:CLASSES]]))[:STYLES], key=best.index)
    series = [[float(step.probabilities[at]) for step in record.steps] for at in followed]
    short = [_short(step, number) for number, step in _numbered(record)]
    about = "Probabilities of the best classes after each step: " + ", ".join(record.labels[at] for at in followed)
    key = "".join(f"<li>{line_key(style)}{name(record.labels[at])}</li>" for style, at in enumerate(followed))
    chart = lines(series, short, about)
    rows = (
        (
            _long(step, number),
            *(percent(float(step.probabilities[at])) for at in followed),
            f"{step.spent_gflops:.3f}",
            milliseconds(step.elapsed_ms),
        )
        for number, step in _numbered(record)
    )
    head = ("After", *(name(record.labels[at]) for at in followed), "GFLOPs so far", "Time so far")
    numbered = frozenset(range(1, len(head)))
    told = table(head, rows, "The probabilities after each step, and what had been spent", numbers=numbered)
    words = "♪ is the sound alone, G the glances with it, numbers are looks." if chart else ""
    return section("How the answer formed", chart + f'<ul class="key">{key}</ul>' + told, words)


def _numbered(record: Record) -> list[tuple[int, Step]]:
    """The steps, with the number of looks so far."""
    looked, steps = 0, []
    for step in record.steps:
        looked += step.kind == "looked"
        steps.append((looked, step))
    return steps


def _short(step: Step, number: int) -> str:
    return {"began": "–", "listened": "♪", "glanced": "G", "looked": str(number)}[step.kind]


def _long(step: Step, number: int) -> str:
    if step.kind == "looked" and step.moment is not None:
        return f"look {number}: moment {step.moment + 1}"
    many = "glance" if len(step.glanced) == 1 else "glances"
    return {"began": "nothing yet", "listened": "listening", "glanced": f"{len(step.glanced)} {many}"}.get(
        step.kind, step.kind
    )


def _spending(record: Record) -> str:
    result, timing = record.result, record.result.timing_ms
    spent, total = max(result.budget.spent_gflops, 1e-12), max(timing.total, 1e-9)
    items: dict[str, int] = {}
    for run in result.runs:
        items[run.graph] = items.get(run.graph, 0) + run.items
    rows = []
    stages = [("Decoding: opening, frames and sound", "", timing.decode)]
    stages += [(role.title, role.name, timing.stages[role.timing]) for role in record.roles]
    for words, graph, took in stages:
        gflops = record.gflops.get(graph, 0.0)
        runs = str(items.get(graph, 0)) if graph else ""
        rows.append(
            (words, runs, f"{gflops:.3f}", meter(gflops / spent), milliseconds(took), meter(took / total, "look"))
        )
    rest = max(0.0, timing.total - sum(took for _, _, took in stages))
    rows += [
        ("Everything else", "", f"{0:.3f}", meter(0), milliseconds(rest), meter(rest / total, "look")),
        ("Together", "", f"{result.budget.spent_gflops:.3f}", "", milliseconds(timing.total), ""),
    ]
    head = ("What", "Items", "GFLOPs", "", "Time", "")
    spending = table(head, rows, "Compute and time by stage", numbers=frozenset({1, 2, 4}))
    told = [
        ("Budget", text(result.budget.asked)),
        ("Spent", f"{result.budget.spent_gflops:.3f} GFLOPs"),
        ("Took", milliseconds(timing.total)),
        ("Glances", str(result.budget.glances)),
        ("Looks", str(result.budget.looks)),
        *([("Decoded beside it", milliseconds(1e3 * result.ahead_s))] if result.ahead_s else []),
    ]
    return section("What it cost", facts(told) + _of_budget(record) + spending)


def _of_budget(record: Record) -> str:
    asked = record.budget
    if asked.macs is not None:
        share, what = record.result.budget.spent_gflops * 1e9 / asked.macs, "compute"
    elif asked.seconds is not None:
        share, what = record.result.timing_ms.total / 1e3 / asked.seconds, "time"
    else:
        return ""
    return f"<p>{percent(share)} of the {what} that it was given was used.</p>{meter(share)}"


def _moments(record: Record) -> str:
    first = record.first_glanced
    rows = (
        (
            str(moment.index + 1),
            seconds(moment.time_s),
            "yes" if record.heard[moment.index] else "–",
            "–" if moment.saliency is None else f"{moment.saliency:.3f}",
            ("yes" if moment.index in first else "for the look") if moment.glanced else "–",
            "–" if moment.rank is None else str(moment.rank + 1),
            "–" if moment.label is None else name(moment.label),
            "–" if moment.score is None else percent(moment.score),
            "–" if moment.box is None else ", ".join(f"{value:.0f}" for value in moment.box),
        )
        for moment in record.result.moments
    )
    head = ("Moment", "Time", "Sound", "Saliency", "Glance", "Look", "It says", "Score", "Box: x, y, width, height")
    told = table(head, rows, "What is known of each moment by itself", numbers=frozenset({0, 1, 3, 5, 7, 8}))
    return section("All moments", f"<details><summary>{len(record.result.moments)} moments</summary>{told}</details>")
