"""Where the time of a clip goes: medians of several runs after one that makes everything ready."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from avgn_edge.bundle.manifest import GRAPHS
from avgn_edge.runtime.ledger import DECODE, DECODE_AUDIO, FINISH, FRONT_END, OPEN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from avgn_edge.runtime.budget import Budget
    from avgn_edge.runtime.recognizer import Recognizer, Sampling
    from avgn_edge.runtime.result import Result

REPEATS: Final = 7
ORCHESTRATION: Final = "orchestration"
"""What is neither decoding nor front end nor a graph: cropping, choosing, planning, Python."""
STAGES: Final = {
    OPEN: "open",
    DECODE_AUDIO: "decode sound",
    DECODE: "decode frames",
    FRONT_END: "log-mel",
    **{graph: graph.replace("_", " ") for graph in GRAPHS},
    FINISH: "result",
}


@dataclass(frozen=True)
class Stage:
    """One of the things that time goes to."""

    name: str
    ms: float
    """Median over the runs."""
    runs: int
    """Runs of the graph in the latest run of the clip; 0 for what is no graph."""


@dataclass(frozen=True)
class Bench:
    """Where the time went."""

    clip: str
    budget: str
    device: str
    precision: str
    model: str
    repeats: int
    stages: tuple[Stage, ...]
    total_ms: float
    """Median from the start of the clip to its answer in hand."""
    slowest_ms: float
    glance: int
    looks: int
    exit: str | None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {**asdict(self), "stages": [asdict(stage) for stage in self.stages]}


def bench(
    recognizer: Recognizer, clip: str, budget: Budget, *, sampling: Sampling = "cheap", repeats: int = REPEATS
) -> Bench:
    """Classify a clip several times; ClipError and BudgetError as `Recognizer.classify` raises them."""
    recognizer.classify(clip, budget, sampling=sampling)
    walls: list[float] = []
    spent: list[Mapping[str, float]] = []
    for _ in range(repeats):
        started = time.perf_counter()
        result = recognizer.classify(clip, budget, sampling=sampling)
        walls.append(time.perf_counter() - started)
        # A result does not know what making it took: that of the last one counts as orchestration.
        spent.append({**result.spent_s, ORCHESTRATION: max(0.0, walls[-1] - sum(result.spent_s.values()))})
    return Bench(
        clip=result.clip,
        budget=result.budget.asked,
        device=result.device,
        precision=result.precision,
        model=result.model,
        repeats=repeats,
        stages=_stages(spent, result),
        total_ms=1e3 * statistics.median(walls),
        slowest_ms=1e3 * max(walls),
        glance=result.budget.glance,
        looks=result.budget.looks,
        exit=result.exit,
    )


def _stages(spent: list[Mapping[str, float]], result: Result) -> tuple[Stage, ...]:
    happened = [run.graph for run in result.runs]
    names = {**STAGES, ORCHESTRATION: ORCHESTRATION}
    return tuple(
        Stage(shown, 1e3 * statistics.median([seconds.get(name, 0.0) for seconds in spent]), happened.count(name))
        for name, shown in names.items()
        if any(seconds.get(name, 0.0) > 0 for seconds in spent)
    )
