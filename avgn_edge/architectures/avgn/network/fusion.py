"""ψ, the audio fusion transformer: what of the clip's audio belongs to this frame (3.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avgn_edge.architectures.avgn.network.settings import Settings
from avgn_edge.architectures.avgn.network.transformer import learned_tokens


class AudioFusion(nn.Module):
    """One pre-norm layer of cross-attention: query e^G_t, keys and values e^A_1..T, result e^AT_t."""

    def __init__(self, settings: Settings, audio_channels: int, global_channels: int) -> None:
        super().__init__()
        dim = settings.fusion_dim
        self.query = nn.Linear(global_channels, dim)
        self.memory = nn.Linear(audio_channels, dim)
        self.enabled = settings.fusion
        if not self.enabled:
            return
        self.positions = learned_tokens(settings.moments, dim)
        self.norm_query = nn.LayerNorm(dim)
        self.norm_memory = nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, settings.fusion_heads, settings.dropout, batch_first=True)
        self.norm_feedforward = nn.LayerNorm(dim)
        self.feedforward = nn.Sequential(
            nn.Linear(dim, settings.fusion_feedforward),
            nn.GELU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.fusion_feedforward, dim),
        )

    def forward(self, visual: Tensor, audio: Tensor) -> Tensor:
        """e^G averaged over space [b, m, D_G] of m frames, e^A [b, T, D_A] of the clip -> e^AT [b, m, dim]."""
        return self._attend(visual, audio, None)

    def own_moment(self, visual: Tensor, audio: Tensor, moments: Tensor) -> Tensor:
        """As `forward`, each frame hearing its own moment only: `moments` int64 [m] says which one that is."""
        if not self.enabled:
            own: Tensor = self.memory(audio[:, moments])
            return own
        deaf = torch.ones(len(moments), audio.shape[1], dtype=torch.bool, device=audio.device)
        deaf[torch.arange(len(moments)), moments] = False
        return self._attend(visual, audio, deaf)

    def _attend(self, visual: Tensor, audio: Tensor, deaf: Tensor | None) -> Tensor:
        query = self.query(visual)
        if not self.enabled:
            mean: Tensor = self.memory(audio.mean(dim=1, keepdim=True)).expand_as(query)
            return mean
        memory = self.norm_memory(self.memory(audio) + self.positions)
        attended, _ = self.attention(self.norm_query(query), memory, memory, need_weights=False, attn_mask=deaf)
        query = query + attended
        fused: Tensor = query + self.feedforward(self.norm_feedforward(query))
        return fused
