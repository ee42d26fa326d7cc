"""AVGN's six graphs as functions on arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from avgn_edge.runtime.budget import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from avgn_edge.engines.base import DeviceArray
    from avgn_edge.runtime.sessions import Flags, Floats, GraphRunner


class AvgnGraphs:
    """Runs the graphs for one clip, or for one moment of a stream.

    What only other graphs read is a `DeviceArray`, and stays on the device. Where one is taken, an array will do too.
    """

    def __init__(self, runner: GraphRunner) -> None:
        self._runner = runner

    def listen(self, spectrograms: Floats) -> tuple[Floats, Floats]:
        """f_A and f_C^A: [n, 1, 96, 64] -> e^A [n, D_A], logits [C]."""
        run, items = self.listening(len(spectrograms)), len(spectrograms)
        if run.items > items:  # some twice: the features are the same, and the logits nearly
            spectrograms = spectrograms[np.arange(run.items) % items]
        out = self._runner.run(run, {"spectrograms": spectrograms})
        return out["features"][:items], out["logits"][0]

    def listening(self, items: int) -> Run:
        """The run that listens to so many moments: against the clock, of a size that needs no compiling."""
        return Run("audio_encoder", self._runner.ready_size(items))

    def glance(self, frames: NDArray[np.uint8]) -> tuple[DeviceArray, Floats, Floats]:
        """f_G and FC^G: uint8 [n, H, W, 3] -> e^G [n, D_G, h, w], its average [n, D_G], logits [n, C]."""
        out = self._runner.run(Run("global_encoder", len(frames)), {"frames": frames}, keep=("feature_map",))
        return out["feature_map"], out["features"], out["logits"]

    def saliency(self, visual: Floats, glanced: Flags, audio: Floats, heard: Flags) -> Floats:
        """AV-TeST: [T, D_G], [T], [T, D_A], [T] -> s [T]."""
        inputs = {"visual": visual, "glanced": glanced, "audio": audio, "heard": heard}
        saliency: Floats = self._runner.run(Run("saliency"), inputs)["saliency"]
        return saliency

    def locate(
        self, feature_map: DeviceArray, audio: Floats, heard: Flags, state: DeviceArray
    ) -> tuple[Floats, DeviceArray]:
        """AESPA and π: [1, D_G, h, w], [T, D_A], [T], [1, hidden] -> corner (x, y) [2] in frame pixels, next state."""
        inputs = {"feature_map": feature_map, "audio": audio, "heard": heard, "state": state}
        out = self._runner.run(Run("spatial"), inputs, keep=("next_state",))
        return out["top_left"][0], out["next_state"]

    def look(self, patches: Floats) -> DeviceArray:
        """f_L: [n, P, P, 3], RGB 0–255 -> e^L [n, D_L]."""
        run = Run("local_encoder", len(patches))
        kept: DeviceArray = self._runner.run(run, {"patches": patches}, keep=("features",))["features"]
        return kept

    def classify(
        self, visual: Floats, local: DeviceArray, audio: Floats, heard: Flags, state: DeviceArray, seen: int
    ) -> tuple[Floats, DeviceArray, Floats]:
        """ψ and f_C^AV: [1, D_G], [1, D_L], [T, D_A], [T], [1, dim] -> logits of p_t [C], next state, of p'_t [C]."""
        count = np.array([seen], dtype=np.int64)
        inputs = {"visual": visual, "local": local, "audio": audio, "heard": heard, "state": state, "seen": count}
        out = self._runner.run(Run("classifier"), inputs, keep=("next_state",))
        return out["logits"][0], out["next_state"], out["moment_logits"][0]
