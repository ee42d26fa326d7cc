"""AVGN on the moments of a long video: f_A, f_G with its head, AV-TeST (AVGN, 3.3 and 4.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avgn_edge.architectures.avgn.spec import settings_of
from avgn_edge.architectures.avgn.steps import AvgnSteps
from avgn_edge.runtime.budget import Run
from avgn_edge.runtime.moments_table import MomentsTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from avgn_edge.bundle.manifest import Manifest
    from avgn_edge.runtime.sessions import Floats, GraphRunner


class AvgnHighlights:
    """AVGN's schedule over a long video; a `highlights.salience.HighlightPolicy`."""

    listening, glancing, scoring = Run("audio_encoder"), Run("global_encoder"), (Run("saliency"),)

    def __init__(self, manifest: Manifest, runner: GraphRunner, moments: int) -> None:
        sizes = settings_of(manifest)
        self.seen = MomentsTable.empty(moments, sizes.audio_dim, sizes.global_dim)
        self._steps = AvgnSteps(manifest, self.seen, runner)

    def listen(self, spectrogram: Floats, moment: int) -> None:
        """f_A and f_C^A on one moment: the same compute as together, and the network answers for each."""
        self.seen.sound_probabilities[moment] = self._steps.listen(spectrogram, moment)

    def glance(self, frames: NDArray[np.uint8], moments: Sequence[int]) -> None:
        """f_G and FC^G; there are no looks."""
        self._steps.glance(frames, moments, to_look=False)

    def saliency(self, window: slice) -> Floats:
        """AV-TeST."""
        return self._steps.score(window)
