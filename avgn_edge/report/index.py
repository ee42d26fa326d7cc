"""The index over many clips. Each page holds its own row: whoever wrote it, and whatever ended that, it is listed."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_type_hints

from avgn_edge._base.atomic import write_text
from avgn_edge.report.clip_page import clip_page
from avgn_edge.report.html import page_name, render
from avgn_edge.report.pictures import thumbnail
from avgn_edge.report.record import Record, record

if TYPE_CHECKING:
    from avgn_edge.runtime.options import Options
    from avgn_edge.runtime.recognizer import Recognizer
    from avgn_edge.runtime.result import Result


INDEX: Final = "index.html"
MOST_THUMBNAILS: Final = 1_000
"""In one index, at 2 kB each; with more clips than that it has none."""
ENDS: Final = {"confident": "sure", "budget": "budget", "looks": "all looks", "no-visual": "no pictures"}
_HEAD_BYTES: Final = 1 << 17
_ROW: Final = re.compile(r'<meta name="avgn-edge-row" content="([^"]*)">')
"""Where clip.html has a page's row, in JSON."""


@dataclass(frozen=True)
class IndexRow:
    """What the index says of a clip. A clip that failed has an `error` and no page."""

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
        """Return the row as the clip's page holds it."""
        return json.dumps(asdict(self))


def classify_and_report(recognizer: Recognizer, clip: str, folder: Path, options: Options) -> Result:
    """Classify a clip as `Recognizer.answer` does, and write its page; `write_index` lists it.

    Args:
        recognizer: The recognizer to use.
        clip: The clip's path.
        folder: Where to write the page.
        options: What is asked for.

    Raises:
        AvgnEdgeError: The clip has no answer, for the reasons of `answer`, or its page cannot be written.
    """
    told = record(recognizer, partial(recognizer.open_clip, clip, options.sampling), options)
    file = page_name(clip)
    row = IndexRow.of(told, file)
    write_text(folder / file, clip_page(told, back=(INDEX, "All clips"), data=row.to_json()))
    return told.result


def write_index(folder: Path, failed: Iterable[tuple[str, str]] = ()) -> Path:
    """Write index.html over the pages that lie in `folder`, of this run and of earlier ones.

    A page that cannot be read, or is none of ours, is left out.

    Args:
        folder: Where the pages are.
        failed: Clips without a page, and why.

    Returns:
        The index.

    Raises:
        AvgnEdgeError: It cannot be written.
    """
    rows = {row.page: row for row in map(_row_of_page, folder.glob("*.html")) if row is not None}
    rows |= {row.page: row for row in (IndexRow(clip, page_name(clip), why) for clip, why in failed)}
    path = folder / INDEX
    write_text(path, index_page(sorted(rows.values(), key=lambda row: (row.clip, row.page))))
    return path


def index_page(rows: Iterable[IndexRow]) -> str:
    """Return the page over these clips. It is whole without its script, which lets a click on a heading sort."""
    listed = list(rows)
    done = [row for row in listed if row.error is None]
    return render(
        "index.html",
        rows=listed,
        done=done,
        answers=Counter(row.label for row in done).most_common(),
        pictures=len(listed) <= MOST_THUMBNAILS and any(row.thumbnail for row in done),
        ends=ENDS,
    )


def _row_of_page(path: Path) -> IndexRow | None:
    """Read the row that a page holds; None where there is none, or one that cannot be shown."""
    kinds = {key: int | float if kind is float else kind for key, kind in get_type_hints(IndexRow).items()}
    try:
        with path.open("rb") as page:
            head = page.read(_HEAD_BYTES).decode("utf-8", errors="replace")
        found = _ROW.search(head)
        given = json.loads(html.unescape(found[1])) if found else None
        if not isinstance(given, dict):
            return None
        row = IndexRow(**{key: given[key] for key in kinds.keys() & given.keys()} | {"page": path.name, "error": None})
        if not all(isinstance(getattr(row, key), kind) for key, kind in kinds.items()):
            return None
        index_page([row])  # one that cannot be printed must not cost the others
    except (OSError, ValueError, TypeError, OverflowError, RecursionError):
        return None
    return row
