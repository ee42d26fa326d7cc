"""The plan of a composed clip: everything random about it, drawn before anything is rendered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import cos, radians, sin
from typing import Literal, TypeVar

import numpy as np

from avgn_edge.data.synth.sources import Medium, Sources

T = TypeVar("T")
Channel = Literal["both", "heard", "seen"]
Point = tuple[float, float]
Colour = tuple[int, int, int]

WIDTH, HEIGHT, FPS = 640, 360, 15
DURATION = (10.0, 24.0)
SCENES = (3, 6)
EPISODE = (1.5, 3.0)
CARD_SIZE = (48.0, 96.0)
CARD_TURN = 15.0
CENTRAL = 0.8
DRIFT = (4.0, 16.0)  # px a second
WORD_GAP = (0.6, 0.9)
NOISE_BELOW_SPEECH_DB = (0.0, 20.0)
KEY_INTERVAL = (2.0, 8.0)
CHANNELS: tuple[tuple[Channel, float], ...] = (("both", 0.5), ("heard", 0.25), ("seen", 0.25))
SHORTEST_SCENE = 1.0
UNREADABLE_BLUR = (0.2, 0.4)  # Gaussian sigma, of the card's size


@dataclass(frozen=True)
class Variation:
    """How far training may change the recordings of a few speakers and the objects of a few hands."""

    speed: tuple[float, float] = (0.8, 1.3)
    tilt_db: float = 6.0
    gain_db: float = 3.0
    shift: float = 0.06
    scale: tuple[float, float] = (0.85, 1.12)
    shear: float = 0.2
    thicker_or_thinner: float = 0.4
    jpeg_quality: tuple[int, int] | None = (15, 90)
    """Stands in for compression, where clips are composed straight to arrays."""


@dataclass(frozen=True)
class View:
    """What a scene shows of its photograph: zoom past covering the frame, and where, 0 left or top to 1."""

    x: float
    y: float
    zoom: float


@dataclass(frozen=True)
class Scene:
    """One photograph, panned and zoomed from one view to another."""

    photograph: Medium
    start: float
    end: float
    first: View
    last: View


@dataclass(frozen=True)
class Warp:
    """The change of an object on its card: shift and shear of its size, scale, steps of stroke thickness."""

    x: float = 0.0
    y: float = 0.0
    scale: float = 1.0
    shear: float = 0.0
    thickness: int = 0


@dataclass(frozen=True)
class Card:
    """A square card: size in pixels, degrees, centre from and to, what it holds (nothing when neither is given).

    `fill` is the object's share of the card, `blur` a Gaussian sigma and `softness` the width of the card's edge,
    both in shares of the size; 0 is sharp.
    """

    size: float
    angle: float
    first: Point
    last: Point
    paper: Colour
    ink: Colour
    fill: float
    holds: Medium | None = None
    scribble: int | None = None
    blur: float = 0.0
    softness: float = 0.0
    warp: Warp = Warp()

    @property
    def half(self) -> float:
        """Return half the side of the turned card's upright box."""
        return _half(self.size, self.angle)


@dataclass(frozen=True)
class Word:
    """A recording said at a moment, `speed` times as fast."""

    recording: Medium
    at: float
    speed: float = 1.0
    gain_db: float = 0.0
    tilt_db: float = 0.0


@dataclass(frozen=True)
class Sound:
    """An environment recording within a decoy: its loudest moment at a share of the episode, and its level."""

    recording: Medium
    loudest_at: float
    above_speech_db: float


@dataclass(frozen=True)
class Bed:
    """A stretch of the noise under everything: an environment recording, and where in it the stretch begins."""

    recording: Medium
    start: float
    end: float
    offset: float


@dataclass(frozen=True)
class Episode:
    """An episode of evidence. Its card is there even when it is too blurred to read."""

    start: float
    end: float
    seen: bool
    heard: bool
    card: Card
    words: tuple[Word, ...]


@dataclass(frozen=True)
class Decoy:
    """An episode that is evidence of nothing."""

    start: float
    end: float
    card: Card
    sound: Sound


@dataclass(frozen=True)
class ClipPlan:
    """A clip, before it is rendered."""

    label: str
    duration: float
    channel: Channel
    speaker: str
    scenes: tuple[Scene, ...]
    episodes: tuple[Episode, ...]
    decoys: tuple[Decoy, ...]
    beds: tuple[Bed, ...]
    speech_db: float
    noise_below_speech_db: float
    brightness: float
    contrast: float
    crf: int
    key_interval: int
    stereo_balance: float | None

    @property
    def frames(self) -> int:
        """Return the number of frames of the clip."""
        return round(self.duration * FPS)


def clip_rng(seed: int, index: int) -> np.random.Generator:
    """Return the generator of one clip of a set: the same whatever the size of the set."""
    return np.random.default_rng(np.random.SeedSequence([seed, index]))


def plan_clip(
    rng: np.random.Generator, sources: Sources, label: str | None = None, variation: Variation | None = None
) -> ClipPlan:
    """Draw a clip of a class, or of any; `variation` changes objects and voices as training may wish."""
    label = label if label is not None else pick(rng, sources.classes)
    duration = round(uniform(rng, DURATION) * FPS) / FPS
    drawn = channel(rng, CHANNELS)
    speaker = pick(rng, sorted({sound.speaker for sound in sources.sounds[label]}))
    recordings = [sound for sound in sources.sounds[label] if sound.speaker == speaker]
    speed = 1.0 if variation is None else uniform(rng, variation.speed)
    tilt = 0.0 if variation is None else uniform(rng, (-variation.tilt_db, variation.tilt_db))

    episodes: list[Episode] = []
    for start, end in _apart(rng, duration, int(rng.integers(1, 3))):
        warp = Warp() if variation is None else _warp(rng, variation)
        shown = replace(card(rng, end - start), holds=pick(rng, sources.objects[label]), warp=warp)
        if drawn == "heard":
            soft = uniform(rng, (0.08, 0.3)) if rng.random() < 0.5 else 0.0
            shown = replace(shown, blur=uniform(rng, UNREADABLE_BLUR), softness=soft)
        said = words(rng, recordings, start, end, speed, tilt, variation) if drawn != "seen" else ()
        episodes.append(Episode(start, end, drawn != "heard", drawn != "seen", shown, said))
    decoys = tuple(decoy(rng, sources, duration, episodes) for _ in range(int(rng.integers(1, 4))))

    return ClipPlan(
        label=label,
        duration=duration,
        channel=drawn,
        speaker=speaker,
        scenes=_scenes(rng, sources.backgrounds, duration),
        episodes=tuple(episodes),
        decoys=decoys,
        beds=_beds(rng, sources.environment, duration),
        speech_db=uniform(rng, (-28.0, -17.0)),
        noise_below_speech_db=uniform(rng, NOISE_BELOW_SPEECH_DB),
        brightness=uniform(rng, (-25.0, 25.0)),
        contrast=uniform(rng, (0.75, 1.2)),
        crf=int(rng.integers(20, 33)),
        key_interval=round(uniform(rng, KEY_INTERVAL) * FPS),
        stereo_balance=uniform(rng, (-0.4, 0.4)) if rng.random() < 0.5 else None,
    )


def card_centre(card: Card, start: float, end: float, time_s: float) -> Point:
    """Return where the card's centre is at a moment of its episode, in pixels of the frame."""
    share = (time_s - start) / (end - start)
    return (
        card.first[0] + share * (card.last[0] - card.first[0]),
        card.first[1] + share * (card.last[1] - card.first[1]),
    )


def episode_at(plan: ClipPlan, time_s: float) -> Episode | None:
    """Return the episode of evidence that a moment lies in, if any."""
    return next((episode for episode in plan.episodes if episode.start <= time_s < episode.end), None)


def uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """Draw a number between two."""
    return float(rng.uniform(*bounds))


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    """Draw one of some."""
    return items[int(rng.integers(len(items)))]


def _half(size: float, angle: float) -> float:
    turn = radians(abs(angle))
    return size / 2 * (cos(turn) + sin(turn))


def channel(rng: np.random.Generator, shares: Sequence[tuple[Channel, float]]) -> Channel:
    """Draw whether evidence is seen, heard, or both."""
    drawn = rng.random()
    for which, share in shares:
        if drawn < share:
            return which
        drawn -= share
    return shares[-1][0]


def _apart(rng: np.random.Generator, duration: float, count: int) -> list[tuple[float, float]]:
    """Draw episodes at uniformly random times; draw all again where two would overlap."""
    lengths = [uniform(rng, EPISODE) for _ in range(count)]
    while True:
        spans = sorted((start, start + length) for length in lengths for start in [rng.uniform(0, duration - length)])
        if all(before[1] < after[0] for before, after in pairwise(spans)):
            return [(float(start), float(end)) for start, end in spans]


def _scenes(rng: np.random.Generator, photographs: Sequence[Medium], duration: float) -> tuple[Scene, ...]:
    count = int(rng.integers(SCENES[0], SCENES[1] + 1))
    chosen = rng.choice(len(photographs), count, replace=len(photographs) < count)
    cuts = np.sort(rng.uniform(0, duration - count * SHORTEST_SCENE, count - 1)) + SHORTEST_SCENE * np.arange(1, count)
    edges = [0.0, *map(float, cuts), duration]
    scenes = []
    for which, (start, end) in zip(chosen, pairwise(edges), strict=True):
        first = View(float(rng.random()), float(rng.random()), uniform(rng, (1.0, 1.4)))
        share = min(1.0, (end - start) / 6)  # slowly
        move = rng.uniform(-0.35, 0.35, 3) * share
        last = View(
            x=float(np.clip(first.x + move[0], 0, 1)),
            y=float(np.clip(first.y + move[1], 0, 1)),
            zoom=float(np.clip(first.zoom + move[2], 1.0, 1.5)),
        )
        scenes.append(Scene(photographs[int(which)], start, end, first, last))
    return tuple(scenes)


def card(rng: np.random.Generator, length: float) -> Card:
    """Draw an empty card that stays whole in the frame, and its centre in the frame's central 80 %."""
    size, angle = uniform(rng, CARD_SIZE), uniform(rng, (-CARD_TURN, CARD_TURN))
    half = _half(size, angle) + 1
    margin = np.maximum(half, (1 - CENTRAL) / 2 * np.array([WIDTH, HEIGHT]))
    low, high = margin, np.array([WIDTH, HEIGHT]) - margin
    heading, way = rng.uniform(0, 2 * np.pi), uniform(rng, DRIFT) * length
    first = rng.uniform(low, high)
    last = np.clip(first + way * np.array([np.cos(heading), np.sin(heading)]), low, high)
    light, dark = rng.integers(185, 256), rng.integers(0, 70)
    bright, dim = (_tinted(rng, int(level)) for level in (light, dark))
    paper, ink = (bright, dim) if rng.random() < 0.5 else (dim, bright)
    return Card(
        size=size,
        angle=angle,
        first=(float(first[0]), float(first[1])),
        last=(float(last[0]), float(last[1])),
        paper=paper,
        ink=ink,
        fill=uniform(rng, (0.78, 1.0)),
    )


def _tinted(rng: np.random.Generator, level: int) -> Colour:
    red, green, blue = (int(value) for value in np.clip(level + rng.integers(-20, 21, 3), 0, 255))
    return red, green, blue


def _warp(rng: np.random.Generator, variation: Variation) -> Warp:
    x, y = rng.uniform(-variation.shift, variation.shift, 2)
    thickness = 0
    if rng.random() < variation.thicker_or_thinner:
        thickness = 1 if rng.random() < 0.6 else -1
    return Warp(
        x=float(x),
        y=float(y),
        scale=uniform(rng, variation.scale),
        shear=uniform(rng, (-variation.shear, variation.shear)),
        thickness=thickness,
    )


def words(
    rng: np.random.Generator,
    recordings: Sequence[Medium],
    start: float,
    end: float,
    speed: float = 1.0,
    tilt_db: float = 0.0,
    variation: Variation | None = None,
) -> tuple[Word, ...]:
    """Draw the words of an episode: recordings of its class, one every 0.6-0.9 s, the last with room to be heard."""
    said, at = [], start
    while at < end - 0.35:
        recording = pick(rng, recordings)
        if variation is None:
            said.append(Word(recording, at))
        else:
            gain = uniform(rng, (-variation.gain_db, variation.gain_db))
            said.append(Word(recording, at, speed * uniform(rng, (0.97, 1.03)), gain, tilt_db))
        at += uniform(rng, WORD_GAP)
    return tuple(said)


def decoy(rng: np.random.Generator, sources: Sources, duration: float, episodes: Sequence[Episode]) -> Decoy:
    """Draw a decoy anywhere in the clip, its card beside the evidence's card where both are there."""
    length = uniform(rng, EPISODE)
    start = uniform(rng, (0.0, duration - length))
    beside = [episode.card for episode in episodes if episode.start < start + length and start < episode.end]
    shown = card(rng, length)
    for _ in range(50):
        if not any(_paths_meet(shown, other) for other in beside):
            break
        shown = card(rng, length)
    scribble = int(rng.integers(2**31)) if rng.random() < 0.7 else None
    sound = Sound(pick(rng, sources.environment), uniform(rng, (0.1, 0.9)), uniform(rng, (-8.0, 2.0)))
    return Decoy(start, start + length, replace(shown, scribble=scribble), sound)


def _paths_meet(card: Card, other: Card) -> bool:
    """Say whether the upright boxes around the two cards' ways have anything in common."""
    reach = card.half + other.half
    return all(
        max(card.first[axis], card.last[axis]) + reach > min(other.first[axis], other.last[axis])
        and max(other.first[axis], other.last[axis]) + reach > min(card.first[axis], card.last[axis])
        for axis in (0, 1)
    )


def _beds(rng: np.random.Generator, environment: Sequence[Medium], duration: float) -> tuple[Bed, ...]:
    count = int(rng.integers(1, 4))
    edges = [0.0, *map(float, np.sort(rng.uniform(0, duration, count - 1))), duration]
    return tuple(Bed(pick(rng, environment), start, end, float(rng.random())) for start, end in pairwise(edges))
