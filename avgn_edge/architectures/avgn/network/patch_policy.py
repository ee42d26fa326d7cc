"""π, the recurrent patch policy: where to look, given e^GA of this frame and of those before it (Eqs. 5, 15)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avgn_edge.architectures.avgn.network.settings import Settings


class PatchPolicy(nn.Module):
    """AdaFocusV2's policy with its recurrent width as a setting; its state goes in and comes out."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        hidden = settings.policy_hidden
        self.travel = settings.travel
        self.centred = settings.patches == "centre"
        self.conv = nn.Conv2d(settings.aespa_dim, settings.policy_channels, 1)
        self.bn_conv = nn.BatchNorm2d(settings.policy_channels)
        self.fc = nn.Linear(settings.policy_channels * settings.grid**2, hidden)
        self.bn_fc = nn.BatchNorm1d(hidden)
        self.gru = nn.GRUCell(hidden, hidden)
        self.fc_xy = nn.Linear(hidden, 2)

    def embed(self, enhanced: Tensor) -> Tensor:
        """e^GA [n, dim, h, w] -> [n, hidden], the part that needs no memory."""
        x = torch.tanh(self.bn_conv(self.conv(enhanced)))
        return torch.tanh(self.bn_fc(self.fc(x.flatten(1))))

    def step(self, embedded: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """[n, hidden] and the state [n, hidden] -> the patch's top-left corner (x, y) [n, 2] in pixels, next state.

        The corner lies in [0, frame - P]², so that the patch never leaves the frame (Eq. 15).
        """
        state = self.gru(embedded, state)
        if self.centred:
            return torch.full_like(state[:, :2], self.travel / 2), state
        return torch.sigmoid(self.fc_xy(state)) * self.travel, state

    def forward(self, enhanced: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One step of the policy, `embed` then `step`."""
        return self.step(self.embed(enhanced), state)
