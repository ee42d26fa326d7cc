"""What is run when a moment comes: f_A, AV-TeST, at most one glance, at most one look, the answer (AVGN, 3.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from avgn_edge.architectures.avgn.graph_calls import AvgnGraphs
from avgn_edge.architectures.avgn.plan import LOOK
from avgn_edge.architectures.avgn.spec import settings_of
from avgn_edge.bundle.calibration_tables import GLANCED, LISTENED
from avgn_edge.media.logmel import log_mel
from avgn_edge.runtime.budget import FRONT_END, Run
from avgn_edge.runtime.crop import crop
from avgn_edge.runtime.scores import from_heads, probabilities

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from avgn_edge.bundle.manifest import Manifest
    from avgn_edge.engines.base import DeviceArray
    from avgn_edge.runtime.budget import Ledger
    from avgn_edge.runtime.exits import ExitRules, Exits
    from avgn_edge.runtime.sessions import Flags, Floats, GraphRunner
    from avgn_edge.runtime.stream.stream_settings import StreamAttention
    from avgn_edge.runtime.stream.window import Slot, Window


ALWAYS = (Run("audio_encoder"), Run("saliency"))
"""What every moment costs, whatever else."""
GLANCE = (Run("global_encoder"), Run("saliency"))
AMONG = Run("classifier")
"""A look is classified twice: by itself with its own sound, and among the looks of the window with all of theirs."""


class AvgnStream:
    """What AVGN runs on the moments of one stream, the window being the caller's; a `streaming.policy.StreamPolicy`."""

    def __init__(self, manifest: Manifest, rules: ExitRules, window: Window, attention: StreamAttention) -> None:
        self._rules, self._attention, self._window = rules, attention, window
        self._settings, self._task = settings_of(manifest), manifest.task
        self._classes = len(manifest.labels)

    @property
    def least(self) -> tuple[Run, ...]:
        """What every moment costs, whatever else."""
        return ALWAYS

    @property
    def dearest(self) -> tuple[Run, ...]:
        """What one moment costs at the most."""
        return (*ALWAYS, *GLANCE, *LOOK, *(AMONG,) * self._settings.looks)

    def attend(
        self, slot: Slot, sound: Floats | None, runner: GraphRunner, ledger: Ledger, fullness: float
    ) -> Floats | NDArray[np.float64]:
        """Put `slot` into the window, run what `ledger` affords, and return the answer for the window, [C].

        `sound` float32 [15600], None where it is silent; `fullness` is the bucket's, 0…1.
        """
        graphs = AvgnGraphs(runner)
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
        audio, heard = self._audio()
        visual, seen = self._visual()
        if not (heard.any() or seen.any()):
            return
        saliency = graphs.saliency(visual, seen, audio, heard)
        for at, slot in enumerate(window):
            slot.saliency = float(saliency[window.row(at)])

    def _glance(self, slot: Slot, graphs: AvgnGraphs, ledger: Ledger, fullness: float) -> None:
        """f_G on the newest frame, where that is worth it."""
        if slot.pixels is None or not ledger.affords(*GLANCE):
            return
        if not self._attention.worth_glance(self._saliency(), fullness):
            return
        slot.feature_map, visual, logits = graphs.glance(slot.pixels[np.newaxis])
        slot.visual, slot.glance_says = visual[0].copy(), probabilities(logits[0], self._task)
        self._score(graphs)

    def _look(self, graphs: AvgnGraphs, ledger: Ledger, fullness: float) -> None:
        """AESPA, π, f_L and f_C^AV on the moment most worth it. π begins anew: each look is its moment's first."""
        candidates = [at for at, slot in enumerate(self._window) if slot.feature_map is not None and slot.local is None]
        if not candidates or not ledger.affords(*LOOK, AMONG):
            return
        at = self._attention.next_look(self._saliency(), candidates, fullness)
        if at is None:
            return
        slot = self._window[at]
        if slot.feature_map is None or slot.pixels is None or slot.visual is None:
            raise AssertionError("a glance leaves all of these")
        audio, heard = self._audio()
        start: DeviceArray = np.zeros((1, self._settings.policy_state), dtype=np.float32)
        corner, _ = graphs.locate(slot.feature_map, audio, heard, start)
        side, top_left = self._settings.patch_size, (float(corner[0]), float(corner[1]))
        slot.patch = (*top_left, float(side), float(side))
        slot.local = graphs.look(crop(slot.pixels, top_left, side)[np.newaxis])
        own = np.zeros_like(heard)
        own[self._window.row(at)] = slot.audio is not None
        logits, _, _ = graphs.classify(slot.visual[np.newaxis], slot.local, audio, own, self._nothing_seen(), 1)
        slot.look_says = probabilities(logits, self._task)
        slot.pixels = slot.feature_map = None  # there is no second look

    def _answer(self, graphs: AvgnGraphs, ledger: Ledger) -> Floats | NDArray[np.float64]:
        """f_C^AV over the looks of the window, most salient first; without any, the average of the auxiliary heads."""
        looked = sorted((slot for slot in self._window if slot.local is not None), key=lambda slot: -slot.saliency)
        audio, heard = self._audio()
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

    def _audio(self) -> tuple[Floats, Flags]:
        """e^A [T, D_A], and which moments were heard [T]."""
        return self._window.rows([slot.audio for slot in self._window], self._settings.audio_dim)

    def _visual(self) -> tuple[Floats, Flags]:
        """e^G [T, D_G], and which moments were glanced at [T]."""
        return self._window.rows([slot.visual for slot in self._window], self._settings.global_dim)

    def _exits(self) -> Exits:
        return self._rules.at(sum(slot.visual is not None for slot in self._window))

    def _saliency(self) -> Floats:
        return np.array([slot.saliency for slot in self._window], dtype=np.float32)

    def _nothing_seen(self) -> DeviceArray:
        state: DeviceArray = np.zeros((1, self._settings.classifier_state), dtype=np.float32)
        return state
