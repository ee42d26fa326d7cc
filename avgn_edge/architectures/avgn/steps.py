"""AVGN's steps on a table of moments: listen, glance, score, look, classify (AVGN, 3.5, steps 1 to 5).

Three schedules run them: `policy` on clips, `stream_policy` on streams, `highlight_policy` on long videos. What only
other graphs read is a `DeviceArray`, and stays on the device; where one is taken, an array will do too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from avgn_edge.architectures.avgn.spec import settings_of
from avgn_edge.runtime.budget import Run
from avgn_edge.runtime.crop import crop
from avgn_edge.runtime.scores import probabilities

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from avgn_edge.bundle.manifest import Manifest
    from avgn_edge.engines.base import DeviceArray
    from avgn_edge.runtime.moments_table import MomentsTable
    from avgn_edge.runtime.sessions import Flags, Floats, GraphRunner


class AvgnSteps:
    """Runs the graphs, and writes what they say into the rows of `seen`."""

    def __init__(self, manifest: Manifest, seen: MomentsTable, runner: GraphRunner) -> None:
        self._settings, self._task = settings_of(manifest), manifest.task
        self._seen, self._runner = seen, runner

    def listening(self, items: int) -> Run:
        """The run that listens to so many moments: against the clock, of a size that needs no compiling."""
        return Run("audio_encoder", self._runner.ready_size(items))

    def listen(self, spectrograms: Floats, moments: Flags | int) -> Floats:
        """f_A (Eq. 1) and f_C^A on [n, 1, 96, 64], of the rows `moments`; return what they say together, [C]."""
        run, items = self.listening(len(spectrograms)), len(spectrograms)
        if run.items > items:  # some twice: the features are the same, and the logits nearly
            spectrograms = spectrograms[np.arange(run.items) % items]
        out = self._runner.run(run, {"spectrograms": spectrograms})
        self._seen.audio[moments] = out["features"][:items]
        return probabilities(out["logits"][0], self._task)

    def glance(self, frames: NDArray[np.uint8], moments: Sequence[int], *, to_look: bool = True) -> None:
        """f_G (Eq. 1) and FC^G on uint8 [n, H, W, 3]; what a look needs of the moments is kept, unless told not to."""
        seen, run = self._seen, Run("global_encoder", len(moments))
        out = self._runner.run(run, {"frames": frames}, keep=("feature_map",))
        says = probabilities(out["logits"], self._task)
        for row, moment in enumerate(moments):
            if to_look:
                seen.frames[moment], seen.maps[moment] = frames[row], out["feature_map"][row : row + 1]
            seen.visual[moment] = out["features"][row]
            seen.glanced[moment] = True
            seen.glance_probabilities[moment] = says[row]

    def score(self, moments: slice = slice(None)) -> Floats:
        """AV-TeST (Eqs. 2, 3) on T rows: return s [T]. A moment not glanced at counts as the mask token (Eq. 14)."""
        seen = self._seen
        inputs = {
            "visual": seen.visual[moments],
            "glanced": seen.glanced[moments],
            "audio": seen.audio[moments],
            "heard": seen.heard[moments],
        }
        saliency: Floats = self._runner.run(Run("saliency"), inputs)["saliency"]
        return saliency

    def look(
        self, moments: Sequence[int], state: DeviceArray
    ) -> tuple[list[tuple[float, float]], DeviceArray, DeviceArray]:
        """AESPA (Eq. 4) and π (Eq. 5), one moment after the other, then f_L (Eq. 7) on all patches.

        Takes π's state [1, hidden]; returns corners (x, y) in pixels of the frame, e^L [n, D_L], and the next state.
        """
        seen, corners, patches = self._seen, [], []
        for moment in moments:
            inputs = {"feature_map": seen.maps[moment], "audio": seen.audio, "heard": seen.heard, "state": state}
            out = self._runner.run(Run("spatial"), inputs, keep=("next_state",))
            state, corner = out["next_state"], out["top_left"][0]
            corners.append((float(corner[0]), float(corner[1])))
            patches.append(crop(seen.frames[moment], corners[-1], self._settings.patch_size))
        run = Run("local_encoder", len(moments))
        local: DeviceArray = self._runner.run(run, {"patches": np.stack(patches)}, keep=("features",))["features"]
        return corners, local, state

    def classify(
        self, moment: int, local: DeviceArray, pooled: DeviceArray, count: int, heard: Flags | None = None
    ) -> tuple[Floats, DeviceArray, Floats]:
        """ψ and f_C^AV (Eq. 8) on the look at a moment, the `count`th of those in `pooled` [1, dim].

        Takes e^L [1, D_L] and which moments' sound counts (None: all that is heard); returns p_t [C], the next
        `pooled`, and p'_t [C], what the moment says by itself (Eq. 11).
        """
        seen = self._seen
        inputs = {
            "visual": seen.visual[moment : moment + 1],
            "local": local,
            "audio": seen.audio,
            "heard": seen.heard if heard is None else heard,
            "state": pooled,
            "seen": np.array([count], dtype=np.int64),
        }
        out = self._runner.run(Run("classifier"), inputs, keep=("next_state",))
        says, alone = (probabilities(out[name][0], self._task) for name in ("logits", "moment_logits"))
        return says, out["next_state"], alone

    def nothing_located(self) -> DeviceArray:
        """π's state before the first look."""
        state: DeviceArray = np.zeros((1, self._settings.policy_state), dtype=np.float32)
        return state

    def nothing_pooled(self) -> DeviceArray:
        """f_C^AV's running maximum before the first look."""
        state: DeviceArray = np.zeros((1, self._settings.classifier_state), dtype=np.float32)
        return state
