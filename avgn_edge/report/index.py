"""The index over many clips. Each page holds its own row: whoever wrote it, and whatever ended that, it is listed."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

from avgn_edge._base.atomic import write_text
from avgn_edge.report.html import (
    DATA,
    facts,
    link,
    meter,
    milliseconds,
    name,
    page,
    page_name,
    percent,
    seconds,
    short_name,
    text,
    wide,
)
from avgn_edge.report.looks import thumbnail

if TYPE_CHECKING:
    from avgn_edge.report.record import Record


INDEX: Final = "index.html"
_HEAD_BYTES: Final = 1 << 17
MOST_THUMBNAILS: Final = 1_000
"""In one index, at 2 kB each; with more clips than that it has none."""
ENDS: Final = {"confident": "sure", "budget": "budget", "looks": "all looks", "no-visual": "no pictures"}


@dataclass(frozen=True)
class IndexRow:
    """What the index says of a clip; a failed one has an `error` and no page."""

    clip: str
    page: str
    """The file beside the index, or for a failed clip the name that its page would have."""
    error: str | None = None
    label: str = ""
    score: float = 0.0
    duration_s: float = 0.0
    gflops: float = 0.0
    total_ms: float = 0.0
    glances: int = 0
    looks: int = 0
    exit: str = ""
    warnings: int = 0
    thumbnail: str | None = None

    @classmethod
    def of(cls, record: Record, page: str) -> IndexRow:
        """Sum up a record whose page has this name."""
        result = record.result
        return cls(
            clip=result.clip,
            page=page,
            label=result.label,
            score=result.score,
            duration_s=result.duration_s,
            gflops=result.budget.spent_gflops,
            total_ms=result.timing_ms.total,
            glances=result.budget.glances,
            looks=result.budget.looks,
            exit=result.exit or "",
            warnings=len(result.warnings),
            thumbnail=thumbnail(record),
        )

    def to_json(self) -> str:
        """The row as its page holds it."""
        return json.dumps(asdict(self))


def write_index(folder: Path, failed: Iterable[tuple[str, str]] = ()) -> Path:
    """Write index.html over the pages that lie in `folder`, of this run and of earlier ones, and return it.

    `failed` are clips without a page, and why. A page that cannot be read, or is none of ours, is left out.
    """
    rows = {row.page: row for row in _rows_of_pages(folder)}
    rows |= {row.page: row for row in (IndexRow(clip, page_name(clip), why) for clip, why in failed)}
    path = folder / INDEX
    write_text(path, index_page(sorted(rows.values(), key=lambda row: (row.clip, row.page))))
    return path


def index_page(rows: Iterable[IndexRow]) -> str:
    """Return the page over these clips. It is whole without its script, which lets a click on a heading sort."""
    listed = list(rows)
    done = [row for row in listed if row.error is None]
    pictures = len(listed) <= MOST_THUMBNAILS and any(row.thumbnail for row in done)
    heads = ["Clip", "Answer", "Score", "Length", "GFLOPs", "Time", "Glances", "Looks", "Ended by", "Warnings"]
    numeric = {"Score", "Length", "GFLOPs", "Time", "Glances", "Looks", "Warnings"}
    top = '<th scope="col"><span class="soft">Seen</span></th>' if pictures else ""
    top += "".join(f'<th scope="col"{_right(head in numeric)}>{head}</th>' for head in heads)
    body = "".join(_row(row, len(heads), pictures=pictures) for row in listed)
    table = wide(
        f'<table id="clips"><caption>A row a clip; its name leads to its page</caption><thead><tr>{top}</tr></thead>\n'
        f"<tbody>\n{body}</tbody></table>",
        "The clips",
    )
    failed = len(listed) - len(done)
    told = [("Clips", str(len(listed))), *([("Failed", str(failed))] if failed else [])]
    if done:
        told += [
            ("GFLOPs a clip", f"{sum(row.gflops for row in done) / len(done):.3f}"),
            ("Time a clip", milliseconds(sum(row.total_ms for row in done) / len(done))),
        ]
    content = (
        f"<main><header><h1>What was heard and seen</h1>{facts(told)}</header>\n"
        f"{_labels(done)}<section><h2>Clips</h2>\n{table}</section></main>"
    )
    return page("What was heard and seen", content, script=SORT)


def _row(row: IndexRow, columns: int, *, pictures: bool) -> str:
    seen = ""
    if pictures:
        seen = "<td>" + (f'<img class="thumb" src="{text(row.thumbnail)}" alt="">' if row.thumbnail else "") + "</td>"
    if row.error is not None:
        return (
            f'<tr>{seen}<th scope="row">{name(short_name(row.clip))}{_folder(row.clip)}</th>'
            f'<td class="error" colspan="{columns - 1}">{text(row.error)}</td></tr>\n'
        )
    cells = (
        (name(row.label), None),
        (percent(row.score), row.score),
        (seconds(row.duration_s), row.duration_s),
        (f"{row.gflops:.3f}", row.gflops),
        (milliseconds(row.total_ms), row.total_ms),
        (str(row.glances), row.glances),
        (str(row.looks), row.looks),
        (ENDS.get(row.exit, text(row.exit)), None),
        (str(row.warnings or ""), row.warnings),
    )
    told = "".join(
        f"<td>{cell}</td>" if value is None else f'<td class="n" data-v="{value:.9g}">{cell}</td>'
        for cell, value in cells
    )
    return (
        f'<tr>{seen}<th scope="row">{link(row.page, name(short_name(row.clip)))}{_folder(row.clip)}</th>{told}</tr>\n'
    )


def _folder(clip: str) -> str:
    folder = clip[: -len(short_name(clip))]
    return f'<span class="in soft">{name(folder)}</span>' if folder else ""


def _right(numeric: bool) -> str:
    return ' class="n"' if numeric else ""


def _labels(done: list[IndexRow]) -> str:
    """How many clips each answer has, of the most frequent ones."""
    counts: dict[str, int] = {}
    for row in done:
        counts[row.label] = counts.get(row.label, 0) + 1
    if len(done) < 2 or len(counts) < 2:
        return ""
    most = sorted(counts.items(), key=lambda pair: -pair[1])
    rows = "".join(
        f'<tr><th scope="row">{name(label)}</th><td class="n">{count}</td>'
        f'<td class="grow">{meter(count / most[0][1])}</td></tr>'
        for label, count in most[:20]
    )
    more = f"<p>and {len(most) - 20} more classes</p>" if len(most) > 20 else ""
    return (
        f"<section><details><summary>{len(most)} classes</summary><table><caption>Clips by answer</caption>"
        f"<tbody>{rows}</tbody></table>{more}</details></section>\n"
    )


def _rows_of_pages(folder: Path) -> Iterator[IndexRow]:
    known = {field.name for field in fields(IndexRow)} - {"page", "error"}
    for path in folder.glob("*.html"):
        try:
            with path.open("rb") as page:
                head = page.read(_HEAD_BYTES).decode("utf-8", errors="replace")
            found = re.search(rf'<meta name="{DATA}" content="([^"]*)">', head)
            if found is None:
                continue
            given = json.loads(html.unescape(found[1]))
            row = IndexRow(page=path.name, **{key: value for key, value in given.items() if key in known})
            _row(row, 1, pictures=True)  # one that cannot be shown is none
        except (OSError, ValueError, TypeError, AttributeError):
            continue
        yield row


SORT: Final = """
(function(){
var table=document.getElementById("clips"),body=table.tBodies[0],heads=table.tHead.rows[0].cells;
function key(row,at){var cell=row.cells[at];if(!cell||cell.colSpan>1)return null;
var v=cell.getAttribute("data-v");return v===null?cell.textContent.toLowerCase():parseFloat(v);}
Array.prototype.forEach.call(heads,function(head,at){
if(head.firstElementChild)return;
var button=document.createElement("button");button.type="button";button.textContent=head.textContent;
head.textContent="";head.appendChild(button);
button.addEventListener("click",function(){
var down=head.getAttribute("aria-sort")==="ascending";
Array.prototype.forEach.call(heads,function(h){h.removeAttribute("aria-sort");});
head.setAttribute("aria-sort",down?"descending":"ascending");
Array.prototype.slice.call(body.rows).sort(function(a,b){var x=key(a,at),y=key(b,at);
if(x===null||y===null)return (x===null)-(y===null);
var d=typeof x==="number"&&typeof y==="number"?x-y:String(x).localeCompare(String(y));return down?-d:d;
}).forEach(function(row){body.appendChild(row);});
});});})();
"""
"""Sorts the rows by a column; failed clips stay last."""
