"""Section 3.5 in plain PyTorch: the reference for exported graphs and the runtime, and how training validates."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avgn_edge.architectures.avgn.network.avgn import AVGN
from avgn_edge.architectures.avgn.network.patch_policy import crop


@dataclass(frozen=True)
class ReferenceLook:
    """One look: the moment, the patch's top-left corner in frame pixels, and the probabilities p_t after it."""

    moment: int
    top_left: tuple[float, float]
    probabilities: Tensor


@dataclass(frozen=True)
class Looks:
    """What the network says of b clips after each of k looks, the most salient moment first."""

    saliency: Tensor
    """s_t, [b, T]."""
    moments: Tensor
    """int64 [b, k], in the order of the looks."""
    top_left: Tensor
    """Corners (x, y) in frame pixels, [b, k, 2]."""
    probabilities: Tensor
    """p_t after each look, [b, k, C]."""
    local: Tensor
    """e^L of each look, [b, k, D_L]."""


def probabilities(logits: Tensor, task: str) -> Tensor:
    """Softmax for one label a clip, sigmoid for several: [..., C] -> [..., C]."""
    return logits.softmax(dim=-1) if task == "single-label" else logits.sigmoid()


@torch.no_grad()
def look(model: AVGN, frames: Tensor, maps: Tensor, audio: Tensor, glance_order: tuple[int, ...], looks: int) -> Looks:
    """Look at the `looks` most salient moments of b clips, with T_G = len(glance_order) glances and no early exit.

    `frames` uint8 [b, T, H, W, 3], `maps` e^G [b, T, D_G, h, w], `audio` e^A with the no-audio token where nothing was
    heard [b, T, D_A].
    """
    settings = model.settings
    batch = len(frames)
    rows = torch.arange(batch, device=frames.device)
    visual = maps.mean(dim=(3, 4))
    glanced = torch.zeros(batch, settings.moments, dtype=torch.bool, device=frames.device)
    glanced[:, list(glance_order)] = True
    saliency = model.av_test(visual, glanced, audio).scores
    moments = torch.argsort(saliency, dim=1, descending=True, stable=True)[:, :looks]
    policy_state = audio.new_zeros(batch, settings.policy_hidden)
    state = audio.new_zeros(batch, settings.classifier_dim)
    corners, answers, locals_ = [], [], []
    for rank, moment in enumerate(moments.unbind(dim=1)):
        top_left, policy_state = model.policy(model.aespa(maps[rows, moment], audio), policy_state)
        top_left = top_left.float()  # to a fraction of a pixel, under autocast too
        local = model.local_encoder(crop(frames[rows, moment], top_left, settings.patch_size))
        fused = model.fuse(visual[rows, moment].unsqueeze(1), local.unsqueeze(1), audio)[:, 0]
        seen = torch.full((batch,), rank + 1, device=frames.device)
        logits, state = model.classifier.step(fused, state, seen)
        corners.append(top_left)
        answers.append(probabilities(logits, settings.task))
        locals_.append(local)
    return Looks(saliency, moments, torch.stack(corners, 1), torch.stack(answers, 1), torch.stack(locals_, 1))


@torch.no_grad()
def classify(
    model: AVGN, frames: Tensor, spectrograms: Tensor, heard: Tensor, glance_order: tuple[int, ...], looks: int
) -> tuple[Tensor, list[ReferenceLook]]:
    """Classify one clip with T_G = len(glance_order) glances and k = `looks`, no early exit.

    `frames` uint8 [T, H, W, 3], `spectrograms` float [T, 1, 96, 64], `heard` bool [T] -> saliency s [T] and the looks,
    most salient first.
    """
    model.eval()
    audio = model.with_silence(model.audio_encoder(spectrograms), heard)
    done = look(model, frames[None], model.global_encoder(frames)[None], audio[None], glance_order, looks)
    rows = zip(done.moments[0].tolist(), done.top_left[0].tolist(), done.probabilities[0], strict=True)
    return done.saliency[0], [ReferenceLook(moment, (x, y), p) for moment, (x, y), p in rows]
