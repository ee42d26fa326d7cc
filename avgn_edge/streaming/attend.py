"""What is run when a moment comes: f_A, AV-TeST, at most one glance, at most one look, the answer (AVGN, 3.5)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from avgn_edge.architectures.avgn.plan import LOOK
from avgn_edge.architectures.avgn.spec import settings_of
from avgn_edge.bundle.exits import GLANCED, LISTENED
from avgn_edge.errors import BudgetError
from avgn_edge.media.logmel import log_mel
from avgn_edge.runtime.answers import from_heads, probabilities
from avgn_edge.runtime.budget import smallest
from avgn_edge.runtime.crop import crop
from avgn_edge.runtime.ledger import FRONT_END, Run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from avgn_edge.architectures.avgn.graph_calls import AvgnGraphs
    from avgn_edge.bundle.manifest import Manifest
    from avgn_edge.runtime.engines.engine import Kept
    from avgn_edge.runtime.exits import ExitRules, Exits
    from avgn_edge.runtime.graphs import Floats
    from avgn_edge.runtime.ledger import Ledger
    from avgn_edge.streaming.attention import StreamAttention
    from avgn_edge.streaming.settings import StreamSettings
    from avgn_edge.streaming.window import Slot, Window

ALWAYS = (Run("audio_encoder"), Run("saliency"))
"""What every moment costs, whatever else."""
GLANCE = (Run("global_encoder"), Run("saliency"))
AMONG = Run("classifier")
"""A look is classified twice: by itself with its own sound, and among the looks of the window with all of theirs."""


TIME_MARGIN: Final = 1.1
"""A bucket of time holds this much more than a moment is expected to take: a ledger plans with a little less."""


def bucket_size(manifest: Manifest, ledger: Ledger, settings: StreamSettings) -> float:
    """What one moment can cost at the most, or a second's budget where that is more: MACs, or seconds.

    BudgetError for a budget that does not cover listening at every moment, and scoring it.
    """
    budget, every_s = settings.budget, settings.every_s
    dearest = (*ALWAYS, *GLANCE, *LOOK, *(AMONG,) * manifest.settings.looks)
    asked, alone = f"budget {budget.asked} a second", f"listening every {every_s:g} s alone"
    if budget.macs is not None:
        least = ledger.price(*ALWAYS) / every_s
        if budget.macs < least:
            raise BudgetError(asked, f"{alone} costs more", f"give at least {smallest(math.ceil(least))}")
        return float(max(budget.macs, ledger.price(*dearest)))
    if budget.seconds is not None:
        least_s = ledger.expect(*ALWAYS) / every_s
        if budget.seconds < least_s:
            raise BudgetError(asked, f"{alone} takes longer", f"give at least {1e3 * least_s:.1f}ms")
        return max(budget.seconds, TIME_MARGIN * ledger.expect(*dearest))
    return 1.0


class Attending:
    """Runs the moments of one stream; the window is the caller's."""

    def __init__(self, manifest: Manifest, rules: ExitRules, policy: StreamAttention, window: Window) -> None:
        self._rules, self._policy, self._window = rules, policy, window
        self._settings, self._task = settings_of(manifest), manifest.task
        self._classes = len(manifest.labels)

    def attend(
        self, slot: Slot, sound: Floats | None, graphs: AvgnGraphs, ledger: Ledger, fullness: float
    ) -> Floats | NDArray[np.float64]:
        """Put `slot` into the window, run what `ledger` affords, and return the answer for the window, [C].

        `sound` float32 [15600], None where it is silent; `fullness` is the bucket's, 0…1.
        """
        self._window.add(slot)
        if sound is not None:
            with ledger.timing(Run(FRONT_END)):
                spectrogram = log_mel(sound[np.newaxis])
            features, logits = graphs.listen(spectrogram)
            slot.audio, slot.audio_says = features[0].copy(), probabilities(logits, self._task)
        self._score(graphs)
        self._glance(slot, graphs, ledger, fullness)
        self._look(graphs, ledger, fullness)
        return self._answer(graphs, ledger)

    def _score(self, graphs: AvgnGraphs) -> None:
        """Take AV-TeST's saliency of all moments; with nothing heard or seen there is nothing to score."""
        window = self._window
        audio, heard = window.audio()
        visual, seen = window.visual()
        if not (heard.any() or seen.any()):
            return
        saliency = graphs.saliency(visual, seen, audio, heard)
        for at, slot in enumerate(window):
            slot.saliency = float(saliency[window.row(at)])

    def _glance(self, slot: Slot, graphs: AvgnGraphs, ledger: Ledger, fullness: float) -> None:
        """f_G on the newest frame, where that is worth it."""
        if slot.pixels is None or not ledger.affords(*GLANCE):
            return
        if not self._policy.worth_glance(self._saliency(), fullness):
            return
        slot.feature_map, visual, logits = graphs.glance(slot.pixels[np.newaxis])
        slot.visual, slot.glance_says = visual[0].copy(), probabilities(logits[0], self._task)
        self._score(graphs)

    def _look(self, graphs: AvgnGraphs, ledger: Ledger, fullness: float) -> None:
        """AESPA, π, f_L and f_C^AV on the moment most worth it. π begins anew: each look is its moment's first."""
        candidates = [at for at, slot in enumerate(self._window) if slot.feature_map is not None and slot.local is None]
        if not candidates or not ledger.affords(*LOOK, AMONG):
            return
        at = self._policy.next_look(self._saliency(), candidates, fullness)
        if at is None:
            return
        slot = self._window[at]
        if slot.feature_map is None or slot.pixels is None or slot.visual is None:
            raise AssertionError("a glance leaves all of these")
        audio, heard = self._window.audio()
        start: Kept = np.zeros((1, self._settings.policy_state), dtype=np.float32)
        corner, _ = graphs.locate(slot.feature_map, audio, heard, start)
        slot.corner = float(corner[0]), float(corner[1])
        slot.local = graphs.look(crop(slot.pixels, slot.corner, self._settings.patch_size)[np.newaxis])
        own = np.zeros_like(heard)
        own[self._window.row(at)] = slot.audio is not None
        logits, _, _ = graphs.classify(slot.visual[np.newaxis], slot.local, audio, own, self._nothing_seen(), 1)
        slot.look_says = probabilities(logits, self._task)
        slot.pixels = slot.feature_map = None  # there is no second look

    def _answer(self, graphs: AvgnGraphs, ledger: Ledger) -> Floats | NDArray[np.float64]:
        """f_C^AV over the looks of the window, most salient first; without any, the average of the auxiliary heads."""
        looked = sorted((slot for slot in self._window if slot.local is not None), key=lambda slot: -slot.saliency)
        audio, heard = self._window.audio()
        exits = self._exits()
        pooled, seen, answer = self._nothing_seen(), 0, None
        for slot in looked[: self._settings.looks]:
            if slot.visual is None or slot.local is None or not ledger.affords(AMONG):
                break
            seen += 1
            logits, pooled, _ = graphs.classify(slot.visual[np.newaxis], slot.local, audio, heard, pooled, seen)
            answer = probabilities(logits, self._task)
        if answer is not None:
            return exits.tempered(answer, GLANCED + seen, self._task)
        return self._without_looks(exits)

    def _without_looks(self, exits: Exits) -> Floats | NDArray[np.float64]:
        """The clip's f_C^A would cost f_A on all moments again: the mean of what it says of each stands in."""
        listened = [slot.audio_says for slot in self._window if slot.audio_says is not None]
        glances = [slot.glance_says for slot in self._window if slot.glance_says is not None]
        if not (listened or glances):
            return np.full(self._classes, 1 / self._classes, dtype=np.float32)
        says = from_heads(np.mean(listened, axis=0) if listened else None, glances)
        return exits.tempered(says, GLANCED if glances else LISTENED, self._task)

    def _exits(self) -> Exits:
        return self._rules.at(sum(slot.visual is not None for slot in self._window))

    def _saliency(self) -> Floats:
        return np.array([slot.saliency for slot in self._window], dtype=np.float32)

    def _nothing_seen(self) -> Kept:
        state: Kept = np.zeros((1, self._settings.classifier_state), dtype=np.float32)
        return state
