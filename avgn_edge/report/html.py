"""Text into HTML: what comes from outside goes through `text` or `name`; pages are written whole or not at all."""

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

from avgn_edge._base.text import printable

STYLE: Final = """
:root{--page:#f6f7f9;--card:#fff;--ink:#1b2430;--soft:#596575;--line:#d9dee5;--accent:#1f5fa8;--accent-rgb:31 95 168;
--look:#c2410c;--glance:#0f766e;--bad:#b42318;--c0:#1f5fa8;--c1:#c2410c;--c2:#0f766e;--c3:#7c3aed;--c4:#a16207;
--c5:#be185d;--gap:#e8ebef}
@media(prefers-color-scheme:dark){:root{--page:#12161c;--card:#1b212a;--ink:#e6eaf0;--soft:#a1adbb;--line:#333d4a;
--accent:#79b4f2;--accent-rgb:121 180 242;--look:#fb923c;--glance:#5eead4;--bad:#ff8a80;--c0:#79b4f2;--c1:#fb923c;
--c2:#5eead4;--c3:#c4a7ff;--c4:#facc15;--c5:#f9a8d4;--gap:#262e39}}
*{box-sizing:border-box}
html{color-scheme:light dark;-webkit-text-size-adjust:100%}
body{margin:0 auto;padding:1rem clamp(.75rem,3vw,2rem) 3rem;max-width:68rem;background:var(--page);color:var(--ink);
font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;overflow-wrap:anywhere}
h1{font-size:1.35rem;line-height:1.25;margin:.5rem 0}
h2{font-size:1.1rem;margin:0 0 .25rem}
h3{font-size:1rem;margin:1rem 0 .25rem}
p{margin:.35rem 0}
a{color:var(--accent)}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
header,section{background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:1rem;margin:0 0 1rem}
.about,.soft,caption,figcaption,footer{color:var(--soft);font-size:.9rem}
.answer{font-size:clamp(1.5rem,6vw,2.25rem);font-weight:700;line-height:1.15;margin:.25rem 0}
.answer small{font-size:.55em;font-weight:600;color:var(--soft);white-space:nowrap}
.warn{border-left:4px solid var(--look);padding-left:.6rem;margin:.5rem 0}
.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(8rem,1fr));gap:.6rem 1rem;margin:.75rem 0 0}
.facts dt{color:var(--soft);font-size:.85rem}
.facts dd{margin:0;font-weight:600}
.wide{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;width:100%;font-size:.92rem;font-variant-numeric:tabular-nums}
caption{text-align:left;padding:.25rem 0}
th,td{padding:.3rem .5rem;text-align:left;border-bottom:1px solid var(--line);vertical-align:middle}
th{font-weight:600}
thead th{color:var(--soft);font-size:.85rem;vertical-align:bottom}
td,th{overflow-wrap:normal}
bdi{overflow-wrap:anywhere}
table bdi{overflow-wrap:break-word;display:inline-block;max-width:14rem}
.in{display:block;font-weight:400;font-size:.8rem}
th.n:first-child{width:3rem}
.n{text-align:right;white-space:nowrap}
.bar{display:block;min-width:4rem;height:.7rem;border-radius:.35rem;background:var(--gap);overflow:hidden}
.bar i{display:block;height:100%;background:var(--accent)}
.bar.look i{background:var(--look)}.bar.glance i{background:var(--glance)}.bar.c0 i{background:var(--c0)}
.grow{width:45%}
.time{position:relative;margin:.5rem 0 0}
.track{position:relative;background:var(--gap);overflow:hidden}
.track img{display:block;width:100%;height:6rem}
.spec{border-radius:.4rem}
.none{padding:.75rem;color:var(--soft);text-align:center}
.sal{height:4.5rem;margin-top:.35rem;border-radius:.4rem}
.sal i{position:absolute;bottom:0;background:var(--accent);min-height:1px}
.sal i.glance{background:var(--glance)}.sal i.look{background:var(--look)}
.marks{position:relative;height:2.9rem;margin-top:.35rem}
.marks span{position:absolute;transform:translateX(-50%);text-align:center;line-height:1.15rem;height:1.15rem;
min-width:1.15rem;border-radius:.6rem;font-size:.75rem;font-weight:700}
.marks .g{top:0;border:2px solid var(--glance);width:1.15rem}
.marks .g.late{border-style:dotted}
.marks .l{top:1.5rem;background:var(--look);color:var(--card);padding:0 .2rem}
.axis{position:relative;height:1.4rem;color:var(--soft);font-size:.75rem}
.axis span{position:absolute;transform:translateX(-50%);white-space:nowrap}
.axis span:first-child{transform:none}.axis span:last-child{transform:translateX(-100%)}
.key{display:flex;flex-wrap:wrap;gap:.25rem 1.1rem;margin:.4rem 0 0;padding:0;list-style:none;font-size:.88rem}
.key li{display:flex;align-items:center;gap:.4rem}
.key b{flex:none;width:1rem;height:1rem;border-radius:.25rem;background:var(--accent)}
.key b.glance{background:var(--glance)}.key b.look{background:var(--look)}
.key b.ring{background:none;border:2px solid var(--glance);border-radius:50%}
.key b.ring.late{border-style:dotted}
.key b.dot{background:var(--look);border-radius:50%}
.key b.gap{background:var(--gap);border:1px solid var(--line)}
.key svg{flex:none;width:1.6rem;height:1rem}
.looks{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,19rem),1fr));gap:1rem;margin:.5rem 0 0;
padding:0;list-style:none}
.looks li{border:1px solid var(--line);border-radius:.6rem;padding:.6rem;break-inside:avoid}
.looks h3{margin:0 0 .4rem}
.pair{display:flex;gap:.5rem;align-items:flex-end;flex-wrap:wrap}
.pair figure{margin:0;min-width:0}
.pair svg{display:block;max-width:100%;border-radius:.3rem;background:var(--gap)}
.pair svg:focus-visible{border-radius:0}
.seen{display:grid;grid-template-columns:repeat(auto-fill,minmax(6.5rem,1fr));gap:.6rem;margin:.5rem 0 0;padding:0;
list-style:none;font-size:.85rem}
.seen img{display:block;width:100%;max-height:9rem;object-fit:fill;border-radius:.3rem}
.seen .frame{display:flex;height:6rem;align-items:flex-end}
.seen .frame img{width:auto;max-width:100%;height:auto;max-height:6rem}
.chart{display:block;width:100%;max-width:31rem;height:auto;margin:.25rem 0;overflow:visible}
.chart text{fill:var(--soft);font-size:10px;font-family:inherit}
.chart .grid{stroke:var(--line);stroke-width:.6}
.chart .axisline{stroke:var(--soft);stroke-width:.8}
.chart .chance{stroke:var(--soft);stroke-width:1;stroke-dasharray:4 3}
.chart .fill{fill:var(--accent)}.chart .fillsoft{fill:rgb(var(--accent-rgb)/.25)}
.chart .spread{stroke:rgb(var(--accent-rgb)/.3);stroke-width:5}
.s0{stroke:var(--c0)}.s1{stroke:var(--c1);stroke-dasharray:7 3}.s2{stroke:var(--c2);stroke-dasharray:2 2.5}
.s3{stroke:var(--c3);stroke-dasharray:8 3 2 3}.s4{stroke:var(--c4);stroke-dasharray:4 4}
.s5{stroke:var(--c5);stroke-dasharray:1 4}
.f0{fill:var(--c0)}.f1{fill:var(--c1)}.f2{fill:var(--c2)}.f3{fill:var(--c3)}.f4{fill:var(--c4)}.f5{fill:var(--c5)}
.line{fill:none;stroke-width:2}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,22rem),1fr));gap:1rem 1.5rem}
.two>*{min-width:0}
.matrix{width:auto;font-size:.8rem}
.matrix th,.matrix td{padding:.1rem .25rem;text-align:center;border:1px solid var(--line);
min-width:1.6rem;height:1.6rem}
.matrix tbody th{text-align:right;white-space:nowrap;max-width:9rem;overflow:hidden;text-overflow:ellipsis}
.matrix thead th.up{height:6.5rem;vertical-align:bottom}
.matrix thead th.up span{writing-mode:vertical-rl;transform:rotate(180deg);max-height:6.5rem;overflow:hidden;
white-space:nowrap;text-overflow:ellipsis}
.matrix td{background:rgb(var(--accent-rgb)/var(--v,0))}
.matrix td.right{outline:2px solid var(--glance);outline-offset:-2px}
.matrix td.strong{color:var(--card);font-weight:700}
.map{display:block;width:100%;max-width:36rem;image-rendering:pixelated;border:1px solid var(--line)}
.thumb{display:block;max-width:clamp(3.5rem,12vw,6rem);max-height:3.4rem;border-radius:.2rem}
th button{all:unset;cursor:pointer;font-weight:600}
th button:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
th[aria-sort=ascending] button::after{content:" ▲"}th[aria-sort=descending] button::after{content:" ▼"}
details{margin:.5rem 0}
summary{cursor:pointer;font-weight:600}
.error{color:var(--bad)}
@media(max-width:30rem){.in{display:none}table bdi{max-width:8rem}th,td{padding:.3rem .35rem}}
@media print{:root{--page:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#bbb;--accent:#1f5fa8;--accent-rgb:31 95 168;
--look:#c2410c;--glance:#0f766e;--c0:#1f5fa8;--c1:#c2410c;--c2:#0f766e;--c3:#7c3aed;--c4:#a16207;--c5:#be185d;
--gap:#e8ebef}html{color-scheme:light}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
body{max-width:none;padding:0;font-size:10pt}.wide{overflow:visible}header,section{border:0;padding:.25rem 0}
h2,h3{break-after:avoid}tr,figure,.time,.chart{break-inside:avoid}}
"""


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
