"""The step loop of section 3.5: listen, glance, find what is salient, look at it until the answer is good enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from avgn_edge.bundle.manifest import Manifest
from avgn_edge.errors import BudgetError, ClipError
from avgn_edge.media.clip import Clip
from avgn_edge.media.logmel import log_mel
from avgn_edge.runtime.attention import AttentionPolicy
from avgn_edge.runtime.budget import smallest
from avgn_edge.runtime.crop import crop
from avgn_edge.runtime.graphs import Flags, Floats, Graphs
from avgn_edge.runtime.ledger import DECODE, DECODE_AUDIO, FRONT_END, Ledger, Run
from avgn_edge.runtime.plan import Plan, look_runs, plan
from avgn_edge.runtime.result import Exit


@dataclass
class State:
    """What is known of a clip so far. Rows of `audio` and `visual` count where `heard` and `glanced` say so."""

    probabilities: Floats
    """The answer so far, [C]; before the first one, uniform."""
    audio: Floats
    heard: Flags
    visual: Floats
    glanced: Flags
    maps: dict[int, Floats] = field(default_factory=dict)
    """e^G [1, D_G, h, w] of each moment that was glanced at."""
    frames: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    moment_probabilities: dict[int, Floats] = field(default_factory=dict)
    glance_probabilities: dict[int, Floats] = field(default_factory=dict)
    saliency: Floats | None = None
    corners: dict[int, tuple[float, float]] = field(default_factory=dict)
    """The patch's top-left corner of each moment that was looked at, in the order of the looks."""
    exit: Exit | None = None


def probabilities(logits: Floats, task: str) -> Floats:
    """Softmax for one label a clip, sigmoid for several: [..., C] -> [..., C]."""
    if task == "single-label":
        exponent = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return np.asarray(exponent / exponent.sum(axis=-1, keepdims=True), dtype=np.float32)
    return np.asarray(np.exp(-np.logaddexp(0, -logits)), dtype=np.float32)  # 1 / (1 + e^-x) that does not overflow


class StepLoop:
    """Runs one clip; `run` yields the state after each step that changed the answer."""

    def __init__(
        self,
        clip: Clip,
        manifest: Manifest,
        graphs: Graphs,
        ledger: Ledger,
        policy: AttentionPolicy,
        glances: int,
        looks: int,
    ) -> None:
        self._clip, self._graphs, self._ledger, self._policy = clip, graphs, ledger, policy
        self._glances, self._looks = glances, looks
        self._settings, self._task = manifest.settings, manifest.task
        self._order = manifest.preprocessing.glance_order
        count, classes = manifest.preprocessing.moments, len(manifest.labels)
        self.state = State(
            probabilities=np.full(classes, 1 / classes, dtype=np.float32),
            audio=np.zeros((count, self._settings.audio_dim), dtype=np.float32),
            heard=np.zeros(count, dtype=np.bool_),
            visual=np.zeros((count, self._settings.global_dim), dtype=np.float32),
            glanced=np.zeros(count, dtype=np.bool_),
        )

    def run(self) -> Iterator[State]:
        """Section 3.5. The last state yielded has `exit` set."""
        state, clip = self.state, self._clip
        self._listen()
        if not clip.has_video:
            state.exit = "no-visual"
            yield state
            return
        planned = self._plan()
        if planned.at_most is not None and not self._ledger.timed:
            self._ledger.spend_at_most(*planned.at_most)
        if state.heard.any():
            yield state
        self._glance_first(planned.glances)
        # For a compute budget the plan has seen to this; a clock has gone on since.
        first_look = look_runs(glanced=bool(state.glanced.all()))
        if planned.looks == 0 or not self._ledger.affords(Run("saliency"), *first_look):
            if not (state.heard.any() or state.glanced.any()):
                self._glance_first(1)  # out of time with nothing seen or heard: late, but an answer
            state.exit = "budget"
            yield state
            return
        if state.glanced.any():
            yield state
        state.saliency = self._graphs.saliency(state.visual, state.glanced, state.audio, state.heard)
        yield from self._look(self._policy.order(state.saliency)[: planned.looks], cut=planned.glances < self._glances)

    def _listen(self) -> None:
        """Step 1: f_A on every window with sound in it, and the answer of f_C^A."""
        state = self.state
        with self._ledger.timing(Run(DECODE_AUDIO)):
            windows, state.heard = self._clip.windows()
        if state.heard.any():
            with self._ledger.timing(Run(FRONT_END)):
                spectrograms = log_mel(windows[state.heard])
            state.audio[state.heard], logits = self._graphs.listen(spectrograms)
            state.probabilities = probabilities(logits, self._task)
        elif not self._clip.has_video:
            raise ClipError(self._clip.name, "it is silent and has no video", "give a clip with something in it")

    def _glance_first(self, count: int) -> None:
        """Step 2: f_G on the first T_G moments of the glance order, and the answer of FC^G with f_C^A's."""
        state = self.state
        if count == 0:
            return
        heard = state.probabilities
        # Against the clock, one at a time: what a frame costs to decode is known only afterwards.
        for chunk in [[moment] for moment in self._order[:count]] if self._ledger.timed else [self._order[:count]]:
            if state.glanced.any() and not self._ledger.affords(Run(DECODE), Run("global_encoder")):
                break
            self._glance(chunk)
        seen = np.mean([state.glance_probabilities[moment] for moment in state.glance_probabilities], axis=0)
        state.probabilities = (heard + seen) / 2 if state.heard.any() else seen.astype(np.float32)

    def _plan(self) -> Plan:
        """What the budget buys after listening. A clip without sound needs at least one answer from its frames."""
        planned = plan(self._ledger, len(self.state.glanced), self._glances, self._looks)
        if self.state.heard.any() or planned.glances or planned.looks:
            return planned
        if self._ledger.timed:
            return Plan(glances=1, looks=0)  # late, but an answer
        first = (Run("global_encoder"),) if self._glances else (Run("saliency"), *look_runs(glanced=False))
        raise BudgetError(
            f"{self._clip.name}: the budget",
            "the clip has no sound, and it does not reach the first answer from its frames",
            f"give at least {smallest(self._ledger.price(*first))}",
        )

    def _glance(self, moments: Sequence[int]) -> None:
        """Decode and encode the frames of `moments` (f_G)."""
        state = self.state
        with self._ledger.timing(Run(DECODE, len(moments))):
            frames = self._clip.frames(moments)
        maps, visual, logits = self._graphs.glance(np.stack(frames))
        for row, moment in enumerate(moments):
            state.frames[moment] = frames[row]
            state.maps[moment] = maps[row : row + 1]
            state.visual[moment] = visual[row]
            state.glanced[moment] = True
            state.glance_probabilities[moment] = probabilities(logits[row], self._task)

    def _look(self, moments: Sequence[int], *, cut: bool) -> Iterator[State]:
        """Steps 4 and 5: the salient moments, until the answer is sure, the looks are used up, or the budget is.

        `cut` says that the budget, and not k, set how many moments there are.
        """
        state, ledger = self.state, self._ledger
        policy_state = np.zeros((1, self._settings.policy_state), dtype=np.float32)
        pooled = np.zeros((1, self._settings.classifier_state), dtype=np.float32)
        seen_at_glance = state.glanced.copy()
        for rank, moment in enumerate(moments):
            if not seen_at_glance[moment]:
                self._glance([moment])
            corner, policy_state = self._graphs.locate(state.maps[moment], state.audio, state.heard, policy_state)
            top_left = (float(corner[0]), float(corner[1]))
            patch = crop(state.frames[moment], top_left, self._settings.patch_size)
            local = self._graphs.look(patch[np.newaxis])
            visual = state.visual[moment : moment + 1]
            logits, pooled, alone = self._graphs.classify(visual, local, state.audio, state.heard, pooled, rank + 1)
            state.corners[moment] = top_left
            state.probabilities = probabilities(logits, self._task)
            state.moment_probabilities[moment] = probabilities(alone, self._task)
            following = moments[rank + 1] if rank + 1 < len(moments) else None
            if self._policy.sure(state.probabilities):
                state.exit = "confident"
            elif following is None:
                state.exit = "budget" if cut else "looks"
            elif not ledger.affords(*look_runs(glanced=bool(state.glanced[following]))):
                state.exit = "budget"
            yield state
            if state.exit is not None:
                return
