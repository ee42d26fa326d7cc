"""What is known of the moments of a clip, of a stream's window, or of a long video: one table, a row a moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from avgn_edge.engines.base import DeviceArray
    from avgn_edge.runtime.sessions import Flags, Floats

    Value = TypeVar("Value")


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
    """Rows of `audio` and `visual` count where `heard` and `glanced` say so, and are zero elsewhere.

    What only some moments have is in dictionaries by row. An hour of a long video takes some 38 MB.
    """

    audio: Floats
    """e^A [n, D_A]."""
    heard: Flags
    visual: Floats
    """e^G, averaged over space, [n, D_G]."""
    glanced: Flags
    maps: dict[int, DeviceArray] = field(default_factory=dict)
    """e^G [1, D_G, h, w] of moments that were glanced at and may be looked at."""
    frames: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    """Frames as f_G takes them, [H, W, 3], RGB."""
    local: dict[int, DeviceArray] = field(default_factory=dict)
    """e^L [1, D_L]; kept where a look answers more than once, as in a stream."""
    sound_probabilities: dict[int, Floats] = field(default_factory=dict)
    """What each moment's sound says by itself, f_C^A, [C]; not of clips, which are heard as a whole."""
    glance_probabilities: dict[int, Floats] = field(default_factory=dict)
    """What each glance says by itself, FC^G (Eq. 10)."""
    moment_probabilities: dict[int, Floats] = field(default_factory=dict)
    """What each moment that was looked at says by itself, p'_t (Eq. 11)."""
    saliency: Floats | None = None
    """s_t [n]; None before AV-TeST has run."""
    corners: dict[int, tuple[float, float]] = field(default_factory=dict)
    """The patch's top-left corner of each moment that was looked at, in pixels of the frame, in the order of looks."""
    patch_size: int = 0
    """The patch's side, in pixels of the frame."""

    @classmethod
    def empty(cls, moments: int, audio_dim: int, global_dim: int, patch_size: int = 0) -> MomentsTable:
        """Make a table of which nothing is known yet."""
        return cls(
            np.zeros((moments, audio_dim), np.float32),
            np.zeros(moments, np.bool_),
            np.zeros((moments, global_dim), np.float32),
            np.zeros(moments, np.bool_),
            patch_size=patch_size,
        )

    def __len__(self) -> int:
        return len(self.heard)

    def alone(self, moment: int) -> Floats | None:
        """What a moment says by itself, [C]: its look, else the surer of its sound and its glance, else None.

        Not their average, as for a clip: something may be heard and not seen, or seen and not heard.
        """
        if moment in self.moment_probabilities:
            return self.moment_probabilities[moment]
        heads = [says[moment] for says in (self.sound_probabilities, self.glance_probabilities) if moment in says]
        return max(heads, key=lambda says: float(says.max()), default=None)

    def shift(self) -> None:
        """Forget the first moment and make room for a new one in the last row."""
        for rows in (self.audio, self.heard, self.visual, self.glanced, self.saliency):
            if rows is not None:
                rows[:-1] = rows[1:].copy()
                rows[-1] = 0
        self.maps, self.frames, self.local = _earlier(self.maps), _earlier(self.frames), _earlier(self.local)
        self.sound_probabilities = _earlier(self.sound_probabilities)
        self.glance_probabilities = _earlier(self.glance_probabilities)
        self.moment_probabilities = _earlier(self.moment_probabilities)
        self.corners = _earlier(self.corners)


def _earlier(rows: dict[int, Value]) -> dict[int, Value]:
    return {row - 1: value for row, value in rows.items() if row}
