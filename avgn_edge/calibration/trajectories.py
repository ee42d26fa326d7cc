"""How answers form: every step's answer and cost of every clip, for several numbers of glances, without early exit.

Everything here runs in the runtime's own step loop, so that what is calibrated is what will run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from avgn_edge.bundle.architecture import load
from avgn_edge.bundle.calibration_tables import FIRST_LOOK, ExitSettings
from avgn_edge.runtime import loop
from avgn_edge.runtime.budget import Budget, LatencyModel, Ledger
from avgn_edge.runtime.exits import ExitRules
from avgn_edge.runtime.senses import Senses
from avgn_edge.runtime.sessions import GraphRunner
from avgn_edge.runtime.strategy import Strategy

if TYPE_CHECKING:
    from avgn_edge.bundle.manifest import Manifest
    from avgn_edge.engines.base import OpensGraphs
    from avgn_edge.media.clip import Clip
    from avgn_edge.runtime.moments_table import MomentsTable


@dataclass(frozen=True)
class Trajectories:
    """The answers of n clips at S steps (listening, glances, then the looks), with one number of glances.

    Where a clip has no answer at a step (no sound, no glance), `reached` is False and what else is there means nothing.
    """

    glances: int
    task: str
    probabilities: NDArray[np.float32]
    """[n, S, C], before temperature scaling."""
    macs: NDArray[np.int64]
    """[n, S], spent when the step was done."""
    reached: NDArray[np.bool_]
    """[n, S]; the last step is always reached."""

    def __post_init__(self) -> None:
        if not self.reached[:, -1].all():
            raise ValueError("a clip has no answer at the last step")

    @property
    def clips(self) -> int:
        """How many clips there are."""
        return len(self.macs)

    @property
    def steps(self) -> int:
        """How many steps an answer has."""
        return int(self.macs.shape[1])

    def only(self, clips: NDArray[np.integer] | NDArray[np.bool_] | slice) -> Trajectories:
        """Those of some of the clips."""
        return Trajectories(self.glances, self.task, self.probabilities[clips], self.macs[clips], self.reached[clips])

    def up_to(self, looks: int) -> Trajectories:
        """With at most so many looks; a clip that has none keeps the answer it had."""
        count = FIRST_LOOK + looks
        reached = self.reached[:, :count].copy()
        ends = count - 1 - reached[:, ::-1].argmax(axis=1)
        rows = np.arange(self.clips)
        scores, macs = self.probabilities[:, :count].copy(), self.macs[:, :count].copy()
        scores[:, -1], macs[:, -1], reached[:, -1] = scores[rows, ends], macs[rows, ends], True
        return Trajectories(self.glances, self.task, scores, macs, reached)


@dataclass(frozen=True)
class Row:
    """One clip's part of `Trajectories`: [S, C], [S], [S]; and where it looked."""

    probabilities: NDArray[np.float32]
    macs: NDArray[np.int64]
    reached: NDArray[np.bool_]
    saliency: NDArray[np.float32] | None = None
    """[T]; None where nothing was looked at."""
    corners: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    """Moment → the patch's top-left corner in pixels of the frame, in the order of the looks."""


def glance_grid(own: int) -> tuple[int, ...]:
    """Numbers of glances to calibrate: none, powers of two, and the bundle's own T_G, which none exceeds."""
    return tuple(sorted({0, *doubling(own)}))


def doubling(most: int) -> tuple[int, ...]:
    """Powers of two below `most`, and `most`: none for 0."""
    return (*(2**power for power in range(most.bit_length()) if 2**power < most), *([most] if most else []))


def answers(manifest: Manifest, sessions: OpensGraphs, clip: Clip, grid: Sequence[int]) -> dict[int, Row]:
    """How the answer to one clip forms, by number of glances; quick with what remembers (`calibration.caching`)."""
    return {glances: _row(manifest, sessions, clip, glances) for glances in grid}


def gather(rows: Sequence[Row], glances: int, task: str) -> Trajectories:
    """Put the rows of several clips together."""
    return Trajectories(
        glances,
        task,
        np.stack([row.probabilities for row in rows]),
        np.stack([row.macs for row in rows]),
        np.stack([row.reached for row in rows]),
    )


def _row(manifest: Manifest, sessions: OpensGraphs, clip: Clip, glances: int) -> Row:
    network, looks = manifest.network, manifest.settings.looks
    steps = network.steps(looks)
    scores = np.zeros((steps, len(manifest.labels)), dtype=np.float32)
    macs, reached = np.zeros(steps, dtype=np.int64), np.zeros(steps, dtype=np.bool_)
    ledger = Ledger(Budget(), manifest.cost, LatencyModel())
    never = Strategy(glances, looks, ExitRules(ExitSettings(None), ""), batched=False)
    policy = load(network.policy)(Senses(clip, ledger), manifest, GraphRunner(sessions, ledger), ledger, never)
    seen: MomentsTable = policy.seen
    for told in loop.run(policy, ledger, manifest.task, len(manifest.labels)):
        if told.step is not None:
            scores[told.step], macs[told.step], reached[told.step] = told.probabilities, ledger.spent_macs, True
    if not reached[-1]:  # such as a clip without video: what it ends with is its whole answer
        last = int(np.flatnonzero(reached)[-1])
        scores[-1], macs[-1], reached[-1] = scores[last], macs[last], True
    return Row(scores, macs, reached, seen.saliency, dict(seen.corners))
