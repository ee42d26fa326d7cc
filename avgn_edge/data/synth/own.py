"""Media for `synth` without folders: glyphs, scribbles, textures, tones and noises, each drawn from its name."""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[np.float32]
Strokes = list[npt.NDArray[np.float64]]

GLYPH_SIZE = 28
TEXTURE_SIZE = (640, 480)
SOUND_RATE = 16_000
NOISE_SECONDS = 5


def seeded(name: str) -> np.random.Generator:
    """Return the generator that belongs to a name."""
    return np.random.default_rng(zlib.crc32(name.encode()))


# ------------------------------------------------------------------ glyphs


def _arc(x: float, y: float, rx: float, ry: float, begin: float, end: float) -> npt.NDArray[np.float64]:
    turn = np.radians(np.linspace(begin, end, 14))
    return np.stack([x + rx * np.cos(turn), y + ry * np.sin(turn)], axis=1)


def _line(*points: tuple[float, float]) -> npt.NDArray[np.float64]:
    return np.array(points, dtype=np.float64)


def _digit(digit: int) -> Strokes:
    """Return the strokes of a digit in a unit square, y down."""
    return {
        0: [_arc(0.5, 0.5, 0.26, 0.38, 0, 360)],
        1: [_line((0.34, 0.26), (0.52, 0.12), (0.52, 0.88))],
        2: [_arc(0.5, 0.34, 0.24, 0.22, 180, 390), _line((0.71, 0.45), (0.26, 0.88), (0.76, 0.88))],
        3: [_arc(0.46, 0.31, 0.24, 0.19, 210, 450), _arc(0.46, 0.68, 0.26, 0.2, -90, 150)],
        4: [_line((0.62, 0.88), (0.62, 0.12), (0.24, 0.62), (0.8, 0.62))],
        5: [_line((0.72, 0.13), (0.34, 0.13), (0.31, 0.46)), _arc(0.47, 0.64, 0.25, 0.24, -130, 140)],
        6: [_arc(0.62, 0.5, 0.36, 0.38, 265, 180), _arc(0.5, 0.66, 0.24, 0.22, 0, 360)],
        7: [_line((0.24, 0.13), (0.76, 0.13), (0.42, 0.88)), _line((0.38, 0.5), (0.7, 0.5))],
        8: [_arc(0.5, 0.31, 0.2, 0.19, 0, 360), _arc(0.5, 0.69, 0.24, 0.19, 0, 360)],
        9: [_arc(0.5, 0.34, 0.23, 0.22, 0, 360), _line((0.73, 0.34), (0.7, 0.6), (0.56, 0.88))],
    }[digit]


def _made_up(label: str) -> Strokes:
    """Return strokes for a class that is not a digit: always the same for the same name."""
    rng = seeded(f"own/strokes/{label}")
    return [rng.uniform(0.15, 0.85, (int(rng.integers(3, 5)), 2)) for _ in range(2)]


def rasterize(strokes: Strokes, width: float, size: int = GLYPH_SIZE) -> Array:
    """Draw strokes given in a unit square as ink: float32 [size, size], 0 paper, 1 ink."""
    begin = np.concatenate([stroke[:-1] for stroke in strokes]) * size
    step = np.concatenate([stroke[1:] for stroke in strokes]) * size - begin
    pixel = np.arange(size) + 0.5
    dx = pixel[None, :, None] - begin[:, 0]
    dy = pixel[:, None, None] - begin[:, 1]
    along = np.clip((dx * step[:, 0] + dy * step[:, 1]) / np.maximum((step**2).sum(axis=1), 1e-9), 0, 1)
    distance = np.hypot(dx - along * step[:, 0], dy - along * step[:, 1]).min(axis=2)
    ink: Array = np.clip(width / 2 - distance + 0.5, 0, 1).astype(np.float32)
    return ink


def draw_glyph(label: str, name: str) -> Array:
    """Draw one hand's version of a class: float32 [28, 28], 0 paper, 1 ink."""
    rng = seeded(name)
    turn = rng.uniform(-0.15, 0.15)
    matrix = _rotation(turn) @ np.array([[1.0, rng.uniform(-0.25, 0.25)], [0.0, 1.0]]) * rng.uniform(0.72, 0.9, 2)
    shift = 0.5 + rng.uniform(-0.03, 0.03, 2)
    strokes = _digit(int(label)) if label in tuple("0123456789") else _made_up(label)
    wobbled = [stroke + rng.normal(0, 0.012, stroke.shape) for stroke in strokes]
    return rasterize([(stroke - 0.5) @ matrix.T + shift for stroke in wobbled], rng.uniform(1.8, 3.4))


def draw_scribble(seed: int) -> Array:
    """Draw a scribble that is no class: float32 [28, 28] or finer, 0 paper, 1 ink."""
    rng = np.random.default_rng(seed)
    drawn = (_zigzag, _loops, _hatching, _scraps, _tangle)[int(rng.integers(5))](rng)
    size = GLYPH_SIZE * int(rng.integers(1, 3))
    return rasterize([0.5 + (stroke - 0.5) * 0.8 for stroke in drawn], rng.uniform(1.4, 3.2) * size / GLYPH_SIZE, size)


def _turned(rng: np.random.Generator, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Turn points about the middle of the card by a drawn angle."""
    turned: npt.NDArray[np.float64] = 0.5 + (points - 0.5) @ _rotation(rng.uniform(0, 2 * np.pi))
    return turned


def _rotation(turn: float) -> npt.NDArray[np.float64]:
    return np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])


def _zigzag(rng: np.random.Generator) -> Strokes:
    """Draw to and fro across the card, as one strikes a word out."""
    count = int(rng.integers(8, 15))
    fro = np.where(np.arange(count) % 2, 0.12, 0.88) + rng.uniform(-0.12, 0.12, count)
    return [_turned(rng, np.stack([np.linspace(0.1, 0.9, count) + rng.uniform(-0.04, 0.04, count), fro], axis=1))]


def _loops(rng: np.random.Generator) -> Strokes:
    """Draw coils over one another."""
    turn = np.linspace(0, 2 * np.pi * rng.uniform(3.5, 6), 70)
    radius = rng.uniform(0.12, 0.3) + 0.12 * np.sin(turn * rng.uniform(0.2, 0.6) + rng.uniform(0, 6))
    way = np.linspace(-0.25, 0.25, turn.size) * rng.uniform(0.4, 1)
    return [_turned(rng, 0.5 + np.stack([way + radius * np.cos(turn), radius * np.sin(turn)], axis=1))]


def _hatching(rng: np.random.Generator) -> Strokes:
    """Draw lines beside and across one another."""
    strokes: Strokes = []
    for _ in range(int(rng.integers(1, 3))):
        for place in np.linspace(0.15, 0.85, int(rng.integers(4, 6))):
            ends = np.array([[place, 0.1], [place, 0.9]]) + rng.uniform(-0.08, 0.08, (2, 2))
            strokes.append(ends if not strokes else ends[:, ::-1] if rng.random() < 0.5 else ends)
    return strokes


def _scraps(rng: np.random.Generator) -> Strokes:
    """Draw short marks strewn over the card."""
    strokes = []
    for _ in range(int(rng.integers(6, 12))):
        steps = rng.normal(0, 0.09, (int(rng.integers(2, 5)), 2))
        strokes.append(np.clip(rng.uniform(0.1, 0.9, 2) + np.cumsum(steps, axis=0), 0.02, 0.98))
    return strokes


def _tangle(rng: np.random.Generator) -> Strokes:
    """Draw one line through points all over the card."""
    return [rng.uniform(0.05, 0.95, (int(rng.integers(7, 13)), 2))]


# ------------------------------------------------------------------ textures


def draw_texture(name: str) -> npt.NDArray[np.uint8]:
    """Draw a made-up photograph: uint8 [480, 640, 3], RGB."""
    rng = seeded(name)
    width, height = TEXTURE_SIZE
    picture = np.zeros((height, width, 3), dtype=np.float32)
    for cells, share in ((2, 0.5), (9, 0.3), (40, 0.2)):
        coarse = rng.integers(0, 256, (cells, cells + 1, 3), dtype=np.uint8)
        picture += share * np.asarray(Image.fromarray(coarse).resize(TEXTURE_SIZE, Image.Resampling.BICUBIC))
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    for _ in range(int(rng.integers(4, 14))):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        half_width, half_height = rng.uniform(15, 120, 2)
        turn = rng.uniform(0, np.pi)
        along = (columns - x) * np.cos(turn) + (rows - y) * np.sin(turn)
        across = (rows - y) * np.cos(turn) - (columns - x) * np.sin(turn)
        if rng.random() < 0.5:
            inside = (np.abs(along) < half_width) & (np.abs(across) < half_height)
        else:
            inside = (along / half_width) ** 2 + (across / half_height) ** 2 < 1
        picture[inside] = 0.3 * picture[inside] + 0.7 * rng.uniform(0, 255, 3).astype(np.float32)
    picture += rng.normal(0, rng.uniform(1, 6), (height, width, 1)).astype(np.float32)
    return np.clip(picture, 0, 255).astype(np.uint8)


# ------------------------------------------------------------------ sounds


def play_word(index: int, voice: int, name: str) -> Array:
    """Play the word of class `index` by a voice: a contour of notes on the voice's pitch, float32 [n] at 16 kHz."""
    rng = seeded(name)
    pitch = 140.0 * 1.22**voice * rng.uniform(0.97, 1.03)
    steps = [0, index % 5, index // 5 % 5]
    while index >= 25:  # more classes, longer words
        index //= 5
        steps.append(index // 5 % 5)
    note = int(SOUND_RATE * rng.uniform(0.11, 0.17))
    seconds = np.arange(note) / SOUND_RATE
    envelope = np.sin(np.pi * (np.arange(note) + 0.5) / note) ** 0.5
    notes = []
    for place, step in enumerate(steps):
        base = pitch * (1.0 if place == 0 else 2 ** ((step - 2) * 4 / 12))
        tone = sum(np.sin(2 * np.pi * base * k * seconds + rng.uniform(0, 6.28)) / k for k in range(1, 7))
        notes.append(tone * envelope * 0.2)
    return np.concatenate(notes).astype(np.float32)


def play_noise(name: str) -> Array:
    """Play five seconds of a made-up place: coloured noise, hum and knocks, float32 [n] at 16 kHz."""
    rng = seeded(name)
    count = SOUND_RATE * NOISE_SECONDS
    frequency = np.maximum(np.fft.rfftfreq(count, 1 / SOUND_RATE), 20.0)
    spectrum = rng.normal(size=frequency.size) + 1j * rng.normal(size=frequency.size)
    sound = np.fft.irfft(spectrum * frequency ** -rng.uniform(0.0, 1.2), count)
    sound /= np.sqrt((sound**2).mean())
    seconds = np.arange(count) / SOUND_RATE
    if rng.random() < 0.5:
        hum = rng.uniform(45, 400)
        sound += rng.uniform(0.3, 2) * np.sin(2 * np.pi * hum * seconds) * (1 + 0.3 * np.sin(2 * np.pi * 2 * seconds))
    for at in rng.uniform(0, NOISE_SECONDS - 0.2, int(rng.integers(0, 8))):
        knock = np.where(seconds > at, np.exp(-(seconds - at) / 0.03), 0)
        sound += 6 * knock * np.sin(2 * np.pi * rng.uniform(200, 3000) * seconds)
    quiet: Array = (0.1 * sound / np.sqrt((sound**2).mean())).astype(np.float32)
    return quiet
