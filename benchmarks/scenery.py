"""What the clips of the benchmarks show: scenes that a decoder has work with, neither flat nor white noise.

Each scene pans and zooms over a mosaic of drawn textures while something of its own moves across it, under the noise of
a sensor; scenes change with a hard cut. Everything comes from the seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from avgn_edge.data.synth import own
from avgn_edge.data.synth.sources import resample

SCENE_S = 3.0
NOISE = 2.5
"""Standard deviation of a luma pixel, in levels."""
SOUND_RATE = 48_000
_TEXTURES = 6
_CANVAS = 1.6
"""A scene's mosaic over the frame it is seen through, along a side."""
_SLACK = 64


@dataclass(frozen=True)
class _Scene:
    """Planes to look at, and how the view and the thing in front move from the scene's start (0) to its end (1)."""

    planes: tuple[Image.Image, ...]
    """Y at full size, Cb and Cr at half of it."""
    thing: tuple[Image.Image, ...]
    view: NDArray[np.float64]
    """x, y in 0…1 of the room there is, and the width over the frame's: [2, 3]."""
    way: NDArray[np.float64]
    """Where the thing is, 0…1 of the frame: [2, 2]."""


class SensorNoise:
    """What a sensor adds to the luma of a frame; equal seeds add equal noise."""

    def __init__(self, width: int, height: int, seed: int) -> None:
        self._size = width, height
        rng = np.random.default_rng((seed, 1))
        self._noise = rng.normal(0, NOISE, (height + _SLACK, width + _SLACK)).round().astype(np.int16)
        self._rolls = np.random.default_rng((seed, 2))

    def on(self, luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the luma of the next frame, uint8 [H, W], with noise."""
        width, height = self._size
        down, across = self._rolls.integers(_SLACK, size=2)
        return np.clip(luma + self._noise[down : down + height, across : across + width], 0, 255).astype(np.uint8)


class Scenery:
    """An endless picture of one size; equal seeds show equal pictures."""

    def __init__(self, width: int, height: int, seed: int = 0) -> None:
        self._size = width, height
        self._seed = seed
        self._photos = [Image.fromarray(own.draw_texture(f"benchmarks/{seed}/{at}")) for at in range(_TEXTURES)]

    def frames(self, count: int, rate: int) -> Iterator[NDArray[np.uint8]]:
        """Yield the first `count` frames at `rate` a second: uint8 [H · 3 / 2, W], the planes of yuv420p."""
        a_scene = round(SCENE_S * rate)
        noise = SensorNoise(*self._size, self._seed)
        for number in range(count):
            if number % a_scene == 0:
                scene = self._scene(number // a_scene)
            yield self._frame(scene, (number % a_scene) / a_scene, noise)

    def _scene(self, number: int) -> _Scene:
        rng = np.random.default_rng((self._seed, 3, number))
        width, height = (round(_CANVAS * side) for side in self._size)
        mosaic = Image.new("RGB", (width, height))
        across, down = own.TEXTURE_SIZE
        for top in range(0, height, down):
            for left in range(0, width, across):
                photo = self._photos[int(rng.integers(_TEXTURES))]
                if rng.random() < 0.5:
                    photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
                mosaic.paste(photo, (left, top))
        side = self._size[1] // 4 * 2
        thing = self._photos[int(rng.integers(_TEXTURES))].resize((side, side))
        view = np.column_stack((rng.random((2, 2)), rng.uniform(0.8, 1.2, 2)))
        return _Scene(_planes(mosaic), _planes(thing), view, rng.random((2, 2)))

    def _frame(self, scene: _Scene, share: float, noise: SensorNoise) -> NDArray[np.uint8]:
        width, height = self._size
        x, y, zoom = scene.view[0] + share * (scene.view[1] - scene.view[0])
        place = scene.way[0] + share * (scene.way[1] - scene.way[0])
        drawn = []
        for plane, thing, part in zip(scene.planes, scene.thing, (1, 2, 2), strict=True):
            seen_w, seen_h = zoom * width / part, zoom * height / part
            left, top = x * (plane.width - seen_w), y * (plane.height - seen_h)
            box = (left, top, left + seen_w, top + seen_h)
            seen = plane.resize((width // part, height // part), Image.Resampling.BILINEAR, box)
            seen.paste(thing, (int(place[0] * (width // part)), int(place[1] * (height // part))))
            drawn.append(np.asarray(seen))
        return np.concatenate([noise.on(drawn[0]), *(plane.reshape(-1, width) for plane in drawn[1:])])


def sound(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    """Make places that change with a word now and then: float32 [2, n] at 48 kHz."""
    pieces: list[NDArray[np.float32]] = []
    made = 0.0
    while made < seconds:
        at = len(pieces)
        piece = own.play_noise(f"benchmarks/{seed}/{at}")
        word = own.play_word(at % 10, at % 4, f"benchmarks/{seed}/{at}")
        piece[own.SOUND_RATE : own.SOUND_RATE + len(word)] += word
        pieces.append(piece)
        made += own.NOISE_SECONDS
    mono = resample(np.concatenate(pieces), own.SOUND_RATE, SOUND_RATE)[: round(seconds * SOUND_RATE)]
    return np.clip(np.stack([mono, 0.8 * mono]), -1, 1)


def _planes(picture: Image.Image) -> tuple[Image.Image, ...]:
    luma, *chroma = picture.convert("YCbCr").split()
    return luma, *(plane.resize((plane.width // 2, plane.height // 2), Image.Resampling.BOX) for plane in chroma)
