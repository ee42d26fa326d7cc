"""What one training step is given: a batch of clips, each of T moments, and how a clip is augmented (AVGN, 4.1)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from avgn_edge.media.front_ends import YAMNET, FrontEnd


@dataclass(frozen=True)
class Batch:
    """`b` clips of T moments in order of time."""

    frames: Tensor
    """uint8 [b, T, H, W, 3], RGB."""
    spectrograms: Tensor
    """Log-mel, float32 [b, T, 1, 96, 64]."""
    heard: Tensor
    """Whether there is any sound, bool [b, T]."""
    target: Tensor
    """int64 [b] for one label a clip, float32 [b, C] of zeros and ones for several."""
    maps: Tensor | None = None
    """Feature maps of the frames, float16 [b, T, D, h, w], where a frozen encoder was run beforehand."""
    audio: Tensor | None = None
    """Features of the spectrograms, float32 [b, T, D], where a frozen encoder was run beforehand."""

    def to(self, device: torch.device) -> Batch:
        """Copy to a device, without waiting where memory is pinned."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """Pin its memory; DataLoader calls this."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: change(part) for name, part in parts.items() if part is not None})

    def __len__(self) -> int:
        return len(self.frames)


_PLACES = ((0, 0), (4, 0), (0, 4), (4, 4), (2, 2), (0, 2), (4, 2), (2, 4), (2, 0), (1, 1), (3, 1), (1, 3), (3, 3))
"""Top-left corners in quarters of the room that is left: corners, centre, edges, and half way to the corners (TSN)."""


@dataclass(frozen=True)
class Augmentation:
    """What is drawn for a clip in training; the defaults are the paper's where it says, AdaFocusV2's where not."""

    scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)
    """Sides of the crop, as shares of the resized frame's; width and height draw their own."""
    max_distort: int = 1
    """How many places in `scales` width and height may be apart."""
    fixed_places: bool = True
    """Whether crops lie in one of TSN's 13 places, or anywhere."""
    flip: bool = True
    """Half of the clips are mirrored. Not for classes that a mirror changes: digits, text, left and right."""
    time_mask: int = 24
    """Longest stretch of each moment's 96 spectrogram rows that is silenced; 0 for none."""
    band_mask: int = 12
    """Most of the 64 mel bands that are silenced; 0 for none."""
    gain_db: float = 0.0
    """Largest change of a clip's loudness, in dB up or down; the paper has none."""

    def __post_init__(self) -> None:
        if not self.scales or not all(0 < scale <= 1 for scale in self.scales):
            raise ValueError(f"scales are shares of the frame's side, not {self.scales}")
        if self.max_distort < 0 or self.time_mask < 0 or self.band_mask < 0 or not 0 <= self.gain_db < math.inf:
            raise ValueError("max_distort, time_mask, band_mask and gain_db cannot be negative")


@dataclass(frozen=True)
class CropBox:
    """A rectangle of whole pixels."""

    x: int
    y: int
    width: int
    height: int


def draw_crop(rng: np.random.Generator, side: int, size: int, options: Augmentation) -> CropBox:
    """Draw where to cut frames of `side` pixels square that are then resized to `size` (TSN's multi-scale crop)."""
    sides = [_side(scale, side, size) for scale in options.scales]
    pairs = [(w, h) for i, w in enumerate(sides) for j, h in enumerate(sides) if abs(i - j) <= options.max_distort]
    width, height = pairs[int(rng.integers(len(pairs)))]
    if options.fixed_places:
        across, down = _PLACES[int(rng.integers(len(_PLACES)))]
        return CropBox(across * ((side - width) // 4), down * ((side - height) // 4), width, height)
    return CropBox(int(rng.integers(side - width + 1)), int(rng.integers(side - height + 1)), width, height)


def _side(scale: float, side: int, size: int) -> int:
    pixels = max(1, int(side * scale))
    return size if abs(pixels - size) < 3 and size <= side else pixels  # as TSN: no resizing for two pixels


def crop_and_resize(frames: NDArray[np.uint8], box: CropBox, size: int) -> NDArray[np.uint8]:
    """Cut `box` out of frames uint8 [n, H, W, 3] and resize it, bilinear, antialiased: uint8 [n, size, size, 3]."""
    inside = frames[:, box.y : box.y + box.height, box.x : box.x + box.width]
    if inside.shape[1:3] == (size, size):
        return np.ascontiguousarray(inside)
    planes = torch.from_numpy(inside).permute(0, 3, 1, 2)
    resized = F.interpolate(planes, size=(size, size), mode="bilinear", antialias=True)
    return np.ascontiguousarray(resized.permute(0, 2, 3, 1).numpy())


def flip(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mirror frames [n, H, W, 3] left to right."""
    return np.ascontiguousarray(frames[:, :, ::-1])


def augment_frames(
    frames: NDArray[np.uint8], rng: np.random.Generator, size: int, options: Augmentation
) -> NDArray[np.uint8]:
    """Crop, resize and perhaps mirror the square frames of one clip: uint8 [n, S, S, 3] to uint8 [n, size, size, 3]."""
    box = draw_crop(rng, frames.shape[1], size, options)
    mirrored = rng.random() < 0.5  # drawn either way: `flip` changes nothing else that is drawn
    cut = crop_and_resize(frames, box, size)
    return flip(cut) if mirrored and options.flip else cut


def change_gain(waveforms: NDArray[np.float32], rng: np.random.Generator, most_db: float) -> NDArray[np.float32]:
    """Make all windows of a clip louder or softer by the same factor, up to `most_db`: float32 [n, samples].

    Before the log-mel, where loudness is a factor; there is no clipping, as there is none behind it.
    """
    factor = 10 ** (rng.uniform(-most_db, most_db) / 20)
    louder: NDArray[np.float32] = waveforms * np.float32(factor)
    return louder


def mask_spectrograms(
    spectrograms: NDArray[np.float32],
    rng: np.random.Generator,
    time_mask: int,
    band_mask: int,
    front_end: FrontEnd = YAMNET,
) -> NDArray[np.float32]:
    """Silence one stretch of time and one of mel bands in each moment (SpecAugment): float32 [n, 1, *shape].

    Widths are drawn from 0 up to and with the two limits, moment by moment. The network meets silence wherever nothing
    sounds; a mean, as SpecAugment has it, would be another value for each clip, which inference never shows in a block.
    """
    masked: NDArray[np.float32] = spectrograms.copy()
    for moment in masked if front_end.time_first else masked.swapaxes(2, 3):
        first, last = _stretch(rng, moment.shape[1], time_mask)
        moment[:, first:last] = front_end.silence
        first, last = _stretch(rng, moment.shape[2], band_mask)
        moment[:, :, first:last] = front_end.silence
    return masked


def _stretch(rng: np.random.Generator, length: int, widest: int) -> tuple[int, int]:
    width = int(rng.integers(min(widest, length) + 1))
    first = int(rng.integers(length - width + 1))
    return first, first + width
