"""What a validation pass shows: accuracy after k looks, and, where the truth is known, when and where it looked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from avgn_edge.architectures.avgn.network.avgn import AVGN
from avgn_edge.architectures.avgn.network.inference import Looks, look
from avgn_edge.architectures.avgn.training.forward import features_of
from avgn_edge.media.moments import GLANCE_ORDER
from avgn_edge.training.batches import Batch


@dataclass(frozen=True)
class Answers:
    """What a network says of n clips; k looks each, no early exit."""

    looks: Looks
    target: Tensor
    """int64 [n], or float [n, C]."""

    def top1(self, looks: int) -> float:
        """Share of clips whose likeliest class is theirs, after so many looks."""
        best = self.looks.probabilities[:, looks - 1].argmax(dim=1, keepdim=True)
        target = self.target.unsqueeze(1) if self.target.dim() == 1 else None
        right = best == target if target is not None else self.target.gather(1, best) > 0
        return float(right.float().mean())


@torch.no_grad()
def answers(
    model: AVGN,
    batches: Iterable[Batch],
    glances: int | None = None,
    looks: int | None = None,
    *,
    audio: bool = True,
) -> Answers:
    """Classify all clips of some batches as section 3.5 does; T_G and k are the network's own when not given.

    `audio` False takes the sound away. The model is put into evaluation mode.
    """
    model.eval()
    settings = model.settings
    order = GLANCE_ORDER[: settings.glances if glances is None else glances]
    done, targets = [], []
    for batch in batches:
        heard = batch.heard if audio else torch.zeros_like(batch.heard)
        features = features_of(model, batch, heard)
        count = settings.looks if looks is None else looks
        done.append(look(model, batch.frames, features.maps, features.audio, order, count))
        targets.append(batch.target)
    parts = (torch.cat([getattr(one, name) for one in done]).cpu() for name in Looks.__dataclass_fields__)
    return Answers(Looks(*parts), torch.cat(targets).cpu())
