"""Clips as arrays on disk, composed or decoded once, and batches from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from avgn_edge.architectures.avgn.network.avgn import AVGN
from avgn_edge.architectures.avgn.network.encoders import lay_out
from avgn_edge.data.datasets import read_dataset
from avgn_edge.data.evaluation.when_and_where import read_truth
from avgn_edge.data.synth.clip_plan import (
    HEIGHT,
    WIDTH,
    ClipPlan,
    Variation,
    card_centre,
    clip_rng,
    episode_at,
    plan_clip,
)
from avgn_edge.data.synth.sources import Sources
from avgn_edge.media.frames import FrameGeometry
from avgn_edge.media.logmel import log_mel
from avgn_edge.media.opening import open_clip
from avgn_edge.media.windows import HEARD_PEAK
from avgn_edge.training.batches import Batch
from recipes.digits.moments import compose_moments, draw_times

MOMENTS = 16
_GEOMETRY = FrameGeometry()
_INSIDE = slice(_GEOMETRY.offset, _GEOMETRY.offset + _GEOMETRY.crop)
_FIELDS: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
    "frames": (np.uint8, (MOMENTS, _GEOMETRY.crop, _GEOMETRY.crop, 3)),
    "spectrograms": (np.float16, (MOMENTS, 1, 96, 64)),
    "heard": (np.bool_, (MOMENTS,)),
    "label": (np.int64, ()),
    "seen": (np.bool_, (MOMENTS,)),
    "spoken": (np.bool_, (MOMENTS,)),
    "card": (np.float32, (MOMENTS, 2)),
}


@dataclass(frozen=True)
class Pool:
    """`n` clips of 16 moments.

    frames uint8 [n, 16, 224, 224, 3]; spectrograms float16 [n, 16, 1, 96, 64]; heard bool [n, 16]; label int64 [n];
    and what the composer knows of each moment: a readable card (`seen`), a word (`spoken`), bool [n, 16], and the
    card's centre in frame pixels, float32 [n, 16, 2], NaN where there is none.
    """

    frames: NDArray[np.uint8]
    spectrograms: NDArray[np.float16]
    heard: NDArray[np.bool_]
    label: NDArray[np.int64]
    seen: NDArray[np.bool_]
    spoken: NDArray[np.bool_]
    card: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.label)


Times = Callable[[np.random.Generator, ClipPlan], NDArray[np.float64]]


def one_a_bin(rng: np.random.Generator, plan: ClipPlan) -> NDArray[np.float64]:
    """One random moment in each of the 16 bins, as the paper trains."""
    return draw_times(rng, plan.duration, MOMENTS)


def bin_centres(_: np.random.Generator, plan: ClipPlan) -> NDArray[np.float64]:
    """The centre of each bin, as the paper evaluates."""
    return np.asarray((np.arange(MOMENTS) + 0.5) * (plan.duration / MOMENTS), dtype=np.float64)


def half_in_episodes(rng: np.random.Generator, plan: ClipPlan) -> NDArray[np.float64]:
    """Eight moments inside episodes and eight anywhere: for the warm start of the encoders."""
    chosen = [plan.episodes[int(rng.integers(len(plan.episodes)))] for _ in range(MOMENTS // 2)]
    inside = [float(rng.uniform(episode.start, episode.end)) for episode in chosen]
    return np.array([*inside, *rng.uniform(0, plan.duration, MOMENTS - len(inside))])


def compose_pool(
    folder: Path,
    sources: Sources,
    clips: int,
    seed: int,
    times: Times,
    variation: Variation | None = None,
    workers: int = 2,
) -> Pool:
    """Compose `clips` clips into `folder`, or open what an earlier call with the same arguments left there."""
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "done"
    if not done.exists():
        _create(folder, clips)
        compose = partial(_compose_some, folder, sources, seed, times, variation)
        with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as processes:
            list(processes.map(compose, np.array_split(np.arange(clips), max(workers, clips // 20))))
        done.touch()
    return Pool(**_open(folder, "r"))


def decode_pool(folder: Path, data: Path, classes: tuple[str, ...]) -> Pool:
    """Decode the clips of a composed set (`labels.csv` and `truth.json` in `data`) at the centres of their bins.

    Or open what an earlier call left in `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "done"
    if not done.exists():
        clips, truth = read_dataset(data).clips, read_truth(data) or {}
        _create(folder, len(clips))
        arrays = _open(folder, "r+")
        for row, labelled in enumerate(clips):
            with open_clip(labelled.path) as clip:
                windows, arrays["heard"][row] = clip.windows()
                arrays["frames"][row] = np.stack(clip.frames(range(MOMENTS)))
                times = [moment.time_s for moment in clip.moments]
            arrays["spectrograms"][row] = log_mel(windows)
            arrays["label"][row] = classes.index(labelled.labels[0])
            for moment, time_s in enumerate(times):
                known = truth[labelled.name]
                episode, card = known.episode_at(time_s), known.card_at(time_s)
                arrays["seen"][row, moment] = card is not None
                arrays["spoken"][row, moment] = episode is not None and episode.heard
                arrays["card"][row, moment] = (np.nan, np.nan) if card is None else _in_frame(*card)
        done.touch()
    return Pool(**_open(folder, "r"))


def _create(folder: Path, clips: int) -> None:
    for name, (dtype, shape) in _FIELDS.items():
        np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=(clips, *shape)).flush()


def _in_frame(x: float, y: float) -> tuple[float, float]:
    """From pixels of the composed frame to those of the network's."""
    return x * _GEOMETRY.resize / WIDTH - _GEOMETRY.offset, y * _GEOMETRY.resize / HEIGHT - _GEOMETRY.offset


def _open(folder: Path, mode: Literal["r", "r+"]) -> dict[str, np.memmap[Any, Any]]:
    return {name: np.load(folder / f"{name}.npy", mmap_mode=mode) for name in _FIELDS}


def _compose_some(
    folder: Path, sources: Sources, seed: int, times: Times, variation: Variation | None, indices: NDArray[np.int64]
) -> None:
    arrays = _open(folder, "r+")
    for index in indices.tolist():
        rng = clip_rng(seed, index)
        plan = plan_clip(rng, sources, sources.classes[index % len(sources.classes)], variation)
        moments = times(rng, plan)
        qualities = None if variation is None else variation.jpeg_quality
        quality = None if qualities is None else int(rng.integers(*qualities, endpoint=True))
        frames, windows = compose_moments(plan, moments, quality)
        arrays["frames"][index] = frames[:, _INSIDE, _INSIDE]
        arrays["spectrograms"][index] = log_mel(windows)
        arrays["heard"][index] = np.abs(windows).max(axis=1) > HEARD_PEAK
        arrays["label"][index] = sources.classes.index(plan.label)
        for moment, time_s in enumerate(moments.tolist()):
            episode = episode_at(plan, time_s)
            arrays["seen"][index, moment] = episode is not None and episode.seen
            arrays["spoken"][index, moment] = episode is not None and episode.heard
            centre = (np.nan, np.nan)
            if episode is not None and episode.seen:
                centre = _in_frame(*card_centre(episode.card, episode.start, episode.end, time_s))
            arrays["card"][index, moment] = centre
    for array in arrays.values():
        array.flush()


@dataclass(frozen=True)
class FeaturePool:
    """A pool with e^G float16 [n, T, D_G, h, w] and e^A float32 [n, T, D_A]."""

    pool: Pool
    maps: NDArray[np.float16]
    audio: NDArray[np.float32]

    @classmethod
    def open(cls, pool: Pool, path: Path) -> FeaturePool:
        """Open what `encode_pool` left."""
        return cls(pool, np.load(path, mmap_mode="r"), np.load(_beside(path)))

    def batch(self, rows: NDArray[np.int64]) -> Batch:
        """Take some clips."""
        rows = np.sort(rows)  # in the order of the file
        pool = self.pool
        return Batch(
            torch.from_numpy(np.array(pool.frames[rows])),
            torch.from_numpy(pool.spectrograms[rows].astype(np.float32)),
            torch.from_numpy(np.array(pool.heard[rows])),
            torch.from_numpy(np.array(pool.label[rows])),
            torch.from_numpy(np.array(self.maps[rows])),
            torch.from_numpy(self.audio[rows]),
        )

    def in_order(self, batch: int = 20) -> Iterator[Batch]:
        """All clips, for validation."""
        for start in range(0, len(self.pool), batch):
            yield self.batch(np.arange(start, min(start + batch, len(self.pool))))


@dataclass(frozen=True)
class PoolSource:
    """A `BatchSource`: the clips of each epoch in an order of its own."""

    data: FeaturePool
    size: int
    seed: int
    clips: int | None = None
    """Only the first so many clips; None for all."""

    @property
    def batches(self) -> int:
        """Batches an epoch; the last clips, too few for one, wait for another epoch."""
        return (self.clips or len(self.data.pool)) // self.size

    def epoch(self, number: int, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from the `first` on; the same for the same number."""
        order = np.random.default_rng((self.seed, number)).permutation(self.clips or len(self.data.pool))
        for place in range(first, self.batches):
            yield self.data.batch(order[place * self.size : (place + 1) * self.size])


@torch.no_grad()
def encode_pool(model: AVGN, pool: Pool, path: Path) -> FeaturePool:
    """Run f_G and f_A over a pool, in bfloat16 and float32, and keep what they say on disk."""
    settings = model.settings
    shape = (*pool.heard.shape, model.global_encoder.channels, settings.grid, settings.grid)
    partial = path.with_name(path.name + ".partial")
    maps = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=shape)
    audio = np.empty((*pool.heard.shape, model.audio_encoder.channels), np.float32)
    model.eval()
    lay_out(model.global_encoder)
    for i in range(len(pool)):
        with torch.autocast("cpu", torch.bfloat16):
            maps[i] = model.global_encoder(torch.from_numpy(np.array(pool.frames[i]))).float().numpy()
        audio[i] = model.audio_encoder(torch.from_numpy(pool.spectrograms[i].astype(np.float32))).numpy()
    maps.flush()
    np.save(_beside(path), audio)
    partial.replace(path)
    return FeaturePool.open(pool, path)


def _beside(path: Path) -> Path:
    return path.with_suffix(".audio.npy")
