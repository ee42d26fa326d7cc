"""Batches from a pool of composed or decoded clips, with what frozen encoders say of them computed once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from avgn_edge.architectures.avgn.network.avgn import AVGN
from avgn_edge.training.batch import Batch
from avgn_edge.training.pool import Pool


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
    model.global_encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
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
