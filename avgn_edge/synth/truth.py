"""What is known of a composed clip: its class, and when and where its evidence is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from avgn_edge.synth.plan import card_centre

if TYPE_CHECKING:
    from avgn_edge.synth.plan import Card, ClipPlan, Decoy, Episode

BOX_STEP = 0.25


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
