"""When and where a network looked, on pools whose truth is known."""

from __future__ import annotations

import numpy as np
import torch

from avgn_edge.architectures.avgn.network.inference import Looks
from recipes.digits.pool import Pool


def when_and_where(looks: Looks, pool: Pool, patch_size: int) -> tuple[float, float]:
    """Shares of clips whose most salient moment has evidence, and whose first patch contains the card's centre.

    The second over the clips whose first look falls on a card that can be read; NaN when there is none.
    """
    rows, first = torch.arange(len(pool)), looks.moments[:, 0]
    evident = torch.from_numpy(pool.seen | pool.spoken)[rows, first]
    card = torch.from_numpy(np.array(pool.card))[rows, first]
    seen = torch.from_numpy(np.array(pool.seen))[rows, first]
    corner = looks.top_left[:, 0]
    inside = ((card >= corner) & (card <= corner + patch_size)).all(dim=1)
    return float(evident.float().mean()), float(inside[seen].float().mean())
