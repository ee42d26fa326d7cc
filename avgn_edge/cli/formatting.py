"""Plain columns of text, numbers to the right, and the units that people read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from avgn_edge._base.text import printable


def columns(rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> Iterator[str]:
    """Lay rows of equal length out; the columns whose index is in `right` are set to the right."""
    widths = [max(map(width, cells)) for cells in zip(*rows, strict=True)]
    for row in rows:
        cells = [pad(cell, widths[at], right=at in right) for at, cell in enumerate(row)]
        yield "  ".join(cells).rstrip()


def fields(rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Lay out names and what they stand for."""
    return columns([(name, printable(value)) for name, value in rows])


def width(text: str) -> int:
    """Return how many terminal cells a text takes: Chinese and emoji take two a character."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # noqa: PLC0415 - most text is ASCII

    return cell_len(text)


def pad(text: str, cells: int, *, right: bool = False) -> str:
    """Fill a text up to a width; a longer one stays whole."""
    space = " " * max(0, cells - width(text))
    return space + text if right else text + space


def gmacs(macs: int) -> str:
    """Write multiply-accumulates as GFLOPs with three digits behind the point."""
    return f"{macs / 1e9:.3f}"


def mmacs(macs: int) -> str:
    """Write multiply-accumulates as MFLOPs."""
    return f"{macs / 1e6:.2f}"


def size(count: int) -> str:
    """Write bytes as kB or MB."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def duration(milliseconds: float) -> str:
    """Write a time as ms, or as s from ten seconds on."""
    return f"{milliseconds:.0f} ms" if milliseconds < 9_999.5 else f"{milliseconds / 1e3:.1f} s"


def span(seconds: float) -> str:
    """Write a time of seconds to hours in the unit that suits it, without more digits than an estimate has."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def clock(seconds: float, *, hours: bool = False) -> str:
    """Write a time in a recording as m:ss.s, or h:mm:ss.s from one hour on; with `hours` always the latter."""
    minutes, tenths = divmod(round(10 * max(0.0, seconds)), 600)
    rest = f"{tenths // 10:02d}.{tenths % 10}"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest}" if hours or minutes >= 60 else f"{minutes}:{rest}"


def counted(count: int, one: str, many: str | None = None) -> str:
    """Write "1 look", "2 looks"."""
    return f"{count} {one if count == 1 else many or one + 's'}"
