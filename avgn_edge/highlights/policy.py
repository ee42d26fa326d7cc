"""What a network does with the moments of a long video."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from avgn_edge.runtime.graphs import Flags, Floats
    from avgn_edge.runtime.ledger import Run


class HighlightPolicy(Protocol):
    """Made of a manifest and what runs its graphs."""

    listening: ClassVar[Run]
    """What hearing one moment runs."""
    glancing: ClassVar[Run]
    """What seeing one frame runs."""
    scoring: ClassVar[tuple[Run, ...]]
    """What the saliency of one window of T moments runs."""
    audio_width: int
    """D_A, of what is known of a moment's sound."""
    visual_width: int
    """D_G, of what is known of a moment's frame."""

    def listen(self, spectrogram: Floats) -> tuple[Floats, Floats]:
        """Log-mel of one moment [1, 1, 96, 64] -> features [D_A], what it says by itself [C]."""

    def glance(self, frames: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """Frames [n, H, W, 3] -> features [n, D_G], what each says by itself [n, C]."""

    def saliency(self, visual: Floats, glanced: Flags, audio: Floats, heard: Flags) -> Floats:
        """[T, D_G], bool [T], [T, D_A], bool [T] -> how much each moment is expected to tell, [T]."""
