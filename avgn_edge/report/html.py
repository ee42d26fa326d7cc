"""Pages from the files in `templates`. All text that is printed into them is made printable and escaped."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from pathlib import Path, PurePath
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from avgn_edge._base.text import printable

_JOINERS: Final = frozenset("\u200c\u200d")
"""Unprintable, yet part of how some scripts and emoji are written."""
_LONGEST_STEM: Final = 60


def render(template: str, **values: object) -> str:
    """Return a page.

    Args:
        template: The name of a file in `templates`.
        values: What the template prints. Strings are plain text, of whatever origin, and become HTML by `text`.
    """
    return _ENVIRONMENT.get_template(template).render(values)


def text(value: str) -> Markup:
    """Escape a text for the inside of an element or of a quoted attribute; HTML that is safe already stays as it is.

    Characters that would change the page's reading order, or do not exist in HTML, are spelled out as by `printable`.
    """
    if not value.isprintable() and not isinstance(value, Markup):
        value = "".join(c if c in _JOINERS else printable(c) for c in value)
    return escape(value)


def name(value: str) -> Markup:
    """Return a name or label from outside, escaped, with a reading direction of its own."""
    return Markup('<bdi dir="auto">{}</bdi>').format(text(value))


def percent(share: float | None) -> str:
    """Write a share in per cent: 0.914 as 91.4 %; None is a dash."""
    return "–" if share is None else f"{100 * float(share):.1f} %"


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


def page_name(clip: str, *more: object) -> str:
    """Return the file name of a clip's page: safe on every file system, the same every time, of this clip alone.

    Clips are told apart by their absolute paths; `more` tells several pages of one clip apart.
    """
    path = os.fsencode(os.path.normpath(Path(clip).absolute())) + "".join(f"\0{part}" for part in more).encode()
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(clip).stem).strip("-_")[:_LONGEST_STEM].rstrip("-_")
    return f"{stem or 'clip'}-{hashlib.sha256(path).hexdigest()[:12]}.html"


def short_name(clip: str) -> str:
    """Return a clip's name without its folders."""
    return PurePath(clip).name or clip


def _printed(value: object) -> object:
    return text(value) if isinstance(value, str) else value


def _sha256(script: str) -> str:
    """Return the hash by which a page's policy allows this script, in base64."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


_ENVIRONMENT: Final = Environment(
    loader=PackageLoader("avgn_edge.report"),
    autoescape=True,
    finalize=_printed,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {
    "name": name,
    "percent": percent,
    "milliseconds": milliseconds,
    "seconds": seconds,
    "short_name": short_name,
    "sha256": _sha256,
}
