"""TF_AV and FC_s: the Audio-Visual Temporal Saliency Transformer, AV-TeST (Eqs. 2, 3, 14)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from avgn_edge.architectures.avgn.network.settings import Settings
from avgn_edge.architectures.avgn.network.transformer import Encoder, learned_tokens
from avgn_edge.media.order import GLANCE_ORDER


@dataclass(frozen=True)
class Saliency:
    """What AV-TeST says of a clip, with what the training losses need of it."""

    scores: Tensor
    """s_t, [b, T], of any range: larger is more salient (Eq. 3)."""
    embedded: Tensor
    """ẽ^G_t, [b, T, saliency_dim]: the visual tokens before masking."""
    features: Tensor
    """e^TF_t, [b, T, 2·saliency_dim] (Eq. 2)."""


def _transformer(settings: Settings) -> Encoder:
    """The architecture of TF_AV, which the mask encoder shares (C.1)."""
    return Encoder(
        2 * settings.saliency_dim,
        settings.saliency_layers,
        settings.saliency_heads,
        settings.saliency_feedforward,
        settings.dropout,
    )


class AVTeST(nn.Module):
    """Scores the saliency of every moment from its audio and, where it was glanced at, its frame."""

    def __init__(self, settings: Settings, audio_channels: int, global_channels: int) -> None:
        super().__init__()
        dim = settings.saliency_dim
        self.embed_visual = nn.Linear(global_channels, dim)
        self.embed_audio = nn.Linear(audio_channels, dim)
        self.mask_token = learned_tokens(1, dim)  # M of Eq. 14
        self.positions = learned_tokens(settings.moments, 2 * dim)
        self.encoder = _transformer(settings)
        self.fc_s = nn.Linear(2 * dim, 1)
        self.uniform = settings.sampling == "uniform"

    def forward(self, visual: Tensor, glanced: Tensor, audio: Tensor) -> Saliency:
        """Score a clip.

        `visual` float [b, T, D_G] is e^G averaged over space, `glanced` bool [b, T] says which rows of it count
        (the mask token stands in for the others, Eq. 14), `audio` float [b, T, D_A] is e^A.
        """
        embedded: Tensor = self.embed_visual(visual)
        visible = torch.where(glanced.unsqueeze(-1), embedded, self.mask_token)
        tokens = torch.cat((visible, self.embed_audio(audio)), dim=-1) + self.positions
        features: Tensor = self.encoder(tokens)
        scores: Tensor = self.fc_s(features).squeeze(-1)
        if self.uniform:
            rank = torch.argsort(torch.tensor(GLANCE_ORDER, device=scores.device))
            scores = scores * 0 + (1 - rank / len(GLANCE_ORDER))
        return Saliency(scores, embedded, features)


class MaskEncoder(nn.Module):
    """Rebuilds the masked visual tokens from e^TF for L_mask (3.4); used in training only."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        dim = settings.saliency_dim
        self.encoder = _transformer(settings)
        self.out = nn.Linear(2 * dim, dim)

    def forward(self, features: Tensor) -> Tensor:
        """e^TF [b, T, 2·dim] -> ê^G [b, T, dim]."""
        rebuilt: Tensor = self.out(self.encoder(features))
        return rebuilt
