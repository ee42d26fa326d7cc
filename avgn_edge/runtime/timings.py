"""Where the time of a clip goes: medians of several runs after one that makes everything ready."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from avgn_edge.runtime.budget import DECODE, DECODE_AUDIO, FRONT_END, OPEN
from avgn_edge.runtime.front_end import open_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from avgn_edge.runtime.options import Options, Sampling
    from avgn_edge.runtime.recognizer import Recognizer
    from avgn_edge.runtime.result import Result


REPEATS: Final = 7
ORCHESTRATION: Final = "orchestration"
"""What is neither decoding nor front end nor a graph: cropping, choosing, planning, the result, Python."""
STAGES: Final = {
    OPEN: "open",
    DECODE_AUDIO: "decode sound",
    DECODE: "decode frames",
    FRONT_END: "log-mel",
}
"""What is no graph, and what it is called."""


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
    ahead_ms: float
    """Median of what frames decoded in a thread, beside the stages; the stages have what was waited for."""
    frames_floor_ms: float
    """Median of decoding alone the frames that were used, and nothing else."""
    graphs_floor_ms: float
    """Median of the same runs of the same graphs alone."""

    @property
    def over_floors(self) -> float | None:
        """The total as a multiple of the sum of its floors; None where there is none."""
        floors_ms = self.frames_floor_ms + self.graphs_floor_ms
        return self.total_ms / floors_ms if floors_ms else None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {**asdict(self), "stages": [asdict(stage) for stage in self.stages], "over_floors": self.over_floors}


def bench(recognizer: Recognizer, clip: str, options: Options, *, repeats: int = REPEATS) -> Bench:
    """Classify a clip several times; ClipError and BudgetError as `Recognizer.answer` raises them."""
    recognizer.answer(clip, options)
    walls: list[float] = []
    spent: list[Mapping[str, float]] = []
    ahead: list[float] = []
    floors: list[tuple[float, float]] = []
    for _ in range(repeats):
        started = time.perf_counter()
        result = recognizer.answer(clip, options)
        walls.append(time.perf_counter() - started)
        # A result does not know what making it took: that of the last one counts as orchestration.
        spent.append({**result.spent_s, ORCHESTRATION: max(0.0, walls[-1] - sum(result.spent_s.values()))})
        ahead.append(result.ahead_s)
        floors.append((_frames_alone(recognizer, clip, options.sampling, result), recognizer.alone(result.runs)))
    return Bench(
        clip=result.clip,
        budget=result.budget.asked,
        device=result.device,
        precision=result.precision,
        model=result.model,
        repeats=repeats,
        stages=_stages(spent, result, recognizer.manifest.graph_names),
        total_ms=1e3 * statistics.median(walls),
        slowest_ms=1e3 * max(walls),
        glance=result.budget.glances,
        looks=result.budget.looks,
        exit=result.exit,
        ahead_ms=1e3 * statistics.median(ahead),
        frames_floor_ms=1e3 * statistics.median(frames_s for frames_s, _ in floors),
        graphs_floor_ms=1e3 * statistics.median(graphs_s for _, graphs_s in floors),
    )


def _frames_alone(recognizer: Recognizer, clip: str, sampling: Sampling, result: Result) -> float:
    """Seconds that the frames of a result take to decode at once in a clip that was just opened."""
    seen = [moment.index for moment in result.moments if moment.glanced]
    if not seen:
        return 0.0
    with open_for(recognizer.manifest.preprocessing, clip, sampling=sampling) as opened:
        started = time.perf_counter()
        opened.frames(seen)
        return time.perf_counter() - started


def stage_name(name: str) -> str:
    """What a stage, or a graph, is called."""
    return STAGES.get(name, name.replace("_", " "))


def _stages(spent: list[Mapping[str, float]], result: Result, graphs: Sequence[str]) -> tuple[Stage, ...]:
    happened = [run.graph for run in result.runs]
    return tuple(
        Stage(
            stage_name(name),
            1e3 * statistics.median([seconds.get(name, 0.0) for seconds in spent]),
            happened.count(name),
        )
        for name in (*STAGES, *graphs, ORCHESTRATION)
        if any(seconds.get(name, 0.0) > 0 for seconds in spent)
    )
