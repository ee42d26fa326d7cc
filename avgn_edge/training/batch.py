"""What one training step is given: a batch of clips, each of T moments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """`b` clips of T moments in order of time."""

    frames: Tensor
    """uint8 [b, T, H, W, 3], RGB."""
    spectrograms: Tensor
    """Log-mel, float32 [b, T, 1, 96, 64]."""
    heard: Tensor
    """Whether there is any sound, bool [b, T]."""
    target: Tensor
    """int64 [b] for one label a clip, float32 [b, C] of zeros and ones for several."""
    maps: Tensor | None = None
    """e^G float16 [b, T, D_G, h, w], where a frozen f_G was run beforehand."""
    audio: Tensor | None = None
    """e^A float32 [b, T, D_A] without the no-audio token, where a frozen f_A was run beforehand."""

    def to(self, device: torch.device) -> Batch:
        """Copy to a device, without waiting where memory is pinned."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """Pin its memory; DataLoader calls this."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: change(part) for name, part in parts.items() if part is not None})

    def __len__(self) -> int:
        return len(self.frames)
