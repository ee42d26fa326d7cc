"""The differentiable crop of a patch (Eqs. 6, 16–19): a weighted sum of four shifted views.

Pixel convention, the same as the NumPy crop of the runtime: the frame's outer top-left corner is (0, 0), and so is
the patch's; a whole-numbered corner copies pixels exactly. The fraction of the corner is the same for every pixel
of a patch, so Eq. 17 needs no per-pixel index and no GridSample.
"""

from __future__ import annotations

import torch
from torch import Tensor


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
