"""AVGN on the moments of a long video: f_A, f_G with its head, AV-TeST (AVGN, 3.3 and 4.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avgn_edge.architectures.avgn.graph_calls import AvgnGraphs
from avgn_edge.architectures.avgn.spec import settings_of
from avgn_edge.runtime.budget import Run
from avgn_edge.runtime.scores import probabilities

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from avgn_edge.bundle.manifest import Manifest
    from avgn_edge.runtime.sessions import Flags, Floats, GraphRunner


class AvgnHighlights:
    """A `highlights.policy.HighlightPolicy`. A moment not glanced at counts as the mask token (Eq. 14)."""

    listening, glancing, scoring = Run("audio_encoder"), Run("global_encoder"), (Run("saliency"),)

    def __init__(self, manifest: Manifest, runner: GraphRunner) -> None:
        sizes = settings_of(manifest)
        self._graphs, self._task = AvgnGraphs(runner), manifest.task
        self.audio_width, self.visual_width = sizes.audio_dim, sizes.global_dim

    def listen(self, spectrogram: Floats) -> tuple[Floats, Floats]:
        """f_A and f_C^A: [1, 1, 96, 64] -> e^A [D_A], probabilities [C]."""
        features, logits = self._graphs.listen(spectrogram)
        return features[0], probabilities(logits, self._task)

    def glance(self, frames: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """f_G and FC^G: [n, H, W, 3] -> e^G averaged [n, D_G], probabilities [n, C]."""
        _, visual, logits = self._graphs.glance(frames)
        return visual, probabilities(logits, self._task)

    def saliency(self, visual: Floats, glanced: Flags, audio: Floats, heard: Flags) -> Floats:
        """AV-TeST: s [T]."""
        return self._graphs.saliency(visual, glanced, audio, heard)
