"""A hint for π where data are few: look where FC^G finds the clip's own class. This repository's choice.

The gradient that reaches π through the crop (Eq. 18) speaks of the pixels at the rim of the patch only, and takes many
thousands of clips to add up. FC^G is linear in e^G averaged over space, so that it can be read cell by cell (class
activation maps, Zhou et al., 2016): clip labels alone then say roughly where the evidence is. No truth of a data set
is used.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from avgn_edge.architectures.avgn.network.avgn import AVGN

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
