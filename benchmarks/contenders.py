"""What is run on each clip, in turn: this package at its budgets, the obvious pipelines, and the floors under ours."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from avgn_edge.runtime.device_profile import made_inputs
from avgn_edge.runtime.options import Options
from avgn_edge.runtime.timings import ORCHESTRATION, bench
from benchmarks import plain
from benchmarks.obvious import FRAMES, SOUND, Pipeline

if TYPE_CHECKING:
    from avgn_edge.runtime.recognizer import Recognizer
    from avgn_edge.runtime.result import Result
    from avgn_edge.runtime.sessions import Sessions

GRAPHS = "graphs"


@dataclass(frozen=True)
class Measured:
    """One run on one clip."""

    seconds: float
    stages: Mapping[str, float]
    """Seconds by what took them."""


class Contender(Protocol):
    """One way to an answer, or a part of one."""

    @property
    def name(self) -> str:
        """What to call it."""

    def run(self, path: Path) -> Measured:
        """Do it once."""


class Ours:
    """A warm `Recognizer` with its default settings, at one budget."""

    def __init__(self, recognizer: Recognizer, budget: str) -> None:
        self.recognizer, self.budget = recognizer, budget
        self.name = f"ours, {'no budget' if budget == 'none' else budget}, {recognizer.device.used}"
        self.latest: Result | None = None
        """What the latest run came to."""

    def run(self, path: Path) -> Measured:
        """Classify the clip."""
        started = time.perf_counter()
        self.latest = self.recognizer.classify(path, self.budget)
        return Measured(time.perf_counter() - started, dict(self.latest.spent_s))

    def orchestration(self, path: Path, repeats: int) -> tuple[float, dict[str, float]]:
        """Return the share of a run that is neither decoding, front end nor a graph, and the ms of each stage."""
        done = bench(self.recognizer, str(path), Options.of(self.budget), repeats=repeats)
        stages = {stage.name: stage.ms for stage in done.stages}
        return stages.get(ORCHESTRATION, 0.0) / done.total_ms, stages


class Floor:
    """What one of ours decoded and ran in its latest run, and nothing else, in the plainest way and in turn."""

    def __init__(self, ours: Ours, sessions: Sessions) -> None:
        self._ours, self._sessions = ours, sessions
        self.name = f"floor of {ours.name}"

    def run(self, path: Path) -> Measured:
        """Decode the frames and windows that were used; then run the same graphs on inputs that are ready."""
        result = self._ours.latest
        if result is None:
            raise ValueError("a floor lies under a run: there was none")
        heard = sum(run.items for run in result.runs if run.graph == "audio_encoder")
        seen = [moment.time_s for moment in result.moments if moment.glanced]
        manifest = self._ours.recognizer.manifest
        files = manifest.graphs[next(iter(manifest.graphs))]
        ready = [(self._sessions.get(run.graph), made_inputs(files[run.graph], run.items)) for run in result.runs]
        started = time.perf_counter()
        if heard:
            plain.sound_around(path, [moment.time_s for moment in result.moments][:heard])
        sound_s = time.perf_counter() - started
        # Threads inside a frame are the faster ones for key frames, threads across frames for the way to others.
        frames_s = min(self._decode(path, seen, threads) for threads in ("SLICE", "AUTO")) if seen else 0.0
        started = time.perf_counter()
        for session, inputs in ready:
            session.run(inputs)
        graphs_s = time.perf_counter() - started
        return Measured(sound_s + frames_s + graphs_s, {FRAMES: frames_s, SOUND: sound_s, GRAPHS: graphs_s})

    @staticmethod
    def _decode(path: Path, seconds: list[float], threads: plain.Threads) -> float:
        started = time.perf_counter()
        plain.frames_at(path, seconds, threads)
        return time.perf_counter() - started


class Obvious:
    """One of the pipelines in PyTorch."""

    def __init__(self, name: str, pipeline: Pipeline, note: str) -> None:
        self.name, self._pipeline, self.note = name, pipeline, note

    def run(self, path: Path) -> Measured:
        """Classify the clip."""
        started = time.perf_counter()
        stages = self._pipeline.run(path)
        return Measured(time.perf_counter() - started, stages)
