"""How answers form: each step's answer and cost of each clip, and what stopping early would have made of them.

Clips run in the runtime's own loop without early exit, so that what is calibrated is what will run. `stop` then says
where thresholds would have ended each clip, without running it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from avgn_edge.bundle.architecture import load
from avgn_edge.bundle.calibration_tables import FIRST_LOOK, ExitSettings
from avgn_edge.bundle.manifest import Manifest
from avgn_edge.engines.base import OpensGraphs
from avgn_edge.media.clip import Clip
from avgn_edge.runtime import loop
from avgn_edge.runtime.budget import Budget, LatencyModel, Ledger
from avgn_edge.runtime.exits import ExitRules, Exits, confidence
from avgn_edge.runtime.senses import Senses
from avgn_edge.runtime.sessions import GraphRunner
from avgn_edge.runtime.strategy import Strategy


@dataclass(frozen=True)
class Trajectories:
    """The answers of n clips at S steps (listening, glances, then the looks), with one number of glances.

    Where a clip has no answer at a step (no sound, no glance), `reached` is False and the other arrays mean nothing.
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
        """The number of clips, n."""
        return len(self.macs)

    @property
    def steps(self) -> int:
        """The number of steps, S."""
        return int(self.macs.shape[1])

    def only(self, clips: NDArray[np.integer] | NDArray[np.bool_] | slice) -> Trajectories:
        """The trajectories of some of the clips."""
        return Trajectories(self.glances, self.task, self.probabilities[clips], self.macs[clips], self.reached[clips])

    def up_to(self, looks: int) -> Trajectories:
        """The trajectories cut after `looks` looks; a clip without an answer there keeps its last one before it."""
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


def powers_of_two(most: int) -> tuple[int, ...]:
    """The powers of two below `most`, and `most`; nothing for 0."""
    return (*(2**power for power in range(most.bit_length()) if 2**power < most), most) if most else ()


def glance_grid(own: int) -> tuple[int, ...]:
    """The numbers of glances to calibrate: none, powers of two, and the bundle's own T_G, which none exceeds."""
    return (0, *powers_of_two(own))


def run_clip(manifest: Manifest, sessions: OpensGraphs, clip: Clip, grid: Sequence[int]) -> dict[int, Row]:
    """Run a clip to its end with each number of glances in `grid`, without early exit.

    `comparison.CachedClip` and `CachingSessions` save what several numbers of glances have in common.
    """
    return {glances: _row(manifest, sessions, clip, glances) for glances in grid}


def _row(manifest: Manifest, sessions: OpensGraphs, clip: Clip, glances: int) -> Row:
    network, looks = manifest.network, manifest.settings.looks
    steps = network.steps(looks)
    scores = np.zeros((steps, len(manifest.labels)), dtype=np.float32)
    macs, reached = np.zeros(steps, dtype=np.int64), np.zeros(steps, dtype=np.bool_)
    ledger = Ledger(Budget(), manifest.cost, LatencyModel())
    never = Strategy(glances, looks, ExitRules(ExitSettings(None), ""), batched=False)
    senses = Senses(clip, ledger, manifest.preprocessing.sound)
    policy = load(network.policy)(senses, manifest, GraphRunner(sessions, ledger), ledger, never)
    for answer in loop.run(policy, ledger, manifest.task, len(manifest.labels)):
        if answer.step is not None:
            scores[answer.step], macs[answer.step] = answer.probabilities, ledger.spent_macs
            reached[answer.step] = True
    if not reached[-1]:  # such as a clip without video: what it ends with is its whole answer
        last = int(np.flatnonzero(reached)[-1])
        scores[-1], macs[-1], reached[-1] = scores[last], macs[last], True
    return Row(scores, macs, reached, policy.seen.saliency, dict(policy.seen.corners))


def gather(rows: Sequence[Row], glances: int, task: str) -> Trajectories:
    """Stack the rows of several clips."""
    return Trajectories(
        glances,
        task,
        np.stack([row.probabilities for row in rows]),
        np.stack([row.macs for row in rows]),
        np.stack([row.reached for row in rows]),
    )


@dataclass(frozen=True)
class Stopped:
    """Where n clips stopped; each array is [n]."""

    step: NDArray[np.intp]
    sure: NDArray[np.bool_]
    """Whether a clip stopped before its last step, because its answer was sure enough."""
    macs: NDArray[np.int64]
    """Spent until then."""


def confidences(trajectories: Trajectories, temperatures: tuple[float, ...]) -> NDArray[np.float64]:
    """How sure each step's answer is, [n, S]; -1 where a clip has none, so that no threshold is reached."""
    exits = Exits(temperatures=temperatures)
    steps = [
        confidence(exits.tempered(trajectories.probabilities[:, step], step, trajectories.task), trajectories.task)
        for step in range(trajectories.steps)
    ]
    return np.where(trajectories.reached, np.stack(steps, axis=1), -1.0)


def stop(
    trajectories: Trajectories, sureness: NDArray[np.float64], exits: Exits, most_macs: int | None = None
) -> Stopped:
    """Stop each clip at the first step whose confidence reaches its threshold, else at its last.

    Args:
        trajectories: How the clips' answers form.
        sureness: The `confidences` of each step, [n, S].
        exits: The thresholds.
        most_macs: A limit: the last step is then the last that costs no more. A clip without such a step stops at
            its first.
    """
    steps = trajectories.steps
    affordable = trajectories.reached if most_macs is None else trajectories.reached & (trajectories.macs <= most_macs)
    first = trajectories.reached.argmax(axis=1)
    none = ~affordable.any(axis=1)
    affordable[none, first[none]] = True
    last = steps - 1 - affordable[:, ::-1].argmax(axis=1)
    thresholds = np.array([exits.threshold(step) for step in range(steps)])
    sure = affordable & (sureness >= thresholds)
    early = np.where(sure.any(axis=1), sure.argmax(axis=1), last)
    return Stopped(early, early < last, trajectories.macs[np.arange(trajectories.clips), early])


def named_classes(trajectories: Trajectories, step: NDArray[np.intp]) -> NDArray[np.bool_]:
    """The classes that the answers at these steps [n] name, bool [n, C]; temperature changes none of them."""
    scores = trajectories.probabilities[np.arange(trajectories.clips), step]
    if trajectories.task != "single-label":
        return np.asarray(scores >= 0.5)
    return np.asarray(np.arange(scores.shape[1]) == scores.argmax(axis=1)[:, None])


def top1(trajectories: Trajectories, step: NDArray[np.intp], truth: NDArray[np.bool_]) -> float:
    """The share of clips whose best class at these steps [n] is a true one, of `truth` bool [n, C]."""
    rows = np.arange(trajectories.clips)
    best = trajectories.probabilities[rows, step].argmax(axis=1)
    return float(truth[rows, best].mean())
