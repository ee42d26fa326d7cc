"""The last moments of a stream and what was found in each: features, answers, the patch that was looked at."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from avgn_edge.engines.base import DeviceArray
    from avgn_edge.runtime.budget import Ledger, Run
    from avgn_edge.runtime.sessions import Flags, Floats, GraphRunner


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
    feature_map: DeviceArray | None = None
    """e^G [1, D_G, h, w]."""
    glance_says: Floats | None = None
    """FC^G, [C]."""
    local: DeviceArray | None = None
    """e^L [1, D_L]."""
    patch: tuple[float, float, float, float] | None = None
    """x, y, width, height of what was looked at, in pixels of `pixels`; None where that was the whole of it."""
    look_says: Floats | None = None
    """f_C^AV of this moment's look and this moment's sound, [C]."""
    saliency: float = 0.0
    """s_t, as of the newest moment of the window."""
    macs: int = 0
    """What was run when this moment came."""

    @property
    def heard(self) -> bool:
        """Whether its sound was run."""
        return self.audio_says is not None

    @property
    def glanced(self) -> bool:
        """Whether its frame was run."""
        return self.glance_says is not None

    @property
    def looked(self) -> bool:
        """Whether it was looked at."""
        return self.look_says is not None

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
    """The last `size` moments of a stream, in order of time."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._slots: deque[Slot] = deque(maxlen=size)

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
        """The row of the arrays that the moment `at` this place has: the newest is the last."""
        return self.size - len(self._slots) + at

    def rows(self, features: Sequence[Floats | None], width: int) -> tuple[Floats, Flags]:
        """Put a feature [width] of each moment into one array [size, width]; and which moments have one [size]."""
        rows, there = np.zeros((self.size, width), dtype=np.float32), np.zeros(self.size, dtype=np.bool_)
        for at, feature in enumerate(features):
            if feature is not None:
                rows[self.row(at)] = feature
                there[self.row(at)] = True
        return rows, there


class StreamPolicy(Protocol):
    """Made of a manifest, its exit rules, the stream's window, and the attention that its settings ask for."""

    @property
    def least(self) -> tuple[Run, ...]:
        """What every moment costs, whatever else."""

    @property
    def dearest(self) -> tuple[Run, ...]:
        """What one moment costs at the most."""

    def attend(
        self, slot: Slot, sound: Floats | None, runner: GraphRunner, ledger: Ledger, fullness: float
    ) -> Floats | NDArray[np.float64]:
        """Put the newest moment into the window, run what `ledger` affords, and return the window's answer, [C].

        `sound` float32 [15600], None where it is silent; `fullness` is the bucket's, 0…1.
        """
