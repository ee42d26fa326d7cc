"""Front ends of f_A by name: how much sound around a moment, at which rate, becomes a spectrogram of which size.

What they compute is in `media.logmel`; this file imports no NumPy, so that a manifest can be checked without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True)
class FrontEnd:
    """How the sound around a moment becomes what f_A takes."""

    name: str
    """In manifests and checkpoints."""
    sample_rate: int
    """Hz, mono."""
    window_samples: int
    """Of one moment: 0.975 s."""
    shape: tuple[int, int]
    """Of a spectrogram, as f_A takes it."""
    silence: float
    """What a spectrogram is everywhere where there is no sound."""
    time_first: bool
    """Whether a spectrogram is [time, band], else [band, time]."""


YAMNET: Final = FrontEnd("yamnet", 16_000, 15_600, (96, 64), -6.9077554, time_first=True)
EFFICIENTAT: Final = FrontEnd("efficientat", 32_000, 31_200, (128, 98), -1.402585, time_first=False)
FRONT_ENDS: Final[Mapping[str, FrontEnd]] = MappingProxyType({one.name: one for one in (YAMNET, EFFICIENTAT)})
