"""Whether the network looked at the right time and place, on sets whose truth is known (`truth.json` of `synth`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avgn_edge._base.errors import DataError
from avgn_edge.runtime.moments_table import MomentReport
from avgn_edge.runtime.result import Result

BoxOfPixels = tuple[float, float, float, float]
"""x, y, width, height, in pixels of the source frame."""


@dataclass(frozen=True)
class Episode:
    """One stretch of a clip's evidence; seconds from the file's start."""

    start_s: float
    end_s: float
    seen: bool
    """Whether its card can be read."""
    heard: bool
    boxes: tuple[BoxOfPixels, ...]
    """Around the card, at `start_s` and every `box_step_s` of its clip after it."""


@dataclass(frozen=True)
class Truth:
    """The true episodes of one clip."""

    episodes: tuple[Episode, ...]
    box_step_s: float

    def episode_at(self, time_s: float) -> Episode | None:
        """Return the episode that a second of the file lies in."""
        return next((episode for episode in self.episodes if episode.start_s <= time_s < episode.end_s), None)

    def card_at(self, time_s: float) -> tuple[float, float] | None:
        """Return the centre of the card that can be read at a second of the file, in pixels of the source frame."""
        episode = self.episode_at(time_s)
        if episode is None or not episode.seen:
            return None
        at = min(round((time_s - episode.start_s) / self.box_step_s), len(episode.boxes) - 1)
        x, y, width, height = episode.boxes[at]
        return x + width / 2, y + height / 2


@dataclass(frozen=True)
class WhenAndWhere:
    """Of one clip; None where the question does not arise."""

    when: bool | None
    """The most salient moment lies in a true episode; None without saliency."""
    where: bool | None
    """The first look's box contains the card's centre; None unless that look falls on a card that can be read."""
    where_of_readable: bool | None
    """The same, but a first look that misses every readable card's time, or none at all, is False.

    None only for a clip without a card that can be read.
    """


def read_truth(folder: Path) -> Mapping[str, Truth] | None:
    """Read a folder's `truth.json`, by the names of its clips; None where there is none, DataError for another file."""
    path = folder / "truth.json"
    if not path.is_file():
        return None
    try:
        clips: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {name: _truth(described) for name, described in clips.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"truth {path}", "it is not as synth writes it", "compose the set again, or move the file away"
        ) from error


def compare_with_truth(result: Result, truth: Truth, start_s: float = 0.0) -> WhenAndWhere:
    """Compare a result with the truth of its file; `start_s` is the second of the file at which the clip starts."""
    end_s = start_s + result.duration_s
    readable = any(episode.seen and episode.start_s < end_s and episode.end_s > start_s for episode in truth.episodes)
    first = next((moment for moment in result.moments if moment.rank == 0), None)
    where = None if first is None else _contains_card(first, truth, start_s)
    return WhenAndWhere(_when(result, truth, start_s), where, where is True if readable else None)


def _truth(described: Mapping[str, Any]) -> Truth:
    episodes = tuple(
        Episode(
            float(one["start"]),
            float(one["end"]),
            bool(one["seen"]),
            bool(one.get("heard", False)),
            tuple(_box(*box) for box in one["boxes"]),
        )
        for one in described["episodes"]
    )
    step = float(described["box_step"])
    if not step > 0 or any(episode.seen and not episode.boxes for episode in episodes):
        raise ValueError(described)
    return Truth(episodes, step)


def _box(x: float, y: float, width: float, height: float) -> BoxOfPixels:
    return float(x), float(y), float(width), float(height)


def _when(result: Result, truth: Truth, start_s: float) -> bool | None:
    scored = [(moment.saliency, moment) for moment in result.moments if moment.saliency is not None]
    if not scored:
        return None
    _, best = max(scored, key=lambda pair: pair[0])
    return truth.episode_at(start_s + best.time_s) is not None


def _contains_card(moment: MomentReport, truth: Truth, start_s: float) -> bool | None:
    card = truth.card_at(start_s + moment.time_s)
    if card is None or moment.box is None:
        return None
    left, top, across, down = moment.box
    return left <= card[0] <= left + across and top <= card[1] <= top + down
