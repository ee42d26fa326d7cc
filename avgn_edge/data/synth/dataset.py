"""Writing a composed set: clips, `labels.csv` and `truth.json`, the same in each run of a seed."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import floor
from pathlib import Path
from typing import Any

import numpy as np

from avgn_edge._base.atomic import write_text
from avgn_edge._base.errors import DataError
from avgn_edge._base.processes import map_in_processes
from avgn_edge.data.synth.clip_plan import (
    Card,
    ClipPlan,
    Decoy,
    Episode,
    Variation,
    card_centre,
    clip_rng,
    plan_clip,
)
from avgn_edge.data.synth.render import encode_clip
from avgn_edge.data.synth.sources import Part, Sources

BOX_STEP = 0.25
"""Seconds between the boxes of an episode in `truth.json`."""
LABEL_STREAM = 2**32  # apart from every clip's own stream


def card_box(card: Card, start: float, end: float, time_s: float) -> list[float]:
    """Return the upright box around a card at a moment: [x, y, w, h] in pixels of the frame."""
    x, y = card_centre(card, start, end, time_s)
    half = card.half
    return [round(value, 2) for value in (x - half, y - half, 2 * half, 2 * half)]


def truth_of(plan: ClipPlan) -> dict[str, Any]:
    """Return the truth of a clip, fit for JSON; the k-th box of an episode is where its card is at start + k * step."""
    return {
        "class": plan.label,
        "duration": round(plan.duration, 4),
        "box_step": BOX_STEP,
        "episodes": [
            {**_when_and_where(episode), "seen": episode.seen, "heard": episode.heard} for episode in plan.episodes
        ],
        "decoys": [
            {
                **_when_and_where(decoy),
                "scribbled": decoy.card.scribble is not None,
                "sound": decoy.sound.recording.name,
            }
            for decoy in plan.decoys
        ],
        "speaker": plan.speaker,
        "photographs": [scene.photograph.name for scene in plan.scenes],
        "objects": [episode.card.holds.name for episode in plan.episodes if episode.card.holds is not None],
        "sounds": sorted({word.recording.name for episode in plan.episodes for word in episode.words}),
        "environment": sorted({bed.recording.name for bed in plan.beds}),
        "noise_below_speech_db": round(plan.noise_below_speech_db, 2),
    }


def _when_and_where(episode: Episode | Decoy) -> dict[str, Any]:
    times = np.arange(episode.start, episode.end, BOX_STEP)
    return {
        "start": round(episode.start, 4),
        "end": round(episode.end, 4),
        "boxes": [card_box(episode.card, episode.start, episode.end, float(time_s)) for time_s in times],
    }


@dataclass(frozen=True)
class Summary:
    """What was written."""

    directory: Path
    labels: Path
    truth: Path
    clips: int
    seconds: float
    by_split: dict[str, int]
    by_label: dict[str, int]
    by_channel: dict[str, int]


@dataclass(frozen=True)
class Recipe:
    """What makes every clip of a set from its index alone."""

    seed: int
    train: Sources
    val: Sources
    val_fraction: float
    variation: Variation | None = None

    @classmethod
    def of(cls, sources: Sources, seed: int, val_fraction: float = 0.2, variation: Variation | None = None) -> Recipe:
        """Split sources; with no validation at all, training has everything."""
        train = sources.split("train") if val_fraction > 0 else sources
        return cls(seed, train, sources.split("val"), val_fraction, variation)

    def part(self, index: int) -> Part:
        """Return the part a clip belongs to: validation clips are spread evenly."""
        return "val" if floor((index + 1) * self.val_fraction) > floor(index * self.val_fraction) else "train"

    def label(self, index: int) -> str:
        """Return the class of a clip: each class once in every run of as many clips, in a drawn order."""
        classes = self.train.classes
        order = clip_rng(self.seed, LABEL_STREAM + index // len(classes)).permutation(len(classes))
        return classes[int(order[index % len(classes)])]

    def plan(self, index: int) -> ClipPlan:
        """Draw a clip: validation is never varied."""
        rng, label = clip_rng(self.seed, index), self.label(index)
        if self.part(index) == "val":
            return plan_clip(rng, self.val, label)
        return plan_clip(rng, self.train, label, self.variation)


def write_dataset(
    directory: str | Path,
    *,
    clips: int,
    seed: int,
    sources: Sources | None = None,
    val_fraction: float = 0.2,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Compose a set.

    Args:
        directory: Where to write `clips/`, `labels.csv` and `truth.json`.
        clips: How many clips.
        seed: The same seed gives the same set.
        sources: The media to compose of; our own where None.
        val_fraction: The share of clips in the split "val".
        workers: Processes.
        progress: Called after each clip with how many of how many are written.

    Raises:
        DataError: A number is out of range, a source cannot be read, or the directory cannot be written.
    """
    if clips < 1:
        raise DataError("synth", f"{clips} clips make no set", "ask for one or more")
    if seed < 0:
        raise DataError("synth", f"a seed cannot be negative ({seed})", "give 0 or more")
    if not 0 <= val_fraction <= 1:
        raise DataError("synth", f"{val_fraction} is no fraction", "give a validation fraction from 0 to 1")
    root = Path(directory)
    try:
        (root / "clips").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError("synth", f"{root} cannot be written ({error.strerror})", "give another directory") from error

    recipe = Recipe.of(sources or Sources.from_folders(), seed, val_fraction)
    rows: list[tuple[str, str, str]] = []
    truths: dict[str, Any] = {}
    channels: Counter[str] = Counter()
    seconds = 0.0
    plans = map_in_processes(partial(_write_clip, recipe, root), range(clips), workers)
    for done, plan in enumerate(plans, start=1):
        name, part = clip_name(done - 1), recipe.part(done - 1)
        rows.append((name, plan.label, part))
        truths[name] = {**truth_of(plan), "split": part}
        channels[plan.channel] += 1
        seconds += plan.duration
        if progress is not None:
            progress(done, clips)

    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([("path", "label", "split"), *rows])
    write_text(root / "truth.json", json.dumps(truths, indent=1) + "\n")
    write_text(root / "labels.csv", table.getvalue())
    return Summary(
        directory=root,
        labels=root / "labels.csv",
        truth=root / "truth.json",
        clips=clips,
        seconds=seconds,
        by_split=dict(Counter(part for _, _, part in rows)),
        by_label=dict(sorted(Counter(label for _, label, _ in rows).items())),
        by_channel=dict(channels),
    )


def clip_name(index: int) -> str:
    """Return a clip's path in its set."""
    return f"clips/{index:06d}.mp4"


def _write_clip(recipe: Recipe, root: Path, index: int) -> ClipPlan:
    plan = recipe.plan(index)
    encode_clip(plan, root / clip_name(index))
    return plan
