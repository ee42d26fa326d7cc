"""Learning when and where from clip labels alone: the losses of section 3.4 over composed clips.

This short loop keeps f_A and f_G as the warm start left them, so that their features are computed once, and trains
everything behind them, f_L included, with AdamW.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from avgn_edge.media.order import GLANCE_ORDER
from avgn_edge.models import checkpoint
from avgn_edge.models.avgn import AVGN
from avgn_edge.models.saliency import Saliency
from avgn_edge.training.forward import ClipFeatures, Pass, run
from avgn_edge.training.guidance import guidance_loss
from avgn_edge.training.losses import Losses, all_losses
from avgn_edge.training.pool import Pool


@dataclass(frozen=True)
class ClipTraining:
    """How long and how fast; learning rates are AdamW's."""

    epochs: int
    batch: int = 24
    learning_rate: float = 5e-4
    policy_learning_rate: float = 5e-4
    local_learning_rate: float = 1e-4
    weight_decay: float = 1e-2
    audio_dropout: float = 0.15
    guidance: float = 10.0
    """Weight of the hint for π, beside the paper's losses; 0 for none."""
    looks: int = 8
    """Moments of a clip that are looked at in most steps, drawn anew each time: f_L is what a step costs."""
    all_looks_every: int = 8
    """Every so many steps all moments are looked at, so that the heads of long sequences learn too."""
    seed: int = 0


@dataclass(frozen=True)
class FeaturePool:
    """A pool with what the frozen encoders say of it: maps float16 [n, T, D_G, h, w], audio float32 [n, T, D_A]."""

    pool: Pool
    maps: NDArray[np.float16]
    audio: NDArray[np.float32]


@torch.no_grad()
def encode_pool(model: AVGN, pool: Pool, path: Path) -> FeaturePool:
    """Run f_G and f_A over a pool, in bfloat16 and float32, and keep the maps on disk."""
    settings = model.settings
    shape = (*pool.heard.shape, model.global_encoder.channels, settings.grid, settings.grid)
    maps = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
    audio = np.empty((*pool.heard.shape, model.audio_encoder.channels), np.float32)
    model.eval()
    model.global_encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for i in range(len(pool)):
        with torch.autocast("cpu", torch.bfloat16):
            maps[i] = model.global_encoder(torch.from_numpy(np.array(pool.frames[i]))).float().numpy()
        audio[i] = model.audio_encoder(torch.from_numpy(pool.spectrograms[i].astype(np.float32))).numpy()
    return FeaturePool(pool, maps, audio)


def _batch(
    model: AVGN, data: FeaturePool, rows: NDArray[np.int64], muted: Tensor
) -> tuple[Tensor, ClipFeatures, Tensor]:
    rows = np.sort(rows)
    heard = torch.from_numpy(data.pool.heard[rows]) & ~muted.unsqueeze(1)
    audio = model.with_silence(torch.from_numpy(data.audio[rows]), heard)
    features = ClipFeatures(torch.from_numpy(data.maps[rows].astype(np.float32)), audio, heard)
    return torch.from_numpy(data.pool.frames[rows]), features, torch.from_numpy(data.pool.label[rows])


def _optimiser(model: AVGN, options: ClipTraining) -> torch.optim.AdamW:
    policy = [*model.policy.parameters(), *model.aespa.parameters()]
    local = [*model.local_encoder.parameters()]
    frozen = {id(p) for module in (model.audio_encoder, model.global_encoder) for p in module.parameters()}
    taken = frozen | {id(parameter) for parameter in (*policy, *local)}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in taken]
    return torch.optim.AdamW(
        [
            {"params": policy, "lr": options.policy_learning_rate},
            {"params": local, "lr": options.local_learning_rate},
            {"params": rest, "lr": options.learning_rate},
        ],
        weight_decay=options.weight_decay,
    )


def _train_mode(model: AVGN) -> None:
    """Everything learns but the frozen encoders; f_L keeps the batch statistics of its warm start."""
    model.train()
    for encoder in (model.audio_encoder, model.global_encoder):
        encoder.eval().requires_grad_(requires_grad=False)
    for module in model.local_encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def _batches(count: int, batch: int, seed: tuple[int, int]) -> Iterator[NDArray[np.int64]]:
    order = np.random.default_rng(seed).permutation(count)
    for start in range(0, count - batch + 1, batch):
        yield order[start : start + batch]


@dataclass(frozen=True)
class Scores:
    """What a validation pass shows; shares of clips."""

    top1: float
    """After the k most salient moments were looked at."""
    top1_two_looks: float
    """After the two most salient moments."""
    when: float
    """The most salient moment lies in a true episode."""
    where: float
    """The patch contains the card's centre, over the moments whose card can be read."""


@torch.no_grad()
def validate(model: AVGN, data: FeaturePool, batch: int = 20) -> Scores:
    """Score a held-out pool with every frame glanced at."""
    model.eval()
    order = torch.tensor(GLANCE_ORDER)
    best, two, when, where = [], [], [], []
    for start in range(0, len(data.pool), batch):
        rows = np.arange(start, min(start + batch, len(data.pool)))
        frames, features, label = _batch(model, data, rows, torch.zeros(len(rows), dtype=torch.bool))
        done = run(model, frames, features, order, mask_ratio=0.0)
        scores, hidden = done.saliency.scores, done.hidden
        ranked = scores.argsort(dim=1, descending=True)
        chosen = hidden.gather(1, ranked[:, : model.settings.looks, None].expand(-1, -1, hidden.shape[-1]))
        answers = model.classifier.prefixes(chosen).argmax(dim=-1) == label.unsqueeze(1)
        best.append(answers[:, -1])
        two.append(answers[:, 1])
        evident = torch.from_numpy(data.pool.seen[rows] | data.pool.spoken[rows])[:, order]
        when.append(evident.gather(1, ranked[:, :1])[:, 0])
        card = torch.from_numpy(data.pool.card[rows])[:, order]
        inside = ((card >= done.top_left) & (card <= done.top_left + model.settings.patch_size)).all(dim=-1)
        where.append(inside[torch.from_numpy(data.pool.seen[rows])[:, order]])
    return Scores(*(float(torch.cat(column).float().mean()) for column in (best, two, when, where)))


def _exact(done: Pass) -> Pass:
    """The same in float32: losses are not taken in half precision."""
    return replace(
        done,
        saliency=Saliency(done.saliency.scores.float(), done.saliency.embedded.float(), done.saliency.features.float()),
        rebuilt=done.rebuilt.float(),
        visual=done.visual.float(),
        local=done.local.float(),
        audio=done.audio.float(),
        hidden=done.hidden.float(),
        alone=done.alone.float(),
        top_left=done.top_left.float(),
    )


def _step(
    model: AVGN, data: FeaturePool, rows: NDArray[np.int64], looks: int, audio_dropout: float
) -> tuple[Losses, Tensor]:
    """The paper's losses of one batch, and the hint for π."""
    muted = torch.rand(len(rows)) < audio_dropout
    frames, features, label = _batch(model, data, rows, muted)
    order = torch.tensor(GLANCE_ORDER)
    order = order[torch.randperm(len(order))[:looks].sort().values]
    with torch.autocast("cpu", torch.bfloat16):
        done = run(model, frames, features, order)
    exact = _exact(done)
    return all_losses(model, exact, label), guidance_loss(model, features.maps[:, order], exact.top_left, label)


def train_clips(
    model: AVGN, clips: Pool, held_out: Pool, options: ClipTraining, work: Path, log: logging.Logger
) -> None:
    """Train in place; after each epoch the held-out pool is scored and the checkpoint written."""
    data = encode_pool(model, clips, work / "maps.npy")
    check = encode_pool(model, held_out, work / "maps-val.npy")
    log.info("clips: encoded %d for training and %d to check with", len(clips), len(held_out))
    optimiser = _optimiser(model, options)
    rates = [group["lr"] for group in optimiser.param_groups]
    steps = options.epochs * (len(clips) // options.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=steps + 1, pct_start=0.1)
    model.local_encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for epoch in range(options.epochs):
        _train_mode(model)
        terms: list[list[float]] = []
        for step, rows in enumerate(_batches(len(clips), options.batch, (options.seed, epoch))):
            looks = len(GLANCE_ORDER) if step % options.all_looks_every == 0 else options.looks
            losses, hint = _step(model, data, rows, looks, options.audio_dropout)
            optimiser.zero_grad()
            (losses.total() + options.guidance * hint).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            terms.append([*(getattr(losses, field.name).item() for field in fields(losses)), hint.item()])
            if step % 20 == 0:
                log.info(
                    "clips: step %d of %d, total loss %.3f",
                    epoch * (steps // options.epochs) + step,
                    steps,
                    sum(terms[-1]),
                )
        means = np.mean(terms, axis=0)
        shown = " ".join(f"{field.name} {mean:.3f}" for field, mean in zip(fields(Losses), means, strict=False))
        log.info("clips: epoch %d/%d %s, hint %.4f", epoch + 1, options.epochs, shown, means[-1])
        log.info("held out: %s", validate(model, check))
        checkpoint.save(model, work / "latest.safetensors")
    model.eval()
