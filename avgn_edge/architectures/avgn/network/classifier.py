"""f_C: MLP, running maximum over the moments processed so far, one head for each number of them (Eq. 8)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avgn_edge.architectures.avgn.network.settings import Settings


class SequenceClassifier(nn.Module):
    """f_C^AV; with other inputs also f_C^V and f_C^A (Eqs. 9, 10)."""

    def __init__(self, settings: Settings, inputs: int) -> None:
        super().__init__()
        self.dim = settings.classifier_dim
        self.mlp = nn.Sequential(
            nn.Linear(inputs, self.dim), nn.BatchNorm1d(self.dim), nn.ReLU(), nn.Dropout(settings.dropout)
        )
        bound = self.dim**-0.5
        self.weight = nn.Parameter(
            torch.empty(settings.moments, len(settings.labels), self.dim).uniform_(-bound, bound)
        )
        self.bias = nn.Parameter(torch.zeros(settings.moments, len(settings.labels)))

    def embed(self, features: Tensor) -> Tensor:
        """[..., inputs] -> [..., dim], never negative, so that zeros are the neutral state of the maximum."""
        hidden: Tensor = self.mlp(features.reshape(-1, features.shape[-1]))
        return hidden.reshape(*features.shape[:-1], self.dim)

    def head(self, pooled: Tensor, seen: Tensor) -> Tensor:
        """[n, dim] and how many moments each row has seen, int64 [n] from 1 -> logits [n, C]."""
        index = seen - 1
        weight = self.weight.index_select(0, index)
        return torch.matmul(weight, pooled.unsqueeze(-1)).squeeze(-1) + self.bias.index_select(0, index)

    def step(self, features: Tensor, state: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """One moment: [n, inputs], running maximum [n, dim], int64 [n] -> logits p_t [n, C], next state."""
        state = torch.maximum(state, self.embed(features))
        return self.head(state, seen), state

    def prefixes(self, hidden: Tensor) -> Tensor:
        """Logits after every prefix of a sequence: `embed`ded [b, m, dim] -> [b, m, C]."""
        pooled = torch.cummax(hidden, dim=1).values
        count = hidden.shape[1]
        return torch.einsum("bmd,mcd->bmc", pooled, self.weight[:count]) + self.bias[:count]

    def single(self, hidden: Tensor) -> Tensor:
        """p'_t, every moment by itself (Eq. 11): [..., dim] -> logits [..., C]."""
        return hidden @ self.weight[0].T + self.bias[0]
