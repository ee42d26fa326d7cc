"""Section 3.5: listen, glance, find what is salient, look at it until the answer is good enough."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from avgn_edge._base.errors import BudgetError, ClipError
from avgn_edge.architectures.avgn.plan import LOOK, Plan, look_runs, plan_of
from avgn_edge.architectures.avgn.spec import settings_of
from avgn_edge.architectures.avgn.steps import AvgnSteps
from avgn_edge.bundle.calibration_tables import GLANCED, LISTENED
from avgn_edge.runtime.budget import Ledger, Run, smallest
from avgn_edge.runtime.exits import Exits
from avgn_edge.runtime.loop import Answer, Offer
from avgn_edge.runtime.moments_table import MomentsTable
from avgn_edge.runtime.scores import from_heads

if TYPE_CHECKING:
    from avgn_edge.bundle.manifest import Manifest
    from avgn_edge.runtime.exits import Exit
    from avgn_edge.runtime.senses import Senses
    from avgn_edge.runtime.sessions import Floats, GraphRunner
    from avgn_edge.runtime.strategy import Strategy


class AvgnPolicy:
    """What AVGN runs on one clip, in its order; a `loop.Policy`."""

    def __init__(
        self, senses: Senses, manifest: Manifest, runner: GraphRunner, ledger: Ledger, strategy: Strategy
    ) -> None:
        self._senses, self._ledger, self._strategy = senses, ledger, strategy
        self._graph_names = manifest.graph_names
        self._order = manifest.preprocessing.glance_order
        self._moments = manifest.preprocessing.moments
        self._heard_says: Floats | None = None
        sizes = settings_of(manifest)
        self.seen = MomentsTable.empty(self._moments, sizes.audio_dim, sizes.global_dim, sizes.patch_size)
        self._steps = AvgnSteps(manifest, self.seen, runner)
        self.exits = strategy.rules.at(strategy.glances)
        self._cost = manifest.cost

    @property
    def wanted_graphs(self) -> tuple[str, ...]:
        """The graphs that the budget reaches, those needed first in front."""
        planned = self._plan(self._moments if self._senses.has_audio else 0)
        if planned.looks and self._senses.has_video:
            return self._graph_names
        return self._graph_names[: 2 if planned.glances and self._senses.has_video else 1]

    def offers(self) -> Generator[Offer, bool, Exit]:
        """Offer listening, glances, saliency, then looks."""
        seen, timed = self.seen, self._ledger.timed
        # Only what is certain to be used: a frame too many would be waited for at an exit.
        self._senses.expect(self._order[: min(map(self._sure_glances, self._may_be_heard()))])
        yield Offer((), self._listen, must=True)
        if not self._senses.has_video:
            return self._without_looks("no-visual")
        planned = self._planned()
        if planned.most_macs is not None and not timed:
            self._ledger.spend_at_most(planned.most_macs)
        self.exits = self._strategy.rules.at(planned.glances)
        yield from self._glances(planned.glances)
        yield Offer((), self._say_glances, must=True)
        dropped = int(seen.glanced.sum()) < planned.glances
        first_look = (Run("saliency"), *look_runs(glanced=timed or bool(seen.glanced.all())))
        if planned.looks and not dropped:
            yield Offer(first_look, self._score)
        if seen.saliency is None:
            if not (seen.heard.any() or seen.glanced.any()):
                # Out of time with nothing seen or heard: late, but an answer.
                yield self._glance(self._order[:1])
                yield Offer((), self._say_glances, must=True)
            return self._without_looks("budget")
        cut = planned.glances < self._strategy.glances or planned.looks < self._strategy.looks
        most_salient = [int(moment) for moment in np.argsort(-seen.saliency, kind="stable")]
        return (yield from self._looks(most_salient[: planned.looks], cut=cut))

    def _without_looks(self, exit_: Exit) -> Exit:
        """End before the looks: nothing was spared, so however sure the answer, it did not stop early."""
        self.exits = Exits(temperatures=self.exits.temperatures)
        return exit_

    # --- what the budget buys

    def _may_be_heard(self) -> range:
        """How many moments may turn out to have sound, as far as that makes a difference."""
        if not self._senses.has_audio:
            return range(1)
        return range(0 if self._ledger.limited else self._moments, self._moments + 1)

    def _sure_glances(self, heard: int) -> int:
        """How many glances follow listening to so many moments for certain; 0 where listening may end the clip."""
        planned = self._plan(heard)
        may_end = heard and self._strategy.rules.at(planned.glances).threshold(LISTENED) <= 1.0
        return 0 if may_end else planned.glances

    def _plan(self, heard: int) -> Plan:
        """What the budget buys after listening to so many moments: of all clips with one strategy the same."""
        if self._ledger.timed:  # as much as the clock, which is asked before each step, leaves time for
            return Plan(self._strategy.glances, self._strategy.looks)
        plans = self._strategy.plans
        if heard not in plans:
            listened = Ledger(self._strategy.options.budget, self._cost, None)
            if heard:
                listened = listened.after(Run("audio_encoder", heard))
            plans[heard] = plan_of(self._strategy, listened, self._moments)
        planned: Plan = plans[heard]
        return planned

    def _planned(self) -> Plan:
        """The plan of this clip. One without sound needs at least one answer from its frames."""
        heard = int(self.seen.heard.sum())
        planned = self._plan(heard)
        if self._ledger.timed or heard or planned.glances or planned.looks:
            return planned
        glance = (Run("global_encoder"),)
        first = glance if self._strategy.glances else (Run("saliency"), *look_runs(glanced=False))
        raise BudgetError(
            f"{self._senses.name}: the budget",
            "the clip has no sound, and it does not reach the first answer from its frames",
            f"give at least {smallest(self._ledger.price(*first))}",
        )

    # --- step 1

    def _listen(self) -> Iterator[Answer]:
        """f_A on every window with sound in it, and the answer of f_C^A."""
        seen = self.seen
        spectrograms, seen.heard = self._senses.listen(self._order, self._steps.listening)
        if len(spectrograms):
            self._heard_says = self._steps.listen(spectrograms, seen.heard)
            yield Answer(LISTENED, self._heard_says)
        elif not self._senses.has_video:
            raise ClipError(self._senses.name, "it is silent and has no video", "give a clip with something in it")

    # --- step 2

    def _glances(self, count: int) -> Iterator[Offer]:
        """f_G on the first T_G moments of the glance order: together, or against the clock one by one."""
        if count and not self._ledger.timed:
            yield self._glance(self._order[:count])
            return
        waiting = list(self._order[:count])
        while waiting:
            # The first alone, for it tells what a frame of this clip takes; then as many as there is time for, in
            # order of time, which decodes least. A clip not heard is glanced at once whatever the time.
            first = not self.seen.glanced.any()
            chosen = self._senses.within_reach(waiting, Run("global_encoder"))
            if first:
                chosen = [moment for moment in waiting if moment in chosen][:1]
            if not chosen and first and not self.seen.heard.any():
                chosen = [self._senses.quickest(waiting)]
            for moment in chosen:
                yield self._glance([moment])
                if not self.seen.glanced[moment]:
                    return
            if not chosen:
                return
            waiting = [moment for moment in waiting if not self.seen.glanced[moment]]

    def _glance(self, moments: Sequence[int]) -> Offer:
        """Offer f_G on the frames of `moments`; on the first of a clip in which nothing is heard, whatever the time."""
        must = self._ledger.timed and not (self.seen.heard.any() or self.seen.glanced.any())

        def take() -> Sequence[Answer]:
            self._encode(moments, must=must)
            return ()

        runs = (self._senses.decoding(moments), Run("global_encoder", len(moments)))
        return Offer(runs, take, must=must)

    def _encode(self, moments: Sequence[int], *after: Run, must: bool = False) -> None:
        """Decode and encode the frames of `moments`; OutOfTime where there is none for that and for `after`."""
        frames = self._senses.frames(moments, Run("global_encoder", len(moments)), *after, must=must)
        self._steps.glance(frames, moments)

    def _say_glances(self) -> Iterator[Answer]:
        """The answer of FC^G with f_C^A's, if there were glances."""
        said = tuple(self.seen.glance_probabilities.values())
        if said:
            self.exits = self._strategy.rules.at(len(said))
            yield Answer(GLANCED, from_heads(self._heard_says, said))

    # --- step 3

    def _score(self) -> Sequence[Answer]:
        """AV-TeST."""
        self.seen.saliency = self._steps.score()
        return ()

    # --- steps 4 and 5

    def _looks(self, moments: Sequence[int], *, cut: bool) -> Generator[Offer, bool, Exit]:
        """The salient moments, until they are used up or the budget is; `cut` says that it, not k, set their number.

        Moments between which nothing can end the clip are decoded, and go through f_G and f_L, together.
        """
        self._located, self._pooled = self._steps.nothing_located(), self._steps.nothing_pooled()
        while len(self.seen.corners) < len(moments):
            rest = moments[len(self.seen.corners) :]
            batch = self._batch(rest)
            if not (yield self._look(batch, rest[len(batch) :])):
                return "budget"
        return "budget" if cut else "looks"

    def _batch(self, moments: Sequence[int]) -> Sequence[int]:
        """The first of `moments`, and those after it that are looked at whatever it says."""
        looked = len(self.seen.corners)
        count = 1
        while (
            count < len(moments)
            and self._strategy.batched
            and not self._ledger.timed
            and self.exits.threshold(GLANCED + looked + count) > 1.0
            and self._ledger.affords(*self._runs(moments[: count + 1]))
        ):
            count += 1
        return moments[:count]

    def _look(self, moments: Sequence[int], later: Sequence[int]) -> Offer:
        """Offer AESPA, π, f_L and f_C^AV on these moments, and f_G on those that were not glanced at."""

        def take() -> Iterator[Answer]:
            seen = self.seen
            unseen = [moment for moment in moments if not seen.glanced[moment]]
            if unseen:
                # Not before the first look, after which most clips end: of those that go on, four of five go on after
                # the next.
                if seen.corners:
                    self._senses.hint([moment for moment in later if not seen.glanced[moment]])
                self._encode(unseen, *LOOK)
            corners, local, self._located = self._steps.look(moments, self._located)
            for row, moment in enumerate(moments):
                seen.corners[moment] = corners[row]
                looked = len(seen.corners)
                says, self._pooled, seen.moment_probabilities[moment] = self._steps.classify(
                    moment, local[row : row + 1], self._pooled, looked
                )
                yield Answer(GLANCED + looked, says, more=row < len(moments) - 1)

        return Offer(self._runs(moments), take)

    def _runs(self, moments: Sequence[int]) -> tuple[Run, ...]:
        """What looking at these moments together runs."""
        unseen = [moment for moment in moments if not self.seen.glanced[moment]]
        glances = (self._senses.decoding(unseen), Run("global_encoder", len(unseen))) if unseen else ()
        single = (Run("spatial"), Run("classifier")) * len(moments)
        return (*glances, *single, Run("local_encoder", len(moments)))
