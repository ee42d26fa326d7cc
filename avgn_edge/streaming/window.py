"""The last moments of a stream and what was found in each: features, answers, the patch that was looked at."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from avgn_edge.architectures.avgn.spec import settings_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from avgn_edge.bundle.manifest import Manifest
    from avgn_edge.runtime.engines.engine import Kept
    from avgn_edge.runtime.graphs import Flags, Floats


@dataclass
class Slot:
    """One moment. What was not run is None."""

    time_s: float
    pixels: NDArray[np.uint8] | None = None
    """Its frame, uint8 [224, 224, 3], RGB; None without a picture."""
    display_size: tuple[int, int] | None = None
    """(width, height) of the frame as it came."""
    audio: Floats | None = None
    """e^A [D_A]; None where nothing was heard."""
    audio_says: Floats | None = None
    """f_C^A of this moment alone, [C]."""
    visual: Floats | None = None
    """e^G averaged, [D_G]."""
    feature_map: Kept | None = None
    """e^G [1, D_G, h, w]."""
    glance_says: Floats | None = None
    """FC^G, [C]."""
    local: Kept | None = None
    """e^L [1, D_L]."""
    corner: tuple[float, float] | None = None
    """The patch's top-left corner, in pixels of `pixels`."""
    look_says: Floats | None = None
    """f_C^AV of this moment's look and this moment's sound, [C]."""
    saliency: float = 0.0
    """s_t, as of the newest moment of the window."""
    macs: int = 0
    """What was run when this moment came."""

    @property
    def says(self) -> Floats | None:
        """What this moment says by itself, [C]: its look, else the surer of its auxiliary heads, else nothing.

        Not their average, as for a clip: an event may be heard and not seen, or seen and not heard.
        """
        if self.look_says is not None:
            return self.look_says
        heads = [says for says in (self.audio_says, self.glance_says) if says is not None]
        return max(heads, key=lambda says: float(says.max()), default=None)


class Window:
    """The last `moments` of a stream, in order of time; as arrays the newest is the last row."""

    def __init__(self, manifest: Manifest) -> None:
        self.size = manifest.preprocessing.moments
        self._settings = settings_of(manifest)
        self._slots: deque[Slot] = deque(maxlen=self.size)

    def __len__(self) -> int:
        return len(self._slots)

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._slots)

    def __getitem__(self, at: int) -> Slot:
        return self._slots[at]

    def add(self, slot: Slot) -> None:
        """Put the newest moment in; the oldest goes when there are too many."""
        self._slots.append(slot)

    def clear(self) -> None:
        """Forget all moments."""
        self._slots.clear()

    def row(self, at: int) -> int:
        """The row of the arrays that the moment `at` this place has."""
        return self.size - len(self._slots) + at

    def audio(self) -> tuple[Floats, Flags]:
        """e^A [T, D_A], and which moments were heard [T]."""
        return self._rows([slot.audio for slot in self._slots], self._settings.audio_dim)

    def visual(self) -> tuple[Floats, Flags]:
        """e^G [T, D_G], and which moments were glanced at [T]."""
        return self._rows([slot.visual for slot in self._slots], self._settings.global_dim)

    def _rows(self, features: list[Floats | None], width: int) -> tuple[Floats, Flags]:
        rows, there = np.zeros((self.size, width), dtype=np.float32), np.zeros(self.size, dtype=np.bool_)
        for at, feature in enumerate(features):
            if feature is not None:
                rows[self.row(at)] = feature
                there[self.row(at)] = True
        return rows, there
