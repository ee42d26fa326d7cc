"""A CSV of `path,label[,start,end,split]`: one clip a row, labels separated by `|`, times in seconds."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from avgn_edge.datasets.data_set import DataSet
from avgn_edge.datasets.labelled_clip import LabelledClip, check_label, split_name
from avgn_edge.errors import DataError

COLUMNS = "give a CSV with the columns path,label and, where wanted, start,end,split"
BETWEEN_LABELS = "|"
_CELL = r'(?: *"(?:[^"]|"")*"|[^",]*)'
_ROW = re.compile(f"{_CELL}(?:,{_CELL})*")
"""A row whose quotation marks stand where a CSV has them: around whole cells, and doubled inside those."""


def read_csv(table: Path) -> DataSet:
    """Read a CSV with a header; other columns are ignored, and so are empty rows. Paths are relative to the CSV.

    UTF-8, with or without a byte order mark, any line ends. Blanks after a comma and around a label do not count.
    DataError that names the line for a row that says nothing or what cannot be, quotation marks inside a cell among it.
    """
    what = f"data set {table}"
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = _rows(what, file)
            _, names = next(rows, (0, []))
            header = [name.strip().lower() for name in names]
            _check_header(what, header)
            clips = [_clip(table, line, header, row) for line, row in rows if any(cell.strip() for cell in row)]
    except UnicodeDecodeError as error:
        raise DataError(what, "it is not UTF-8 text", "save it as a CSV in UTF-8") from error
    except OSError as error:
        raise DataError(what, f"it cannot be read ({error.strerror or error})", COLUMNS) from error
    return DataSet.of(table, clips)


def _rows(what: str, file: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the last line of each row, and its cells."""
    text: list[str] = []
    rows = csv.reader(_remembered(file, text), strict=True, skipinitialspace=True)
    while True:
        text.clear()
        try:
            row = next(rows, None)
        except csv.Error as error:
            why = f"it cannot be read ({error})"
            raise DataError(f"{what}, line {rows.line_num}", why, COLUMNS) from error
        if row is None:
            return
        whole = "".join(text).rstrip("\r\n")
        if '"' in whole and not _ROW.fullmatch(whole):
            why = "a quotation mark stands inside a cell"
            advice = "put them around whole cells, and write one that is meant as two, inside such a cell"
            raise DataError(f"{what}, line {rows.line_num}", why, advice)
        yield rows.line_num, row


def _remembered(file: Iterable[str], text: list[str]) -> Iterator[str]:
    for line in file:
        text.append(line)
        yield line


def _check_header(what: str, header: list[str]) -> None:
    missing = [name for name in ("path", "label") if name not in header]
    if missing:
        raise DataError(what, f"its first line names no column {' and no '.join(missing)}", COLUMNS)
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise DataError(what, f"its first line names {twice[0]} twice", COLUMNS)


def _clip(table: Path, line: int, header: list[str], row: list[str]) -> LabelledClip:
    what = f"data set {table}, line {line}"
    if len(row) != len(header):
        why = f"it has {len(row)} fields where the first line has {len(header)}"
        raise DataError(what, why, "put text that holds a comma in quotation marks")
    cells = dict(zip(header, row, strict=True))
    if not cells["path"].strip():
        raise DataError(what, "it has no path", "name a file, or take the line out")
    labels = tuple(dict.fromkeys(label.strip() for label in cells["label"].split(BETWEEN_LABELS)))
    if not all(labels):
        why = f"a label is missing ({cells['label']!r})" if any(labels) else "it has no label"
        raise DataError(what, why, f"give labels separated by {BETWEEN_LABELS}")
    for label in labels:
        check_label(what, label)
    start_s, end_s = (_seconds(what, name, cells.get(name, "")) for name in ("start", "end"))
    if end_s is not None and end_s <= (start_s or 0):
        raise DataError(what, f"it ends at {end_s:g} s, before it begins", "give seconds, the start before the end")
    path = cells["path"]
    return LabelledClip(table.parent / path, path, labels, split_name(cells.get("split")), start_s, end_s)


def _seconds(what: str, name: str, text: str) -> float | None:
    if not text.strip():
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise DataError(what, f"its {name} is {text.strip()!r}", "give seconds, or leave it empty")
    return seconds
