"""What a network decides about the moments of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from avgn_edge.runtime.graphs import Floats, GraphRunner
    from avgn_edge.runtime.ledger import Ledger, Run
    from avgn_edge.streaming.window import Slot


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
