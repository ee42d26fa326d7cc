"""The attention modules: AV-TeST (Eqs. 2, 3, 14), ψ (3.3), and æ, AESPA (Eq. 4), on one pre-norm transformer layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from avgn_edge.architectures.avgn.network.settings import Settings
from avgn_edge.media.moments import GLANCE_ORDER


def encoder_layer(dim: int, heads: int, feedforward: int, dropout: float) -> nn.TransformerEncoderLayer:
    """One pre-norm encoder layer over [batch, tokens, dim]."""
    return nn.TransformerEncoderLayer(
        dim, heads, feedforward, dropout, activation="gelu", batch_first=True, norm_first=True
    )


def learned_tokens(count: int, dim: int) -> nn.Parameter:
    """Learned positions or tokens, [1, count, dim], small at the start."""
    return nn.Parameter(torch.randn(1, count, dim) * 0.02)


class Encoder(nn.Module):
    """A stack of encoder layers and the closing norm of pre-norm stacks: [b, tokens, dim] -> the same shape."""

    def __init__(self, dim: int, layers: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(encoder_layer(dim, heads, feedforward, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Run the stack."""
        for layer in self.layers:
            tokens = layer(tokens)
        normed: Tensor = self.norm(tokens)
        return normed


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


class AESPA(nn.Module):
    """The visual tokens of one frame meet the audio tokens of the clip through a few bottleneck tokens."""

    def __init__(self, settings: Settings, audio_channels: int, global_channels: int) -> None:
        super().__init__()
        dim, layers = settings.aespa_dim, settings.aespa_layers
        self.reduce_visual = nn.Linear(global_channels, dim)
        self.enabled = settings.aespa
        if not self.enabled:
            return
        self.bottlenecks = settings.bottlenecks
        self.reduce_audio = nn.Linear(audio_channels, dim)
        self.visual_positions = learned_tokens(settings.grid**2, dim)
        self.audio_positions = learned_tokens(settings.moments, dim)
        self.bottleneck_tokens = learned_tokens(settings.bottlenecks, dim)

        def layer() -> nn.Module:
            return encoder_layer(dim, settings.aespa_heads, settings.aespa_feedforward, settings.dropout)

        self.visual_layers = nn.ModuleList(layer() for _ in range(layers))
        # The audio stream of the last layer would feed nothing, so that layer does not exist.
        self.audio_layers = nn.ModuleList(layer() for _ in range(layers - 1))
        self.norm = nn.LayerNorm(dim)

    def forward(self, feature_map: Tensor, audio: Tensor) -> Tensor:
        """e^G [n, D_G, h, w] of n frames and e^A [n, T, D_A] of their clips -> e^GA [n, dim, h, w]."""
        n, _, height, width = feature_map.shape
        z_g: Tensor = self.reduce_visual(feature_map.flatten(2).transpose(1, 2))
        if not self.enabled:
            return z_g.transpose(1, 2).reshape(n, -1, height, width)
        z_g = z_g + self.visual_positions
        z_a = self.reduce_audio(audio) + self.audio_positions
        b = self.bottleneck_tokens.expand(n, -1, -1)
        count = self.bottlenecks
        for level, visual_layer in enumerate(self.visual_layers):
            y_g = visual_layer(torch.cat((z_g, b), dim=1))
            z_g = y_g[:, :-count]
            if level < len(self.audio_layers):
                y_a = self.audio_layers[level](torch.cat((z_a, b), dim=1))
                z_a = y_a[:, :-count]
                b = (y_g[:, -count:] + y_a[:, -count:]) / 2
        enhanced: Tensor = self.norm(z_g)
        return enhanced.transpose(1, 2).reshape(n, -1, height, width)
