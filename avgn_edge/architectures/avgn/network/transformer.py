"""The pre-norm transformer layer that AV-TeST, AESPA and the mask encoder share."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
