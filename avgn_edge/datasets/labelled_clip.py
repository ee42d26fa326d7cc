"""One clip of a data set, with what it shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from avgn_edge.errors import DataError
from avgn_edge.labels import LONGEST, fault

SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}
SPLITS |= {"test": "test", "testing": "test"}


def split_name(word: str | None) -> str | None:
    """Return the usual name of a split ("training" is "train"), other words as they are, None for none."""
    word = (word or "").strip()
    return SPLITS.get(word.lower(), word) or None


def check_label(what: str, label: str) -> str:
    """Return a label that a bundle accepts; DataError about `what` for another one, before it costs training."""
    why = fault(label)
    if why is not None:
        raise DataError(what, f"the label {label[:LONGEST]!a} cannot be one: {why}", "name the class otherwise")
    return label


@dataclass(frozen=True)
class LabelledClip:
    """One clip, or a segment of one, and what it shows.

    `name` is what the data set calls it: the path as a CSV has it, the path inside a folder of classes, or an
    ActivityNet id. `labels` are such as `check_label` lets pass. `split` is "train", "val" or "test", another word of
    the data set's own, or None.
    `start_s` and `end_s` are seconds of the file; None: its start, its end.
    """

    path: Path
    name: str
    labels: tuple[str, ...]
    split: str | None = None
    start_s: float | None = None
    end_s: float | None = None
