"""One clip, from its opening to its answers: the ledger, the senses, the network's policy and the loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from avgn_edge.bundle.architecture import load
from avgn_edge.bundle.manifest import Manifest
from avgn_edge.media.clip import Clip
from avgn_edge.runtime import loop
from avgn_edge.runtime.budget import FINISH, OPEN, LatencyModel, Run
from avgn_edge.runtime.result import Result, report
from avgn_edge.runtime.senses import Senses
from avgn_edge.runtime.sessions import Sessions
from avgn_edge.runtime.strategy import Strategy


@dataclass(frozen=True)
class ClipRun:
    """What clips are run with."""

    manifest: Manifest
    sessions: Sessions
    pace: LatencyModel
    chosen: Strategy
    device: str
    precision: str

    def answers(self, open_clip: Callable[[], tuple[Clip, bool]], *, last_only: bool) -> Iterator[Result]:
        """Yield the answer after each step, or the last one only.

        `open_clip` returns the clip, and whether it is to be closed. The clock starts before it: a time budget includes
        decoding. Without one frames decode ahead, and what runs beside that says nothing of what it takes by itself.
        """
        manifest, chosen = self.manifest, self.chosen
        timed = chosen.options.budget.seconds is not None
        runner, ledger = self.sessions.account(chosen.options.budget, self.pace if timed else None)
        with ledger.timing(Run(OPEN)):
            clip, mine = open_clip()
        try:
            senses = Senses(clip, ledger, manifest.preprocessing.sound)
            policy: loop.Policy = load(manifest.network.policy)(senses, manifest, runner, ledger, chosen)
            self.sessions.open_ahead(policy.wanted_graphs)
            for told in loop.run(policy, ledger, manifest.task, len(manifest.labels)):
                if last_only and told.exit is None:
                    continue
                with ledger.timing(Run(FINISH)):
                    result = report(
                        clip, policy.seen, told, ledger, chosen.options, manifest, self.device, self.precision
                    )
                late = ledger.lateness if told.exit is not None else None
                notes = (*chosen.notes, late) if late else chosen.notes
                yield replace(result, warnings=(*notes, *result.warnings)) if notes else result
        finally:
            clip.stop_prefetch()
            if mine:
                clip.close()
