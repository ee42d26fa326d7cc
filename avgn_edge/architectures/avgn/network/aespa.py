"""æ, Audio-Enhanced Spatial Patch Attention: bottleneck fusion of one frame with the clip's audio (Eq. 4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avgn_edge.architectures.avgn.network.settings import Settings
from avgn_edge.architectures.avgn.network.transformer import encoder_layer, learned_tokens


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
