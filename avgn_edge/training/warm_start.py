"""Encoders before the clips: f_A, f_G and f_L learn single moments, as the paper starts from ImageNet.

The composer knows which moments show or say something, and that is used here: a moment with evidence has the clip's
class, any other the uniform distribution. From there on, `loop` sees clip labels alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from avgn_edge.models.avgn import AVGN
from avgn_edge.training.pool import Pool

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class WarmStart:
    """How long and how fast."""

    epochs: int
    batch: int = 64
    learning_rate: float = 0.05
    weight_decay: float = 1e-4
    bfloat16: bool = True


def soft_targets(label: NDArray[np.int64], evidence: NDArray[np.bool_], classes: int) -> Tensor:
    """One-hot (smoothed by 5 %) where there is evidence, uniform elsewhere: float [n, classes]."""
    uniform = torch.full((len(label), classes), 1 / classes)
    hot = F.one_hot(torch.from_numpy(label), classes) * 0.95 + 0.05 / classes
    return torch.where(torch.from_numpy(evidence)[:, None], hot, uniform)


def _moments(pool: Pool, batch: int, rng: np.random.Generator) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    count = pool.heard.shape[1]
    order = rng.permutation(len(pool) * count)
    for start in range(0, len(order) - batch + 1, batch):
        picked = order[start : start + batch]
        yield picked // count, picked % count


def audio_batches(pool: Pool, classes: int, batch: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Spectrograms with time and frequency masking [n, 1, 96, 64], and their targets."""
    for clip, moment in _moments(pool, batch, rng):
        x = pool.spectrograms[clip, moment].astype(np.float32)
        for row in x[:, 0]:
            start, width = int(rng.integers(0, 96)), int(rng.integers(0, 12))
            row[start : start + width] = row.min()
            start, width = int(rng.integers(0, 64)), int(rng.integers(0, 10))
            row[:, start : start + width] = row.min()
        x += rng.normal(0, 0.7, (len(x), 1, 1, 1)).astype(np.float32)  # gain
        yield torch.from_numpy(x), soft_targets(pool.label[clip], pool.spoken[clip, moment], classes)


def frame_batches(pool: Pool, classes: int, batch: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Whole frames, uint8 [n, 224, 224, 3], shifted by up to 12 pixels, and their targets."""
    for clip, moment in _moments(pool, batch, rng):
        frames = pool.frames[clip, moment]
        for frame in frames:
            dx, dy = rng.integers(-12, 13, 2).tolist()
            frame[:] = np.roll(frame, (dy, dx), (0, 1))
        yield torch.from_numpy(frames), soft_targets(pool.label[clip], pool.seen[clip, moment], classes)


def patch_batches(pool: Pool, classes: int, batch: int, rng: np.random.Generator, size: int = 128) -> Iterator[Batch]:
    """Patches, uint8 [n, size, size, 3], most of them around the card where there is one, and their targets."""
    for clip, moment in _moments(pool, batch, rng):
        patches = np.empty((len(clip), size, size, 3), np.uint8)
        inside = np.zeros(len(clip), np.bool_)
        for i, (c, m) in enumerate(zip(clip, moment, strict=True)):
            frame = pool.frames[c, m]
            limit = frame.shape[0] - size
            corner = rng.uniform(0, limit, 2)
            if pool.seen[c, m] and rng.random() < 0.8:
                corner = pool.card[c, m] - rng.uniform(0.1, 0.9, 2) * size
            x, y = np.clip(np.rint(corner), 0, limit).astype(int).tolist()
            patches[i] = frame[y : y + size, x : x + size]
            if pool.seen[c, m]:
                inside[i] = bool(np.all(np.abs(pool.card[c, m] - (x + size / 2, y + size / 2)) < size / 2 - 8))
        yield torch.from_numpy(patches), soft_targets(pool.label[clip], inside, classes)


def warm_start(
    encoder: nn.Module,
    head: nn.Linear,
    batches: Callable[[np.random.Generator], Iterator[Batch]],
    options: WarmStart,
    steps_an_epoch: int,
    seed: int,
    log: Callable[[str], None],
) -> None:
    """Train one encoder and its auxiliary head (FC^A, FC^G or FC^L) with SGD and one cosine cycle."""
    encoder.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    parameters = [*encoder.parameters(), *head.parameters()]
    optimiser = torch.optim.SGD(parameters, options.learning_rate, momentum=0.9, weight_decay=options.weight_decay)
    steps = options.epochs * steps_an_epoch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, options.learning_rate, total_steps=steps + 1, pct_start=0.15
    )
    for epoch in range(options.epochs):
        losses, right, seen = [], 0, 0
        for inputs, target in batches(np.random.default_rng((seed, epoch))):
            with torch.autocast("cpu", torch.bfloat16, enabled=options.bfloat16):
                features = encoder(inputs)
            features = features.float()
            logits = head(features.mean(dim=(2, 3)) if features.dim() == 4 else features)
            loss = F.cross_entropy(logits, target)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
            evident = target.amax(dim=1) > 0.5
            right += int((logits.argmax(1) == target.argmax(1))[evident].sum())
            seen += int(evident.sum())
        log(f"epoch {epoch + 1}/{options.epochs} loss {np.mean(losses):.3f} top-1 with evidence {right / seen:.3f}")
    encoder.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


@torch.no_grad()
def accuracy(encoder: nn.Module, head: nn.Linear, batches: Iterator[Batch]) -> float:
    """Top-1 over the moments with evidence."""
    right = seen = 0
    encoder.eval()
    for inputs, target in batches:
        features = encoder(inputs)
        logits = head(features.mean(dim=(2, 3)) if features.dim() == 4 else features)
        evident = target.amax(dim=1) > 0.5
        right += int((logits.argmax(1) == target.argmax(1))[evident].sum())
        seen += int(evident.sum())
    return right / max(1, seen)


def heads(model: AVGN) -> dict[str, tuple[nn.Module, nn.Linear]]:
    """The encoders with the auxiliary heads that train them."""
    return {
        "audio": (model.audio_encoder, model.fc_a),
        "global": (model.global_encoder, model.fc_g),
        "local": (model.local_encoder, model.fc_l),
    }
