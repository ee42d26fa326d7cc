"""A data set: clips with their labels, and the parts it is divided into."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from avgn_edge.datasets.dividing import divided
from avgn_edge.datasets.labelled_clip import LabelledClip, check_label, split_name
from avgn_edge.errors import DataError
from avgn_edge.labels import MOST, Task

if TYPE_CHECKING:
    from collections.abc import Iterable


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
        held_out = divided(whole.clips, val_fraction, seed)
        if not held_out:
            why = "no file of it can be held out without the last training clip of a class"
            raise DataError(what, why, "add clips, or give a split for every clip")
        train = tuple(clip for clip in whole.clips if clip.path not in held_out)
        val = tuple(clip for clip in whole.clips if clip.path in held_out)
        return replace(self, clips=train), replace(self, clips=val)
