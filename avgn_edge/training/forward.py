"""One training pass over a batch of clips: every moment is looked at, in glance order (AVGN, 3.4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avgn_edge.models.av_test import Saliency
from avgn_edge.models.avgn import AVGN
from avgn_edge.models.crop import crop


@dataclass(frozen=True)
class ClipFeatures:
    """What f_G and f_A say of a batch of clips."""

    maps: Tensor
    """e^G, float [b, T, D_G, h, w]."""
    audio: Tensor
    """e^A with the no-audio token where nothing was heard, float [b, T, D_A]."""
    heard: Tensor
    """bool [b, T]."""


@dataclass(frozen=True)
class Pass:
    """Everything the losses need; moments are in the order in which they were processed."""

    saliency: Saliency
    glanced: Tensor
    """bool [b, T]: the moments whose frame AV-TeST saw."""
    rebuilt: Tensor
    """ê^G, [b, T, saliency_dim]."""
    visual: Tensor
    """e^G averaged over space, [b, T, D_G]."""
    local: Tensor
    """e^L, [b, T, D_L]."""
    audio: Tensor
    """e^A, [b, T, D_A]."""
    heard: Tensor
    """bool [b, T]."""
    hidden: Tensor
    """f_C^AV's MLP of every moment, [b, T, classifier_dim]."""
    top_left: Tensor
    """The patches' corners (x, y) in pixels, [b, T, 2]."""


def encode(model: AVGN, frames: Tensor, spectrograms: Tensor, heard: Tensor) -> ClipFeatures:
    """Eq. 1: frames uint8 [b, T, H, W, 3], spectrograms [b, T, 1, 96, 64], heard bool [b, T]."""
    maps = model.global_encoder(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
    audio = model.audio_encoder(spectrograms.flatten(0, 1)).unflatten(0, frames.shape[:2])
    return ClipFeatures(maps, model.with_silence(audio, heard), heard)


def draw_glanced(heard: Tensor, order: Tensor, mask_ratio: float) -> Tensor:
    """Draw which moments AV-TeST sees, bool [b, T].

    Each clip draws its own T_G; from the (T_G + 1)th moment of the glance order on, a moment is masked with
    probability `mask_ratio` (3.4). Drawing T_G, instead of fixing it, lets one network serve every budget.
    """
    batch, moments = heard.shape
    limit = torch.randint(0, moments + 1, (batch, 1))
    rank = torch.empty_like(order)
    rank[order] = torch.arange(moments)
    return (rank.unsqueeze(0) < limit) | (torch.rand(batch, moments) >= mask_ratio)


def run(model: AVGN, frames: Tensor, features: ClipFeatures, order: Tensor, mask_ratio: float = 0.75) -> Pass:
    """Run everything behind the glance: frames uint8 [b, T, H, W, 3], order int64 [T].

    No gradient goes from π (through æ) or TF_AV into f_G and f_A, nor from ψ into f_G (3.4).
    """
    maps, audio = features.maps, features.audio
    batch, moments = audio.shape[:2]
    visual = maps.mean(dim=(3, 4))
    glanced = draw_glanced(features.heard, order, mask_ratio)
    saliency = model.av_test(visual.detach(), glanced, audio.detach())
    rebuilt = model.mask_encoder(saliency.features)
    repeated = audio.detach().unsqueeze(1).expand(-1, moments, -1, -1).flatten(0, 1)
    enhanced = model.aespa(maps.detach().flatten(0, 1), repeated)
    embedded = model.policy.embed(enhanced).reshape(batch, moments, -1)
    state = embedded.new_zeros(batch, embedded.shape[-1])
    corners: list[Tensor] = [torch.empty(0)] * moments
    for moment in order.tolist():
        corners[moment], state = model.policy.step(embedded[:, moment], state)
    top_left = torch.stack(corners, dim=1)
    patches = crop(frames.flatten(0, 1), top_left.flatten(0, 1).float(), model.settings.patch_size)
    local = model.local_encoder(patches).unflatten(0, (batch, moments))
    hidden = model.classifier.embed(model.fuse(visual, local, audio))
    return Pass(
        Saliency(saliency.scores[:, order], saliency.embedded[:, order], saliency.features[:, order]),
        glanced[:, order],
        rebuilt[:, order],
        visual[:, order],
        local[:, order],
        audio[:, order],
        features.heard[:, order],
        hidden[:, order],
        top_left[:, order],
    )
