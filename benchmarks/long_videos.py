"""Long videos with a few true episodes in them: what `highlights` has to find, with known when.

Minutes of photographs that stand still and of places that are heard, in which spoken digits and their cards turn up for
a few seconds, far apart, among decoys. Everything else is as in "Digits in the wild".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from avgn_edge.data.synth import clip_plan as drawing
from avgn_edge.data.synth.clip_plan import (
    Bed,
    Channel,
    ClipPlan,
    Decoy,
    Episode,
    Scene,
    View,
    pick,
    uniform,
)
from avgn_edge.data.synth.render import Encoding, render_audio, render_frame, write_clip

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from avgn_edge.data.synth.sources import Sources


FPS = 10
SAMPLE_RATE = 16_000
PRESET = "superfast"


@dataclass(frozen=True)
class LongSettings:
    """What a long video holds. Times are seconds."""

    duration: float = 1_200.0
    episodes: int = 5
    decoys: int = 15
    episode: tuple[float, float] = (2.0, 4.0)
    apart: float = 20.0
    """Between two episodes at least."""
    scene: tuple[float, float] = (3.0, 15.0)
    bed: tuple[float, float] = (5.0, 30.0)
    channels: tuple[tuple[Channel, float], ...] = (("both", 1.0),)
    """Whether an episode is seen and heard, and how often."""


def plan_long(rng: np.random.Generator, sources: Sources, settings: LongSettings = LongSettings()) -> ClipPlan:
    """Draw a long video; each episode is of a class of its own, that of its card's object, by one speaker."""
    duration = settings.duration
    speaker = pick(rng, sources.speakers)
    episodes: list[Episode] = []
    for start, end in _far_apart(rng, settings):
        label, channel = pick(rng, sources.classes), drawing.channel(rng, settings.channels)
        recordings = [sound for sound in sources.sounds[label] if sound.speaker == speaker]
        card = replace(drawing.card(rng, end - start), holds=pick(rng, sources.objects[label]))
        if channel == "heard":
            card = replace(card, blur=uniform(rng, drawing.UNREADABLE_BLUR))
        words = drawing.words(rng, recordings, start, end) if channel != "seen" else ()
        episodes.append(Episode(start, end, channel != "heard", channel != "seen", card, words))
    return ClipPlan(
        label="several",
        duration=duration,
        channel="both",
        speaker=speaker,
        scenes=_scenes(rng, sources, settings),
        episodes=tuple(episodes),
        decoys=tuple(drawing.decoy(rng, sources, duration, episodes) for _ in range(settings.decoys)),
        beds=_beds(rng, sources, settings),
        speech_db=uniform(rng, (-28.0, -17.0)),
        noise_below_speech_db=uniform(rng, drawing.NOISE_BELOW_SPEECH_DB),
        brightness=uniform(rng, (-25.0, 25.0)),
        contrast=uniform(rng, (0.75, 1.2)),
        crf=int(rng.integers(20, 33)),
        key_interval=round(uniform(rng, drawing.KEY_INTERVAL) * FPS),
        stereo_balance=None,
    )


def encode_long(plan: ClipPlan, path: Path) -> None:
    """Render and write a long video, 640 × 360 at 10 frames a second; whole, or not at all."""
    encoding = Encoding(FPS, plan.crf, plan.key_interval, SAMPLE_RATE, PRESET)
    write_clip(path, _frames(plan), render_audio(plan, SAMPLE_RATE)[None], encoding)


def long_truth(plan: ClipPlan) -> dict[str, Any]:
    """Return the truth of a long video, fit for JSON; times are seconds."""
    return {
        "duration": round(plan.duration, 4),
        "episodes": [
            {
                "start": round(episode.start, 4),
                "end": round(episode.end, 4),
                "class": episode.card.holds.group if episode.card.holds is not None else None,
                "seen": episode.seen,
                "heard": episode.heard,
            }
            for episode in plan.episodes
        ],
        "decoys": [{"start": round(decoy.start, 4), "end": round(decoy.end, 4)} for decoy in plan.decoys],
        "speaker": plan.speaker,
        "noise_below_speech_db": round(plan.noise_below_speech_db, 2),
    }


def _frames(plan: ClipPlan) -> Iterator[av.VideoFrame]:
    """Give the frames; what stands still is rendered and converted once."""
    shown: tuple[Decoy | Episode, ...] = (*plan.decoys, *plan.episodes)
    still: tuple[Scene, av.VideoFrame] | None = None
    for index in range(round(plan.duration * FPS)):
        time_s = index / FPS
        scene = next((scene for scene in plan.scenes if time_s < scene.end), plan.scenes[-1])
        moving = any(episode.start <= time_s < episode.end for episode in shown)
        if moving or still is None or still[0] is not scene:
            frame = av.VideoFrame.from_ndarray(render_frame(plan, time_s), format="rgb24")
            frame = frame.reformat(format="yuv420p")
            if not moving:
                still = (scene, frame)
        else:
            frame = still[1]
        yield frame


def _far_apart(rng: np.random.Generator, settings: LongSettings) -> list[tuple[float, float]]:
    """Draw the times of the episodes, uniformly among all ways to keep them apart and off the ends."""
    lengths = [uniform(rng, settings.episode) for _ in range(settings.episodes)]
    free = settings.duration - sum(lengths) - settings.apart * (settings.episodes + 1)
    if free < 0:
        raise ValueError(f"{settings.episodes} episodes do not fit into {settings.duration:g} s")
    before = np.sort(rng.uniform(0, free, settings.episodes))
    times, taken = [], settings.apart
    for offset, length in zip(before, lengths, strict=True):
        start = float(offset) + taken
        times.append((start, start + length))
        taken += length + settings.apart
    return times


def _scenes(rng: np.random.Generator, sources: Sources, settings: LongSettings) -> tuple[Scene, ...]:
    scenes = []
    for start, end in pairwise(_edges(rng, settings.duration, settings.scene)):
        view = View(float(rng.random()), float(rng.random()), uniform(rng, (1.0, 1.4)))
        scenes.append(Scene(pick(rng, sources.backgrounds), start, end, view, view))
    return tuple(scenes)


def _beds(rng: np.random.Generator, sources: Sources, settings: LongSettings) -> tuple[Bed, ...]:
    edges = _edges(rng, settings.duration, settings.bed)
    return tuple(Bed(pick(rng, sources.environment), start, end, float(rng.random())) for start, end in pairwise(edges))


def _edges(rng: np.random.Generator, duration: float, lengths: tuple[float, float]) -> list[float]:
    """Cut a duration into stretches of these lengths; the last takes what is left, with what is too short for one."""
    edges = [0.0]
    while edges[-1] + lengths[1] + lengths[0] < duration:
        edges.append(edges[-1] + uniform(rng, lengths))
    return [*edges, duration]
