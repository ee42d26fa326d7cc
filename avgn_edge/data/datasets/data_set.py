"""A data set: clips with their labels, and the parts it is divided into."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from avgn_edge._base.errors import DataError
from avgn_edge._base.text import LONGEST, MOST, Task, fault

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""The words for a split, and the usual one of each."""


def split_name(word: str | None) -> str | None:
    """Return the usual name of a split ("training" is "train"), other words as they are, None for none."""
    word = (word or "").strip()
    return SPLITS.get(word.lower(), word) or None


def listed(names: Sequence[str], most: int = 5) -> str:
    """Write the first few names on one line, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


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


@dataclass(frozen=True)
class DataSet:
    """Labelled clips; `labels` are sorted, and those of the whole set in each of its parts."""

    source: Path
    clips: tuple[LabelledClip, ...]
    labels: tuple[str, ...]
    task: Task

    @classmethod
    def of(cls, source: Path, clips: Iterable[LabelledClip]) -> DataSet:
        """Make a data set of `clips`: multi-label as soon as one clip has several labels.

        DataError without a clip, for a label that `check_label` does not let pass, and for more than 100,000 labels.
        """
        clips = tuple(clips)
        if not clips:
            raise DataError(f"data set {source}", "it holds no clips", "give a data set with clips in it")
        labels = tuple(sorted({label for clip in clips for label in clip.labels}))
        for label in labels:
            check_label(f"data set {source}", label)
        if len(labels) > MOST:
            why = f"it has {len(labels)} labels, where {MOST} are allowed"
            raise DataError(f"data set {source}", why, "train on fewer classes")
        return cls(
            source, clips, labels, "multi-label" if any(len(clip.labels) > 1 for clip in clips) else "single-label"
        )

    def part(self, split: str) -> DataSet:
        """Return the clips of one split, with the labels of all; DataError that names the splits when it has none."""
        wanted = split_name(split)
        clips = tuple(clip for clip in self.clips if clip.split == wanted)
        if not clips:
            there = ", ".join(sorted({clip.split for clip in self.clips if clip.split is not None}))
            raise DataError(
                f"data set {self.source}",
                f"none of its {len(self.clips)} clips has split {split!r}",
                f"name one of its splits ({there})" if there else "leave the split out: its clips have none",
            )
        return replace(self, clips=clips)

    def train_and_val(self, val_fraction: float = 0.1, seed: int = 0) -> tuple[DataSet, DataSet]:
        """Return what to train on and what to hold out.

        The data set's own "train" and "val" where it has splits. Where it has none, or no "val", about `val_fraction`
        of the clips of every class are held out: always the same for the same `seed` and names of clips, never some
        clips of a file on each side, never the last clip of a class. DataError where that leaves nothing to hold out.
        """
        what = f"data set {self.source}"
        if not 0 < val_fraction < 1:
            raise DataError(what, f"{val_fraction} of it cannot be held out", "give a fraction between 0 and 1")
        without = sum(clip.split is None for clip in self.clips)
        if 0 < without < len(self.clips):
            why = f"{without} of its {len(self.clips)} clips have no split"
            raise DataError(what, why, "give every clip a split, or none")
        whole = self if without else self.part("train")
        if any(clip.split == "val" for clip in self.clips):
            return whole, self.part("val")
        held_out = _held_out(whole.clips, val_fraction, seed)
        if not held_out:
            why = "no file of it can be held out without the last training clip of a class"
            raise DataError(what, why, "add clips, or give a split for every clip")
        train = tuple(clip for clip in whole.clips if clip.path not in held_out)
        val = tuple(clip for clip in whole.clips if clip.path in held_out)
        return replace(self, clips=train), replace(self, clips=val)


def _held_out(clips: Iterable[LabelledClip], fraction: float, seed: int) -> frozenset[Path]:
    """Choose the files to hold out: about `fraction` of the clips of each label, one at least where that is possible.

    Depends on the seed and the clips' names, not on their order or on the folder they are in. Every label keeps a clip
    that is not held out.
    """
    files = _by_file(clips, seed)
    total: Counter[str] = Counter()
    holding: defaultdict[str, list[Path]] = defaultdict(list)
    for path, counts in files.items():
        total.update(counts)
        for label in counts:
            holding[label].append(path)
    left, held = Counter(total), Counter[str]()
    chosen: set[Path] = set()
    owed = 0.0  # what rounding leaves of one label is made good with the next
    for label in sorted(total, key=lambda label: (total[label], label)):
        owed += fraction * total[label] - held[label]
        for path in holding[label]:
            counts = files[path]
            # Only what brings the label nearer to its share, and is the last training clip of none.
            if path not in chosen and counts[label] < 2 * owed and _spares(left, counts):
                chosen.add(path)
                held.update(counts)
                left.subtract(counts)
                owed -= counts[label]
        owed = min(max(owed, -1.0), 1.0)
    return frozenset(chosen or [path for path, counts in files.items() if _spares(left, counts)][:1])


def _by_file(clips: Iterable[LabelledClip], seed: int) -> dict[Path, Counter[str]]:
    """Return how many clips of each label every file has, the files in an order drawn from the seed and their names."""
    counts: defaultdict[Path, Counter[str]] = defaultdict(Counter)
    names: defaultdict[Path, list[str]] = defaultdict(list)
    for clip in clips:
        counts[clip.path].update(clip.labels)
        names[clip.path].append(clip.name)
    # File names need not be UTF-8.
    keys = {path: f"{seed} {min(named)}".encode(errors="surrogateescape") for path, named in names.items()}
    drawn = {path: sha256(key).digest() for path, key in keys.items()}
    return {path: counts[path] for path in sorted(counts, key=lambda path: (drawn[path], path))}


def _spares(left: Counter[str], counts: Counter[str]) -> bool:
    return all(left[label] > count for label, count in counts.items())
