"""Rendering a plan: any frame alone, the sound of the whole clip, and the clip as an MP4 of H.264 and AAC."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import ceil, cos, floor, radians, sin
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from avgn_edge._base.atomic import whole
from avgn_edge.data.synth import own
from avgn_edge.data.synth.clip_plan import (
    FPS,
    HEIGHT,
    WIDTH,
    Card,
    ClipPlan,
    Decoy,
    Episode,
    Point,
    Scene,
    Word,
    card_centre,
)
from avgn_edge.data.synth.sources import environment_sound, ink_of, photograph, resample, spoken_word

Array = npt.NDArray[np.float32]
Frame = npt.NDArray[np.uint8]

FADE_S = 0.02
LOUDEST_PEAK = 0.98
SAMPLE_RATE = 44_100
AUDIO_BITS = 96_000


def render_frame(plan: ClipPlan, time_s: float) -> Frame:
    """Render one moment alone: uint8 [360, 640, 3], RGB."""
    scene = next((scene for scene in plan.scenes if time_s < scene.end), plan.scenes[-1])
    levels = np.clip((np.arange(256) - 128) * plan.contrast + 128 + plan.brightness, 0, 255).astype(np.uint8)
    frame = _photograph(scene, time_s, levels)
    shown: tuple[Decoy | Episode, ...] = (*plan.decoys, *plan.episodes)  # evidence lies on top
    for episode in shown:
        if episode.start <= time_s < episode.end:
            centre = card_centre(episode.card, episode.start, episode.end, time_s)
            _paste(frame, episode.card, _texture(episode.card), centre, levels)
    return frame


def _photograph(scene: Scene, time_s: float, levels: Frame) -> Frame:
    photo = photograph(scene.photograph)
    share = (time_s - scene.start) / (scene.end - scene.start)
    zoom = scene.first.zoom + share * (scene.last.zoom - scene.first.zoom)
    width = min(photo.width, photo.height * WIDTH / HEIGHT) / zoom
    height = width * HEIGHT / WIDTH
    left = (photo.width - width) * (scene.first.x + share * (scene.last.x - scene.first.x))
    top = (photo.height - height) * (scene.first.y + share * (scene.last.y - scene.first.y))
    box = (max(left, 0), max(top, 0), min(left + width, photo.width), min(top + height, photo.height))
    shown = photo.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, box=box)
    return np.array(shown.point(levels.tolist() * 3))


def _texture(card: Card) -> Array:
    """Return what a card holds: float32 [size, size], 0 paper, 1 ink."""
    if card.holds is not None:
        ink = ink_of(card.holds)
    elif card.scribble is not None:
        ink = own.draw_scribble(card.scribble)
    else:
        return np.zeros((2, 2), dtype=np.float32)
    return _drawn(card, ink.tobytes(), ink.shape)


@lru_cache(maxsize=64)
def _drawn(card: Card, ink: bytes, shape: tuple[int, int]) -> Array:
    size = ceil(card.size)
    warp = card.warp
    picture = Image.fromarray((np.frombuffer(ink, dtype=np.float32).reshape(shape) * 255).astype(np.uint8))
    per_pixel = max(shape) / (size * card.fill * warp.scale)  # pixels of the object for one of the card
    x, y = (shape[1] / 2 - warp.x * shape[1], shape[0] / 2 - warp.y * shape[0])
    shear = per_pixel * warp.shear
    where = (per_pixel, shear, x - (per_pixel + shear) * size / 2, 0, per_pixel, y - per_pixel * size / 2)
    picture = picture.transform((size, size), Image.Transform.AFFINE, where, Image.Resampling.BICUBIC)
    if warp.thickness:
        picture = picture.filter(ImageFilter.MaxFilter(3) if warp.thickness > 0 else ImageFilter.MinFilter(3))
    if card.blur:
        picture = picture.filter(ImageFilter.GaussianBlur(card.blur * size))
    ink_on_card: Array = np.asarray(picture, dtype=np.float32) / np.float32(255)
    return ink_on_card


def _paste(frame: Frame, card: Card, texture: Array, centre: Point, levels: Frame) -> None:
    """Lay a card on a frame, in place, with smooth edges and to a fraction of a pixel; `levels` grade its colours."""
    reach = card.half + 1
    left, top = max(0, floor(centre[0] - reach)), max(0, floor(centre[1] - reach))
    right, bottom = min(WIDTH, ceil(centre[0] + reach)), min(HEIGHT, ceil(centre[1] + reach))
    dx = np.arange(left, right, dtype=np.float32) + np.float32(0.5 - centre[0])
    dy = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5 - centre[1])
    turn = radians(card.angle)
    across = dx * np.float32(cos(turn)) + dy * np.float32(sin(turn))
    down = dy * np.float32(cos(turn)) - dx * np.float32(sin(turn))
    edge = np.float32(max(1.0, card.softness * card.size))
    rim = np.float32(card.size / 2 + 0.5)
    cover = np.clip((rim - np.abs(across)) / edge, 0, 1) * np.clip((rim - np.abs(down)) / edge, 0, 1)
    ink = _sample(texture, across / np.float32(card.size) + 0.5, down / np.float32(card.size) + 0.5)
    paper, ink_colour = (levels[list(colour)].astype(np.float32) for colour in (card.paper, card.ink))
    colour = paper + ink[..., None] * (ink_colour - paper)
    patch = frame[top:bottom, left:right]
    patch[...] = (patch + cover[..., None] * (colour - patch) + np.float32(0.5)).astype(np.uint8)


def _sample(texture: Array, x: Array, y: Array) -> Array:
    """Read a texture between its pixels, at shares of its width and height."""
    height, width = texture.shape
    x = np.clip(x * width - 0.5, 0, width - 1.001)
    y = np.clip(y * height - 0.5, 0, height - 1.001)
    column, row = x.astype(np.int32), y.astype(np.int32)
    x, y = x - column, y - row
    flat = texture.ravel()
    at = row * width + column
    upper = flat[at] * (1 - x) + flat[at + 1] * x
    lower = flat[at + width] * (1 - x) + flat[at + width + 1] * x
    read: Array = (upper * (1 - y) + lower * y).astype(np.float32)
    return read


def render_audio(plan: ClipPlan, sample_rate: int = SAMPLE_RATE) -> Array:
    """Render the sound of a clip: float32 [n], mono, at any rate."""
    count = round(plan.duration * sample_rate)
    mix = np.zeros(count, dtype=np.float32)
    speech = 10 ** (plan.speech_db / 20)
    _lay_beds(mix, plan, sample_rate, speech * 10 ** (-plan.noise_below_speech_db / 20))
    for decoy in plan.decoys:
        _lay_decoy(mix, decoy, sample_rate, speech)
    for episode in plan.episodes:
        end = min(count, round(episode.end * sample_rate))
        for word in episode.words:
            _lay_word(mix[:end], word, sample_rate, speech)
    peak = float(np.abs(mix).max(initial=0.0))
    if peak > LOUDEST_PEAK:
        mix *= np.float32(LOUDEST_PEAK / peak)
    return mix


def _level(samples: Array) -> float:
    return max(1e-4, float(np.sqrt(np.mean(np.square(samples)))))


def _spoken_level(samples: Array, rate: int) -> float:
    """Return the level of the part of a recording that is spoken, leaving pauses out."""
    block = max(1, rate // 50)
    whole = len(samples) // block * block
    if not whole:
        return _level(samples)
    energy = np.square(samples[:whole]).reshape(-1, block).mean(axis=1)
    return max(1e-4, float(np.sqrt(energy[energy >= 0.05 * energy.max()].mean())))


def _faded(samples: Array, rate: int) -> Array:
    """Return a copy that begins and ends in silence."""
    fade = min(round(FADE_S * rate), len(samples) // 2)
    if not fade:
        return samples
    ramp = (np.arange(fade, dtype=np.float32) + 0.5) / fade
    faded: Array = samples.copy()
    faded[:fade] *= ramp
    faded[-fade:] *= ramp[::-1]
    return faded


def _lay_beds(mix: Array, plan: ClipPlan, rate: int, level: float) -> None:
    for bed in plan.beds:
        recording = environment_sound(bed.recording, rate)
        first, last = round(bed.start * rate), min(len(mix), round(bed.end * rate))
        shift = int(bed.offset * len(recording))
        rounds = -(-(last - first + shift) // len(recording))
        under = np.tile(recording, rounds)[shift : shift + last - first]
        mix[first:last] += np.float32(level / _level(recording)) * _faded(under, rate)


def _lay_decoy(mix: Array, decoy: Decoy, rate: int, speech: float) -> None:
    recording = environment_sound(decoy.sound.recording, rate)
    first, last = round(decoy.start * rate), min(len(mix), round(decoy.end * rate))
    begin = int(np.abs(recording).argmax()) - int(decoy.sound.loudest_at * (last - first))
    part = np.take(recording, np.arange(begin, begin + last - first), mode="wrap")
    gain = speech * 10 ** (decoy.sound.above_speech_db / 20) / _spoken_level(part, rate)
    mix[first:last] += np.float32(gain) * _faded(part, rate)


def _lay_word(mix: Array, word: Word, rate: int, speech: float) -> None:
    samples, own_rate = spoken_word(word.recording)
    spoken = resample(samples, own_rate, rate, word.speed, word.tilt_db)
    first = round(word.at * rate)
    spoken = spoken[: max(0, len(mix) - first)]
    gain = speech * 10 ** (word.gain_db / 20) / _spoken_level(spoken, rate)
    mix[first : first + len(spoken)] += np.float32(gain) * _faded(spoken, rate)


@dataclass(frozen=True)
class Encoding:
    """How a clip is written: frames a second, x264's quality and preset, frames between key frames, sound's rate."""

    fps: int
    crf: int
    key_interval: int
    sample_rate: int
    preset: str = "veryfast"


def encode_clip(plan: ClipPlan, path: Path) -> None:
    """Render and write a clip; the file appears whole under its name, or not at all."""
    frames = (
        av.VideoFrame.from_ndarray(render_frame(plan, index / FPS), format="rgb24") for index in range(plan.frames)
    )
    samples = _channels(render_audio(plan), plan.stereo_balance)
    write_clip(path, frames, samples, Encoding(FPS, plan.crf, plan.key_interval, SAMPLE_RATE))


def write_clip(path: Path, frames: Iterable[av.VideoFrame], samples: Array, encoding: Encoding) -> None:
    """Write frames of 640 × 360 and sound (float32 [channels, n], one or two); whole under its name, or not at all.

    The frames may be one object again and again: their times are set here.
    """
    with whole(path) as unfinished:
        _write(unfinished, frames, samples, encoding)


def _write(path: Path, frames: Iterable[av.VideoFrame], samples: Array, encoding: Encoding) -> None:
    layout = "stereo" if len(samples) == 2 else "mono"
    fps, rate = encoding.fps, encoding.sample_rate
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        video = container.add_stream("libx264", rate=fps)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.thread_count = 1
        video.options = {
            "crf": str(encoding.crf),
            "preset": encoding.preset,
            "g": str(encoding.key_interval),
            "sc_threshold": "0",  # a key frame each interval, and nowhere else: the cuts are not given away
            "flags": "+bitexact",
        }
        sound = container.add_stream("aac", rate=rate, layout=layout)
        sound.bit_rate = AUDIO_BITS
        sound.codec_context.thread_count = 1
        sound.options = {"flags": "+bitexact"}

        written = 0
        for index, frame in enumerate(frames):
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(video.encode(frame))
            until = round((index + 1) / fps * rate)
            block = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples[:, written:until]), format="fltp", layout=layout
            )
            block.sample_rate, block.pts = rate, written
            container.mux(sound.encode(block))
            written = until
        container.mux(video.encode(None))
        container.mux(sound.encode(None))


def _channels(samples: Array, balance: float | None) -> Array:
    """Return one channel, or two whose mean it is: float32 [channels, n]."""
    if balance is None:
        return samples[None]
    gains = np.array([[1 - balance], [1 + balance]], dtype=np.float32)
    return np.asarray(np.clip(samples[None] * gains, -1, 1))
