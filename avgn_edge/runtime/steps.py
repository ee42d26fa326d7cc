"""The step loop of section 3.5: listen, glance, find what is salient, look at it until the answer is good enough."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from avgn_edge.bundle.exits import GLANCED, LISTENED
from avgn_edge.bundle.manifest import Manifest
from avgn_edge.errors import BudgetError, ClipError
from avgn_edge.media.ahead import AheadClip
from avgn_edge.media.clip import Clip
from avgn_edge.media.limit import OutOfTime
from avgn_edge.media.logmel import log_mel
from avgn_edge.runtime.answers import from_heads
from avgn_edge.runtime.attention import AttentionPolicy
from avgn_edge.runtime.budget import smallest
from avgn_edge.runtime.crop import crop
from avgn_edge.runtime.engines.engine import Kept
from avgn_edge.runtime.graphs import Flags, Floats, Graphs
from avgn_edge.runtime.in_time import sound_limit, within_reach
from avgn_edge.runtime.ledger import DECODE, DECODE_AUDIO, FRONT_END, Ledger, Run
from avgn_edge.runtime.plan import Plan, look_runs, plan_of, sure_glances
from avgn_edge.runtime.result import Exit
from avgn_edge.runtime.strategy import Strategy


@dataclass
class State:
    """What is known of a clip so far. Rows of `audio` and `visual` count where `heard` and `glanced` say so."""

    probabilities: Floats
    """The answer so far, [C]; before the first one, uniform."""
    audio: Floats
    heard: Flags
    visual: Floats
    glanced: Flags
    maps: dict[int, Kept] = field(default_factory=dict)
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
        strategy: Strategy,
    ) -> None:
        self._clip, self._graphs, self._ledger, self._policy = clip, graphs, ledger, policy
        self._strategy = strategy
        self._exits = strategy.rules.at(strategy.glances)
        self._heard_says: Floats | None = None
        self._confidence = 0.0
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
        if isinstance(clip, AheadClip) and clip.has_video:
            # Only what is certain to be used: a frame too many would be waited for at an exit.
            sure = sure_glances(self._ledger, self._strategy, len(state.glanced), sound=clip.has_audio)
            clip.expect(self._order[:sure])
        self._listen()
        if not clip.has_video:
            state.exit = "no-visual"
            yield state
            return
        planned = self._plan()
        if planned.most_macs is not None and not self._ledger.timed:
            self._ledger.spend_at_most(planned.most_macs)
        self._exits = self._strategy.rules.at(planned.glances)
        if state.heard.any():
            state.exit = self._confident(LISTENED)
            yield state
            if state.exit is not None:
                return
        self._glance_first(planned.glances)
        # For a compute budget the plan has seen to this; a clock has gone on since.
        dropped = int(state.glanced.sum()) < planned.glances
        first_look = look_runs(glanced=self._ledger.timed or bool(state.glanced.all()))
        if planned.looks == 0 or dropped or not self._ledger.affords(Run("saliency"), *first_look):
            if not (state.heard.any() or state.glanced.any()):
                self._glance_first(1)  # out of time with nothing seen or heard: late, but an answer
            state.exit = "budget"
            yield state
            return
        if state.glanced.any():
            state.exit = self._confident(GLANCED)
            yield state
            if state.exit is not None:
                return
        state.saliency = self._graphs.saliency(state.visual, state.glanced, state.audio, state.heard)
        cut = planned.glances < self._strategy.glances or planned.looks < self._strategy.looks
        yield from self._look(self._policy.order(state.saliency)[: planned.looks], cut=cut)

    def _answer(self, raw: Floats, step: int) -> None:
        """Take the scores [C] of a step for the clip's answer, tempered by that step's calibration."""
        scores = self._exits.tempered(raw, step, self._task)
        self.state.probabilities = scores.astype(np.float32)
        self._confidence = self._policy.confidence(scores)

    def _confident(self, step: int) -> Exit | None:
        return "confident" if self._confidence >= self._exits.threshold(step) else None

    def _listen(self) -> None:
        """Step 1: f_A on every window with sound in it, and the answer of f_C^A."""
        state = self.state
        started = time.perf_counter()
        windows, state.heard = self._clip.windows(sound_limit(self._ledger, self._graphs, self._order))
        heard = int(state.heard.sum())
        self._ledger.charge(Run(DECODE_AUDIO, heard or len(windows)), time.perf_counter() - started)
        if state.heard.any():
            with self._ledger.timing(Run(FRONT_END, heard)):
                spectrograms = log_mel(windows[state.heard])
            state.audio[state.heard], logits = self._graphs.listen(spectrograms)
            self._heard_says = probabilities(logits, self._task)
            self._answer(self._heard_says, LISTENED)
        elif not self._clip.has_video:
            raise ClipError(self._clip.name, "it is silent and has no video", "give a clip with something in it")

    def _glance_first(self, count: int) -> None:
        """Step 2: f_G on the first T_G moments of the glance order, and the answer of FC^G with f_C^A's."""
        state = self.state
        if count == 0:
            return
        if self._ledger.timed:
            self._glance_in_time(self._order[:count])
        else:
            self._glance(self._order[:count])
        if not state.glanced.any():
            return
        self._exits = self._strategy.rules.at(len(state.glance_probabilities))
        self._answer(from_heads(self._heard_says, tuple(state.glance_probabilities.values())), GLANCED)

    def _glance_in_time(self, moments: Sequence[int]) -> None:
        """Glance at those of `moments`, the first ones first, that can be decoded and encoded in time.

        The first alone, for it tells what a frame of this clip takes; then as many as there is time for together, in
        order of time, which decodes least. A clip not heard is glanced at once whatever the time.
        """
        waiting = list(moments)
        while waiting:
            first = not self.state.glanced.any()
            chosen = within_reach(self._clip, self._ledger, waiting)
            if first:
                chosen = [moment for moment in waiting if moment in chosen][:1]
            if not chosen and first and not self.state.heard.any():
                chosen = [min(waiting, key=lambda moment: self._clip.work([moment]))]
            for moment in chosen:
                if not self._glance([moment]):
                    return
            if not chosen:
                return
            waiting = [moment for moment in waiting if not self.state.glanced[moment]]

    def _plan(self) -> Plan:
        """What the budget buys after listening. A clip without sound needs at least one answer from its frames."""
        wanted = self._strategy
        if self._ledger.timed:  # as much as the clock, which is asked before each step, leaves time for
            return Plan(wanted.glances, wanted.looks)
        planned = plan_of(wanted, self._ledger, len(self.state.glanced))
        if self.state.heard.any() or planned.glances or planned.looks:
            return planned
        first = (Run("global_encoder"),) if wanted.glances else (Run("saliency"), *look_runs(glanced=False))
        raise BudgetError(
            f"{self._clip.name}: the budget",
            "the clip has no sound, and it does not reach the first answer from its frames",
            f"give at least {smallest(self._ledger.price(*first))}",
        )

    def _glance(self, moments: Sequence[int], *after: Run) -> bool:
        """Decode and encode the frames of `moments` (f_G); tell whether there was time for that and for `after`."""
        state, ledger = self.state, self._ledger
        encode = Run("global_encoder", len(moments))
        known = bool(state.heard.any() or state.glanced.any())
        work = self._decoding(moments)
        if ledger.timed and known and not ledger.affords(work, encode, *after):
            return False
        try:
            with ledger.timing(work):
                frames = self._clip.frames(moments, ledger.latest(encode, *after) if ledger.timed and known else None)
        except OutOfTime:
            return False
        if ledger.timed and known and not ledger.affords(encode, *after):
            return False
        maps, visual, logits = self._graphs.glance(np.stack(frames))
        said = probabilities(logits, self._task)
        for row, moment in enumerate(moments):
            state.frames[moment] = frames[row]
            state.maps[moment] = maps[row : row + 1]
            state.visual[moment] = visual[row]
            state.glanced[moment] = True
            state.glance_probabilities[moment] = said[row]
        return True

    def _look(self, moments: Sequence[int], *, cut: bool) -> Iterator[State]:
        """Steps 4 and 5: the salient moments, until the answer is sure, the looks are used up, or the budget is.

        Moments between which nothing can end the clip are decoded, and go through f_G and f_L, together. `cut` says
        that the budget, and not k, set how many moments there are.
        """
        state = self.state
        policy_state: Kept = np.zeros((1, self._settings.policy_state), dtype=np.float32)
        pooled: Kept = np.zeros((1, self._settings.classifier_state), dtype=np.float32)
        while len(state.corners) < len(moments):
            batch = self._batch(moments[len(state.corners) :])
            unseen = [moment for moment in batch if not state.glanced[moment]]
            if unseen:
                self._foresee(moments[len(state.corners) + len(batch) :])
            if not self._in_time(batch) or (unseen and not self._glance(unseen, *look_runs(glanced=True))):
                state.exit = "budget"
                yield state
                return
            corners, patches = [], []
            for moment in batch:
                corner, policy_state = self._graphs.locate(state.maps[moment], state.audio, state.heard, policy_state)
                corners.append((float(corner[0]), float(corner[1])))
                patches.append(crop(state.frames[moment], corners[-1], self._settings.patch_size))
            local = self._graphs.look(np.stack(patches))
            for row, moment in enumerate(batch):
                state.corners[moment] = corners[row]
                looked = len(state.corners)
                logits, pooled, alone = self._graphs.classify(
                    state.visual[moment : moment + 1], local[row : row + 1], state.audio, state.heard, pooled, looked
                )
                self._answer(probabilities(logits, self._task), GLANCED + looked)
                state.moment_probabilities[moment] = probabilities(alone, self._task)
                if row == len(batch) - 1:
                    state.exit = self._why_stop(moments, cut=cut)
                yield state
                if state.exit is not None:
                    return

    def _batch(self, moments: Sequence[int]) -> Sequence[int]:
        """The first of `moments`, which is paid for, and those after it that are looked at whatever it says."""
        looked = len(self.state.corners)
        count = 1
        while (
            count < len(moments)
            and self._strategy.batched
            and not self._ledger.timed
            and self._exits.threshold(GLANCED + looked + count) > 1.0
            and self._ledger.affords(*self._runs(moments[: count + 1]))
        ):
            count += 1
        return moments[:count]

    def _foresee(self, moments: Sequence[int]) -> None:
        """Say what is looked at after the next step, if that does not end the clip.

        Not before the first look, after which most clips end: of those that go on, four of five go on after the next.
        """
        if isinstance(self._clip, AheadClip) and self.state.corners:
            self._clip.foresee([moment for moment in moments if not self.state.glanced[moment]])

    def _in_time(self, moments: Sequence[int]) -> bool:
        """Whether looking at these moments is expected to end in time; compute is asked about elsewhere."""
        return not self._ledger.timed or self._ledger.affords(*self._runs(moments))

    def _runs(self, moments: Sequence[int]) -> tuple[Run, ...]:
        """What looking at these moments together runs."""
        unseen = [moment for moment in moments if not self.state.glanced[moment]]
        glances = (self._decoding(unseen), Run("global_encoder", len(unseen))) if unseen else ()
        single = (Run("spatial"), Run("classifier")) * len(moments)
        return (*glances, *single, Run("local_encoder", len(moments)))

    def _decoding(self, moments: Sequence[int]) -> Run:
        """Decoding the frames of these moments; how much that is, only a time budget asks."""
        return Run(DECODE, self._clip.work(moments) if self._ledger.timed else len(moments))

    def _why_stop(self, moments: Sequence[int], *, cut: bool) -> Exit | None:
        """What ends the clip after the looks so far; None if nothing does."""
        looked = len(self.state.corners)
        confident = self._confident(GLANCED + looked)
        if confident is not None:
            return confident
        if looked == len(moments):
            return "budget" if cut else "looks"
        return None if self._ledger.affords(*self._runs(moments[looked : looked + 1])) else "budget"
