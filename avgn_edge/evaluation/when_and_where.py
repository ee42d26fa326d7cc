"""Whether the network looked at the right time and place, on sets whose truth is known (`truth.json` of `synth`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avgn_edge.errors import DataError
from avgn_edge.runtime.result import MomentReport, Result


@dataclass(frozen=True)
class WhenAndWhere:
    """Of one clip; None where the question does not arise."""

    when: bool | None
    """The most salient moment lies in a true episode."""
    where: bool | None
    """The first look's box contains the card's centre; for clips whose first look falls on a card that can be read."""


def read_truth(folder: Path) -> Mapping[str, Any] | None:
    """The truth of a folder's clips, or None where it has none."""
    path = folder / "truth.json"
    if not path.is_file():
        return None
    try:
        truth: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"truth {path}", "it is not JSON", "compose the set again") from error
    return truth


def judge(result: Result, truth: Mapping[str, Any]) -> WhenAndWhere:
    """Hold one result against the truth of its clip."""
    scored = [moment for moment in result.moments if moment.saliency is not None]
    if not scored:
        return WhenAndWhere(None, None)
    best = max(scored, key=lambda moment: moment.saliency or 0.0)
    first = next((moment for moment in result.moments if moment.rank == 0), None)
    return WhenAndWhere(_episode(best, truth) is not None, None if first is None else _contains_card(first, truth))


def _episode(moment: MomentReport, truth: Mapping[str, Any]) -> Mapping[str, Any] | None:
    episodes: list[Mapping[str, Any]] = truth["episodes"]
    return next((episode for episode in episodes if episode["start"] <= moment.time_s < episode["end"]), None)


def _contains_card(moment: MomentReport, truth: Mapping[str, Any]) -> bool | None:
    episode = _episode(moment, truth)
    if episode is None or not episode["seen"] or moment.box is None:
        return None
    boxes = episode["boxes"]
    x, y, width, height = boxes[min(round((moment.time_s - episode["start"]) / truth["box_step"]), len(boxes) - 1)]
    left, top, across, down = moment.box
    return bool(left <= x + width / 2 <= left + across and top <= y + height / 2 <= top + down)
