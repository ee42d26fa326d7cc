"""One training pass over a batch of clips: moments are looked at in glance order (AVGN, 3.4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from avgn_edge.architectures.avgn.network.attention import Saliency
from avgn_edge.architectures.avgn.network.avgn import AVGN
from avgn_edge.architectures.avgn.network.patch_policy import crop
from avgn_edge.media.moments import GLANCE_ORDER
from avgn_edge.training.batches import Batch


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
    """Everything the losses need of the m moments that were processed, in the order of their processing."""

    saliency: Saliency
    glanced: Tensor
    """bool [b, m]: the moments whose frame AV-TeST saw."""
    rebuilt: Tensor
    """ê^G, [b, m, saliency_dim]."""
    visual: Tensor
    """e^G averaged over space, [b, m, D_G]."""
    local: Tensor
    """e^L, [b, m, D_L]."""
    audio: Tensor
    """e^A of all T moments, in order of time, [b, T, D_A]."""
    heard: Tensor
    """bool [b, T]."""
    hidden: Tensor
    """f_C^AV's MLP of every moment, [b, m, classifier_dim]."""
    alone: Tensor
    """The same, each moment hearing itself only where that was asked for, [b, m, classifier_dim], without gradient."""
    top_left: Tensor
    """The patches' corners (x, y) in pixels, [b, m, 2]."""


def encode(model: AVGN, frames: Tensor, spectrograms: Tensor, heard: Tensor) -> ClipFeatures:
    """Eq. 1: frames uint8 [b, T, H, W, 3], spectrograms [b, T, 1, 96, 64], heard bool [b, T]."""
    maps = model.global_encoder(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
    audio = model.audio_encoder(spectrograms.flatten(0, 1)).unflatten(0, frames.shape[:2])
    return ClipFeatures(maps, model.with_silence(audio, heard), heard)


def features_of(model: AVGN, batch: Batch, heard: Tensor) -> ClipFeatures:
    """Return what a batch holds of f_G and f_A, or else run them; `heard` bool [b, T] may take sound away."""
    if batch.maps is not None and batch.audio is not None:
        return ClipFeatures(batch.maps.float(), model.with_silence(batch.audio, heard), heard)
    return encode(model, batch.frames, batch.spectrograms, heard)


def draw_glanced(clips: int, moments: int, mask_ratio: float) -> Tensor:
    """Draw which moments AV-TeST sees, bool [clips, moments].

    Each clip draws its own T_G; from the (T_G + 1)th moment of the glance order on, a moment is masked with
    probability `mask_ratio` (3.4). Drawing T_G, instead of fixing it, lets one network serve every budget.
    """
    limit = torch.randint(0, moments + 1, (clips, 1))
    rank = torch.argsort(torch.tensor(GLANCE_ORDER))
    return (rank.unsqueeze(0) < limit) | (torch.rand(clips, moments) >= mask_ratio)


def run(
    model: AVGN,
    frames: Tensor,
    features: ClipFeatures,
    order: Tensor,
    mask_ratio: float = 0.75,
    *,
    own_moment: bool = True,
) -> Pass:
    """Run everything behind the glance on the moments `order`, int64 [m], in that order; frames uint8 [b, T, H, W, 3].

    AV-TeST and ψ know all T moments; AESPA, π, f_L and f_C process the m. No gradient goes from π (through æ) or
    TF_AV into f_G and f_A, nor from ψ into f_G (3.4). `own_moment`: what `Pass.alone` hears.
    """
    audio = features.audio
    batch, moments = audio.shape[:2]
    visual = features.maps.mean(dim=(3, 4))
    glanced = draw_glanced(batch, moments, mask_ratio).to(frames.device)
    saliency = model.av_test(visual.detach(), glanced, audio.detach())
    rebuilt = model.mask_encoder(saliency.features)
    count = len(order)
    repeated = audio.detach().unsqueeze(1).expand(-1, count, -1, -1).flatten(0, 1)
    enhanced = model.aespa(features.maps[:, order].detach().flatten(0, 1), repeated)
    embedded = model.policy.embed(enhanced).reshape(batch, count, -1)
    state = embedded.new_zeros(batch, embedded.shape[-1])
    corners = []
    for step in range(count):
        corner, state = model.policy.step(embedded[:, step], state)
        corners.append(corner)
    top_left = torch.stack(corners, dim=1)
    patches = crop(frames[:, order].flatten(0, 1), top_left.flatten(0, 1).float(), model.settings.patch_size)
    local = model.local_encoder(patches).reshape(batch, count, -1)
    hidden = model.classifier.embed(model.fuse(visual[:, order], local, audio))
    return Pass(
        Saliency(saliency.scores[:, order], saliency.embedded[:, order], saliency.features[:, order]),
        glanced[:, order],
        rebuilt[:, order],
        visual[:, order],
        local,
        audio,
        features.heard,
        hidden,
        _alone(model, visual[:, order], local, audio, order) if own_moment else hidden.detach(),
        top_left,
    )


def random_patches(model: AVGN, frames: Tensor, features: ClipFeatures, order: Tensor) -> Tensor:
    """f_C^AV's MLP [b, m, classifier_dim] over patches anywhere: f_L sees all of the frame (AdaFocusV2)."""
    batch, count = len(frames), len(order)
    top_left = torch.rand(batch * count, 2).to(frames.device) * model.settings.travel
    patches = crop(frames[:, order].flatten(0, 1), top_left, model.settings.patch_size)
    local = model.local_encoder(patches).reshape(batch, count, -1)
    visual = features.maps[:, order].mean(dim=(3, 4))
    hidden: Tensor = model.classifier.embed(model.fuse(visual, local, features.audio))
    return hidden


@torch.no_grad()
def _alone(model: AVGN, visual: Tensor, local: Tensor, audio: Tensor, order: Tensor) -> Tensor:
    """What f_C^AV makes of "only the features at time step t" (Eq. 11).

    Taken by its word: ψ would bring every other moment's audio in, and with one clear word anywhere in a clip all of
    its moments would be confident.
    """
    mode = model.classifier.training
    model.classifier.eval()  # targets: no dropout, and nothing for the batch statistics
    hidden = model.classifier.embed(torch.cat((visual, local, model.fusion.own_moment(visual, audio, order)), dim=-1))
    model.classifier.train(mode)
    return hidden


SURE = 0.5
"""Least probability of the clip's class, by FC^G of the whole frame, for a moment to give a hint."""


def guidance_loss(model: AVGN, maps: Tensor, top_left: Tensor, target: Tensor) -> Tensor:
    """Distance of the patches' centres from where the class is, over the moments that are sure of it.

    `maps` e^G [b, m, D_G, h, w], `top_left` [b, m, 2] in pixels, `target` int64 [b] -> a scalar, in patches' travel.
    """
    with torch.no_grad():
        centre, sure = evidence_centres(model, maps, target)
    if not sure.any():
        return top_left.sum() * 0
    settings = model.settings
    wanted = (centre - settings.patch_size / 2).clamp(0, settings.travel)
    return F.smooth_l1_loss(top_left[sure] / settings.travel, wanted[sure] / settings.travel, beta=0.1)


def evidence_centres(model: AVGN, maps: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Where FC^G finds the class: (x, y) in frame pixels [b, m, 2], and whether it is sure of it, bool [b, m]."""
    cells = model.fc_g(maps.permute(0, 1, 3, 4, 2))  # [b, m, h, w, C]
    rows = torch.arange(len(target), device=maps.device)
    height, width = cells.shape[2:4]
    whole = cells.mean(dim=(2, 3)).softmax(dim=-1)[rows, :, target]
    own = cells.movedim(-1, 1)[rows, target]  # the class's own map, [b, m, h, w]
    weight = (own.flatten(2) - own.flatten(2).mean(dim=2, keepdim=True)).relu().square()
    weight = weight / weight.sum(dim=2, keepdim=True).clamp_min(1e-6)
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    cell = model.settings.frame_size / width
    places = torch.stack((x.flatten(), y.flatten()), dim=-1).to(weight) * cell
    return weight @ places, whole > SURE
