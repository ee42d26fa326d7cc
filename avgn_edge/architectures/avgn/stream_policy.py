"""What AVGN runs when a moment of a stream comes: f_A, AV-TeST, at most one glance, at most one look, the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from avgn_edge.architectures.avgn.plan import LOOK
from avgn_edge.architectures.avgn.spec import settings_of
from avgn_edge.architectures.avgn.steps import AvgnSteps
from avgn_edge.bundle.calibration_tables import GLANCED, LISTENED
from avgn_edge.media.logmel import log_mel
from avgn_edge.runtime.budget import FRONT_END, Run
from avgn_edge.runtime.moments_table import MomentsTable
from avgn_edge.runtime.scores import from_heads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from avgn_edge.bundle.manifest import Manifest
    from avgn_edge.runtime.budget import Ledger
    from avgn_edge.runtime.exits import ExitRules
    from avgn_edge.runtime.sessions import Floats, GraphRunner
    from avgn_edge.runtime.stream.stream_settings import StreamAttention


ALWAYS = (Run("audio_encoder"), Run("saliency"))
GLANCE = (Run("global_encoder"), Run("saliency"))
AMONG = Run("classifier")
"""A look is classified twice: by itself with its own sound, and among the looks of the window with all of theirs."""


class AvgnStream:
    """AVGN's schedule over a stream, section 3.5 on and on; a `stream_settings.StreamPolicy`."""

    least = ALWAYS

    def __init__(self, manifest: Manifest, rules: ExitRules, attention: StreamAttention) -> None:
        self._manifest, self._rules, self._attention = manifest, rules, attention
        sizes, moments = settings_of(manifest), manifest.preprocessing.moments
        self.seen = MomentsTable.empty(moments, sizes.audio_dim, sizes.global_dim, sizes.patch_size)
        self._most_looks, self._task, self._newest = sizes.looks, manifest.task, moments - 1
        self.dearest = (*ALWAYS, *GLANCE, *LOOK, *(AMONG,) * sizes.looks)

    def attend(
        self, sound: Floats | None, runner: GraphRunner, ledger: Ledger, fullness: float, moments: int
    ) -> Floats | NDArray[np.float64]:
        """Run on the newest moment, and on others of the window, what `ledger` affords; see `StreamPolicy.attend`."""
        steps = AvgnSteps(self._manifest, self.seen, runner)
        first = len(self.seen) - moments
        if sound is not None:
            with ledger.timing(Run(FRONT_END)):
                spectrogram = log_mel(sound[np.newaxis], self._manifest.preprocessing.sound)
            self.seen.sound_probabilities[self._newest] = steps.listen(spectrogram, self._newest)
            self.seen.heard[self._newest] = True
        self._score(steps)
        self._glance(steps, ledger, fullness, first)
        self._look(steps, ledger, fullness, first)
        return self._answer(steps, ledger)

    def _score(self, steps: AvgnSteps) -> None:
        """Take AV-TeST's saliency of all moments; with nothing heard or seen there is nothing to score."""
        if self.seen.heard.any() or self.seen.glanced.any():
            self.seen.saliency = steps.score()

    def _saliency(self, first: int) -> Floats:
        saliency = self.seen.saliency
        return np.zeros(len(self.seen) - first, np.float32) if saliency is None else saliency[first:]

    def _glance(self, steps: AvgnSteps, ledger: Ledger, fullness: float, first: int) -> None:
        """f_G on the newest frame, where that is worth it."""
        if self._newest not in self.seen.frames or not ledger.affords(*GLANCE):
            return
        if self._attention.worth_glance(self._saliency(first), fullness):
            steps.glance(self.seen.frames[self._newest][np.newaxis], [self._newest])
            self._score(steps)

    def _look(self, steps: AvgnSteps, ledger: Ledger, fullness: float, first: int) -> None:
        """AESPA, π, f_L and f_C^AV on the moment most worth it. π begins anew: each look is its moment's first."""
        seen = self.seen
        candidates = [moment - first for moment in sorted(seen.maps)]
        if not candidates or not ledger.affords(*LOOK, AMONG):
            return
        chosen = self._attention.next_look(self._saliency(first), candidates, fullness)
        if chosen is None:
            return
        moment = first + chosen
        (seen.corners[moment],), seen.local[moment], _ = steps.look([moment], steps.nothing_located())
        own = np.zeros_like(seen.heard)
        own[moment] = seen.heard[moment]
        says, _, _ = steps.classify(moment, seen.local[moment], steps.nothing_pooled(), 1, own)
        seen.moment_probabilities[moment] = says
        del seen.maps[moment], seen.frames[moment]  # there is no second look

    def _answer(self, steps: AvgnSteps, ledger: Ledger) -> Floats | NDArray[np.float64]:
        """f_C^AV over the looks of the window, most salient first; without any, the average of the auxiliary heads."""
        seen, saliency = self.seen, self._saliency(0)
        exits = self._rules.at(int(seen.glanced.sum()))
        pooled, looked, answer = steps.nothing_pooled(), 0, None
        for moment in sorted(seen.local, key=lambda moment: (-float(saliency[moment]), moment))[: self._most_looks]:
            if not ledger.affords(AMONG):
                break
            looked += 1
            answer, pooled, _ = steps.classify(moment, seen.local[moment], pooled, looked)
        if answer is not None:
            return exits.tempered(answer, GLANCED + looked, self._task)
        # The clip's f_C^A would cost f_A on all moments again: the mean of what it says of each stands in.
        sounds, glances = list(seen.sound_probabilities.values()), list(seen.glance_probabilities.values())
        if not (sounds or glances):
            classes = len(self._manifest.labels)
            return np.full(classes, 1 / classes, dtype=np.float32)
        says = from_heads(np.mean(sounds, axis=0) if sounds else None, glances)
        return exits.tempered(says, GLANCED if glances else LISTENED, self._task)
