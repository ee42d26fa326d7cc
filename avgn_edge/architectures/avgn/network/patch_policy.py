"""π, the recurrent patch policy (Eqs. 5, 15), and the differentiable crop of the patch it asks for (Eqs. 6, 16–19)."""

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


def crop(frames: Tensor, top_left: Tensor, size: int) -> Tensor:
    """Cut a patch from each frame.

    `frames` [n, H, W, 3] (no gradient flows into it), `top_left` float [n, 2] as (x, y) in pixels within
    [0, W - size] × [0, H - size] -> float [n, size, size, 3]. Differentiable in `top_left` (Eqs. 18, 19).
    """
    height, width = frames.shape[1:3]
    limit = torch.tensor([width - size - 1, height - size - 1], device=top_left.device)
    # At the far border the whole part stops one short, so that the fraction is 1 and nothing outside is read.
    whole = torch.minimum(top_left.detach().floor().long().clamp_min(0), limit)
    corners: list[list[int]] = whole.tolist()
    views = torch.stack([f[y : y + size + 1, x : x + size + 1] for f, (x, y) in zip(frames, corners, strict=True)])
    views = views.to(top_left.dtype)
    fx, fy = (top_left - whole).view(-1, 2, 1, 1, 1).unbind(dim=1)
    rows = views[:, :-1] * (1 - fy) + views[:, 1:] * fy
    return rows[:, :, :-1] * (1 - fx) + rows[:, :, 1:] * fx
