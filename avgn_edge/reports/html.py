"""Text into HTML: what comes from outside goes through `text` or `name`; pages are written whole or not at all.

Names and labels are anybody's: they may hold markup, control characters, and any script.
"""

from __future__ import annotations

import base64
import hashlib
import html
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import Final
from urllib.parse import quote

from avgn_edge.printable import printable
from avgn_edge.reports.style import STYLE

DATA: Final = "avgn-edge-row"
"""The name of the `meta` element that holds what the index says of a clip."""
_JOINERS: Final = frozenset("\u200c\u200d")
"""Unprintable, yet part of how some scripts and emoji are written."""
_LONGEST_STEM: Final = 60


def text(value: str) -> str:
    """Escape a text for the inside of an element or of a quoted attribute.

    What would steer the page's reading order, or is no character of HTML, is spelled out as in `printable`.
    """
    return html.escape("".join(c if c in _JOINERS else printable(c) for c in value))


def name(value: str) -> str:
    """Return a name or label from outside, with a reading direction of its own."""
    return f'<bdi dir="auto">{text(value)}</bdi>'


def percent(share: float) -> str:
    """Write a share in per cent: 0.914 as 91.4 %."""
    return f"{100 * share:.1f} %"


def milliseconds(value: float) -> str:
    """Write a time as ms with a sensible number of digits, or as s from ten seconds on."""
    if value >= 9_999.5:
        return f"{value / 1e3:.1f} s"
    return f"{value:.0f} ms" if value >= 99.5 else f"{value:.1f} ms"


def seconds(value: float) -> str:
    """Write a time of a clip: 5.52 s, or 1:02:03.4 from a minute on."""
    tenths = round(10 * value)
    if tenths < 600:
        return f"{value:.2f} s"
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    clock = f"{minutes}:{rest / 10:04.1f}"
    return f"{hours}:{minutes:02d}:{rest / 10:04.1f}" if hours else clock


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], caption: str, *, numbers: frozenset[int] = frozenset()
) -> str:
    """Return a table whose cells are HTML, the first of each row its heading; it scrolls where it is too wide.

    `numbers` are the columns set to the right.
    """

    def kind(at: int) -> str:
        return ' class="n"' if at in numbers else ""

    top = "".join(f'<th scope="col"{kind(at)}>{cell}</th>' for at, cell in enumerate(head))
    body = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row"{kind(at)}>{cell}</th>' if at == 0 else f"<td{kind(at)}>{cell}</td>"
            for at, cell in enumerate(row)
        )
        + "</tr>\n"
        for row in rows
    )
    return wide(
        f"<table><caption>{caption}</caption><thead><tr>{top}</tr></thead>\n<tbody>\n{body}</tbody></table>",
        re.sub(r"<[^>]*>", "", caption),
    )


def wide(content: str, label: str) -> str:
    """Let content that may be wider than the page scroll by itself, by keyboard too; `label` is escaped already."""
    return f'<div class="wide" role="region" aria-label="{label}" tabindex="0">{content}</div>'


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Return names and what they stand for, both HTML."""
    return '<dl class="facts">' + "".join(f"<div><dt>{key}</dt><dd>{value}</dd></div>" for key, value in rows) + "</dl>"


def meter(share: float, kind: str = "") -> str:
    """Return a bar of this share of its place; the number stands beside it, so it says nothing to a screen reader."""
    width = 100 * min(max(share, 0.0), 1.0)
    return f'<span class="bar {kind}" aria-hidden="true"><i style="width:{width:.2f}%"></i></span>'


def section(title: str, content: str, about: str = "") -> str:
    """Return a part of a page; `title` and `about` are HTML."""
    told = f'<p class="about">{about}</p>' if about else ""
    return f"<section><h2>{title}</h2>{told}\n{content}\n</section>\n"


def page(title: str, content: str, *, script: str = "", data: str = "") -> str:
    """Return a whole page: `title` and `data` are plain text, `content` HTML, `script` ours alone.

    Its policy lets it load nothing, and run nothing but `script`.
    """
    allowed = f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" if script else "'none'"
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed}; base-uri 'none'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        + (f'<meta name="{DATA}" content="{text(data)}">\n' if data else "")
        + f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{content}\n"
        + (f"<script>{script}</script>\n" if script else "")
        + "</body>\n</html>\n"
    )


def page_name(clip: str, *more: object) -> str:
    """Return the file name of a clip's page: safe on every file system, the same every time, of this clip alone.

    Clips are told apart by their absolute paths; `more` tells several pages of one apart.
    """
    path = os.fsencode(os.path.abspath(clip)) + "".join(f"\0{part}" for part in more).encode()  # noqa: PTH100
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(clip).stem).strip("-_")[:_LONGEST_STEM].rstrip("-_")
    return f"{stem or 'clip'}-{hashlib.sha256(path).hexdigest()[:12]}.html"


def short_name(clip: str) -> str:
    """Return a clip's name without its folders."""
    return PurePath(clip).name or clip


def link(file: str, content: str) -> str:
    """Return a link to another file of the same folder; `content` is HTML."""
    return f'<a href="{text(quote(file))}">{content}</a>'
