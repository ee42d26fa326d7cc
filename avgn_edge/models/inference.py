"""Section 3.5 in plain PyTorch: the reference that exported graphs and the runtime are held against."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avgn_edge.models.avgn import AVGN
from avgn_edge.models.crop import crop


@dataclass(frozen=True)
class ReferenceLook:
    """One look: the moment, the patch's top-left corner in frame pixels, and the probabilities p_t after it."""

    moment: int
    top_left: tuple[float, float]
    probabilities: Tensor


def probabilities(logits: Tensor, task: str) -> Tensor:
    """Softmax for one label a clip, sigmoid for several: [..., C] -> [..., C]."""
    return logits.softmax(dim=-1) if task == "single-label" else logits.sigmoid()


@torch.no_grad()
def classify(
    model: AVGN, frames: Tensor, spectrograms: Tensor, heard: Tensor, glance_order: tuple[int, ...], looks: int
) -> tuple[Tensor, list[ReferenceLook]]:
    """Classify one clip with T_G = len(glance_order) glances and k = `looks`, no early exit.

    `frames` uint8 [T, H, W, 3], `spectrograms` float [T, 1, 96, 64], `heard` bool [T] -> saliency s [T] and the looks,
    most salient first.
    """
    settings = model.settings
    model.eval()
    audio = model.with_silence(model.audio_encoder(spectrograms), heard)
    maps = model.global_encoder(frames)
    visual = maps.mean(dim=(2, 3))
    glanced = torch.zeros(settings.moments, dtype=torch.bool)
    glanced[list(glance_order)] = True
    saliency = model.av_test(visual[None], glanced[None], audio[None]).scores[0]
    policy_state = torch.zeros(1, settings.policy_hidden)
    state = torch.zeros(1, settings.classifier_dim)
    result = []
    for rank, moment in enumerate(torch.argsort(saliency, descending=True, stable=True)[:looks].tolist()):
        enhanced = model.aespa(maps[moment : moment + 1], audio[None])
        top_left, policy_state = model.policy(enhanced, policy_state)
        patch = crop(frames[moment : moment + 1], top_left, settings.patch_size)
        local = model.local_encoder(patch)
        fused = model.fuse(visual[None, moment : moment + 1], local[None], audio[None])[0]
        logits, state = model.classifier.step(fused, state, torch.tensor([rank + 1]))
        x, y = top_left[0].tolist()
        result.append(ReferenceLook(moment, (x, y), probabilities(logits[0], settings.task)))
    return saliency, result
