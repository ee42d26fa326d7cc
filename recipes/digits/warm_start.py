"""Encoders before the clips: f_A, f_G and f_L learn single moments, as the paper starts from ImageNet.

The composer knows which moments show or say something, and that is used here: a moment with evidence has the clip's
class, any other the uniform distribution. From there on, everything else sees clip labels alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from avgn_edge.architectures.avgn.network.avgn import AVGN
from avgn_edge.architectures.avgn.network.encoders import lay_out
from recipes.digits.pool import Pool

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


def _moments(
    evidence: NDArray[np.bool_], batch: int, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Draw (clip, moment) pairs: all that have evidence, and half of the others, which teach the least."""
    count = evidence.shape[1]
    flat = evidence.ravel()
    others = rng.permutation(np.flatnonzero(~flat))
    order = rng.permutation(np.concatenate((np.flatnonzero(flat), others[: len(others) // 2])))
    for start in range(0, len(order) - batch + 1, batch):
        picked = order[start : start + batch]
        yield picked // count, picked % count


def batches_an_epoch(evidence: NDArray[np.bool_], batch: int) -> int:
    """Count what one pass of `audio_batches`, `frame_batches` or `patch_batches` yields."""
    found = int(evidence.sum())
    return (found + (evidence.size - found) // 2) // batch


def audio_batches(pool: Pool, classes: int, batch: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Spectrograms [n, 1, 96, 64] of other voices elsewhere, masked in time and frequency, and their targets."""
    silent_of_words = np.argwhere(~pool.spoken)
    for clip, moment in _moments(pool.spoken, batch, rng):
        x = np.stack([another_voice(one, rng) for one in pool.spectrograms[clip, moment, 0].astype(np.float32)])
        others = silent_of_words[rng.integers(0, len(silent_of_words), len(x))]
        for row, (c, m) in zip(x, others, strict=True):
            if rng.random() < 0.3:  # more noise: magnitudes add
                row[:] = np.logaddexp(row, pool.spectrograms[c, m, 0].astype(np.float32) + rng.uniform(-3, 0))
            row[:] = row + another_microphone(row.shape[1], rng)
            start, width = int(rng.integers(0, 96)), int(rng.integers(0, 12))
            row[start : start + width] = row.min()
            start, width = int(rng.integers(0, 64)), int(rng.integers(0, 10))
            row[:, start : start + width] = row.min()
        yield torch.from_numpy(x[:, np.newaxis]), soft_targets(pool.label[clip], pool.spoken[clip, moment], classes)


def another_voice(spectrogram: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Change pace and vocal tract, each by itself: log-mel [96, 64], stretched in time and shifted in mel."""
    rows, bands = spectrogram.shape
    when = (np.arange(rows) - rows / 2) * rng.uniform(0.75, 1.3) + rows / 2
    # A vocal tract scales frequency, which is close to a shift where the mel scale is logarithmic (above 1 kHz).
    band = np.arange(bands) * rng.uniform(0.92, 1.08) + rng.uniform(-3.5, 3.5)
    when, band = np.clip(when, 0, rows - 1.001), np.clip(band, 0, bands - 1.001)
    t, f = when.astype(int), band.astype(int)
    dt, df = (when - t)[:, np.newaxis].astype(np.float32), (band - f).astype(np.float32)
    stretched = spectrogram[t] * (1 - dt) + spectrogram[t + 1] * dt
    shifted: NDArray[np.float32] = stretched[:, f] * (1 - df) + stretched[:, f + 1] * df
    return shifted


def another_microphone(bands: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a gain and a smooth frequency response, in natural logarithms: float32 [bands]."""
    knots = rng.normal(0, 0.6, 6)
    response = rng.normal(0, 0.7) + np.interp(np.linspace(0, 5, bands), np.arange(6), knots)
    return np.asarray(response, dtype=np.float32)


def other_colours(frame: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Change the brightness and contrast of each channel: uint8 [h, w, 3]."""
    levels = np.arange(256, dtype=np.float32)[:, np.newaxis]
    gain = rng.uniform(0.8, 1.2) * rng.uniform(0.9, 1.1, 3)
    offset = rng.uniform(-20, 20) + rng.uniform(-8, 8, 3)
    table = np.clip((levels - 128) * gain + 128 + offset, 0, 255).astype(np.uint8)
    return np.stack([table[frame[..., channel], channel] for channel in range(3)], axis=-1)


def frame_batches(pool: Pool, classes: int, batch: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Whole frames, uint8 [n, 224, 224, 3], shifted by up to 16 pixels, in other colours, and their targets."""
    for clip, moment in _moments(pool.seen, batch, rng):
        frames = pool.frames[clip, moment]
        for frame in frames:
            dx, dy = rng.integers(-16, 17, 2).tolist()
            frame[:] = other_colours(np.roll(frame, (dy, dx), (0, 1)), rng)
        yield torch.from_numpy(frames), soft_targets(pool.label[clip], pool.seen[clip, moment], classes)


def patch_batches(pool: Pool, classes: int, batch: int, rng: np.random.Generator, size: int = 128) -> Iterator[Batch]:
    """Patches, uint8 [n, size, size, 3], most of them around the card where there is one, and their targets."""
    for clip, moment in _moments(pool.seen, batch, rng):
        patches = np.empty((len(clip), size, size, 3), np.uint8)
        inside = np.zeros(len(clip), np.bool_)
        for i, (c, m) in enumerate(zip(clip, moment, strict=True)):
            frame = pool.frames[c, m]
            limit = frame.shape[0] - size
            corner = rng.uniform(0, limit, 2)
            if pool.seen[c, m] and rng.random() < 0.8:
                corner = pool.card[c, m] - rng.uniform(0.1, 0.9, 2) * size
            x, y = np.clip(np.rint(corner), 0, limit).astype(int).tolist()
            patches[i] = other_colours(frame[y : y + size, x : x + size], rng)
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
    lay_out(encoder.train())
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
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
            evident = target.amax(dim=1) > 0.5
            right += int((logits.argmax(1) == target.argmax(1))[evident].sum())
            seen += int(evident.sum())
        log(f"epoch {epoch + 1}/{options.epochs} loss {np.mean(losses):.3f} top-1 with evidence {right / seen:.3f}")
    lay_out(encoder.eval(), torch.contiguous_format)


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
