"""Clips with labels, from a CSV of `path,label[,split]`; labels of one clip are separated by `|`."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from avgn_edge.errors import DataError


@dataclass(frozen=True)
class LabelledClip:
    """One clip and what it shows; `name` is the path as the CSV has it."""

    path: Path
    name: str
    labels: tuple[str, ...]


def read_labels(source: Path, split: str | None = None) -> tuple[LabelledClip, ...]:
    """Read a CSV, or the `labels.csv` of a folder; `split` keeps one part of it.

    Paths are relative to the CSV. DataError when there is nothing to read.
    """
    path = source / "labels.csv" if source.is_dir() else source
    what = f"data set {source}"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(what, f"{path.name} cannot be read", "give a CSV with the columns path and label") from error
    if not rows or not {"path", "label"} <= set(rows[0]):
        raise DataError(what, "it has no rows with a path and a label", "give a CSV with the columns path and label")
    kept = [row for row in rows if split is None or row.get("split") == split]
    if not kept:
        raise DataError(what, f"none of its {len(rows)} rows has split {split!r}", "name another split, or none")
    return tuple(LabelledClip(path.parent / row["path"], row["path"], tuple(row["label"].split("|"))) for row in kept)
