"""What is known of a clip's moments: what was heard and seen, where was looked, what each says by itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from avgn_edge.engines.base import DeviceArray
    from avgn_edge.runtime.sessions import Flags, Floats


@dataclass(frozen=True)
class MomentReport:
    """One of the moments of a clip."""

    index: int
    time_s: float
    saliency: float | None
    """s_t; None where the budget did not reach AV-TeST."""
    glanced: bool
    rank: int | None
    """0 for the first look, 1 for the second …; None without a look."""
    box: tuple[float, float, float, float] | None
    """x, y, width, height of the patch, in pixels of the source frame as displayed; None without a look."""
    label: str | None
    """What this moment says by itself: p'_t after a look (Eq. 11), FC^G after a glance, None without either."""
    score: float | None


@dataclass
class MomentsTable:
    """Rows of `audio` and `visual` count where `heard` and `glanced` say so."""

    audio: Floats
    """e^A [T, D_A]."""
    heard: Flags
    visual: Floats
    """e^G, averaged over space, [T, D_G]."""
    glanced: Flags
    maps: dict[int, DeviceArray] = field(default_factory=dict)
    """e^G [1, D_G, h, w] of each moment that was glanced at."""
    frames: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    moment_probabilities: dict[int, Floats] = field(default_factory=dict)
    """What each moment that was looked at says by itself, p'_t (Eq. 11)."""
    glance_probabilities: dict[int, Floats] = field(default_factory=dict)
    """What each glance says by itself, FC^G (Eq. 10)."""
    saliency: Floats | None = None
    """s_t [T]; None before AV-TeST has run."""
    corners: dict[int, tuple[float, float]] = field(default_factory=dict)
    """The patch's top-left corner of each moment that was looked at, in pixels of the frame, in the order of looks."""
    patch_size: int = 0
    """The patch's side, in pixels of the frame."""

    @classmethod
    def empty(cls, moments: int, audio_dim: int, global_dim: int, patch_size: int) -> MomentsTable:
        """Make one of which nothing is known yet."""
        return cls(
            np.zeros((moments, audio_dim), np.float32),
            np.zeros(moments, np.bool_),
            np.zeros((moments, global_dim), np.float32),
            np.zeros(moments, np.bool_),
            patch_size=patch_size,
        )
