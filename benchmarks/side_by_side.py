"""All contenders on one clip: who they are, and the row of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import av

from avgn_edge.architectures.avgn.network.settings import Settings
from avgn_edge.bundle.reader import Bundle
from avgn_edge.cli.formatting import counted
from avgn_edge.engines.select import open_engine
from avgn_edge.runtime.recognizer import Recognizer
from avgn_edge.runtime.sessions import Sessions
from benchmarks.contenders import Contender, Floor, Measured, Obvious, Ours
from benchmarks.obvious import Decoder, Pipeline, PyAV, TorchCodec, choose_threads, random_network
from benchmarks.report import ClipRows, Row, median_stages
from benchmarks.rounds import Spread, interleaved

PIPELINES = tuple(f"{decoder.name} + PyTorch" for decoder in (PyAV, TorchCodec))
ORCHESTRATION_RUNS = 5
"""That a share of orchestration is the median of."""
_READ = 2**24


@dataclass
class Contenders:
    """Those that run, and why others do not."""

    ours: list[Ours] = field(default_factory=list)
    floors: dict[str, Floor] = field(default_factory=dict)
    """By the name of what they lie under."""
    pipelines: list[Obvious] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def add_ours(self, bundle: Bundle, device: str, precision: str, budgets: Sequence[str]) -> None:
        """Open the bundle on a device, once for the runs and once for their floors."""
        recognizer = Recognizer.open(bundle, device, precision)
        sessions = Sessions(bundle, open_engine(device), recognizer.precision)
        for budget in budgets:
            ours = Ours(recognizer, budget)
            self.ours.append(ours)
            self.floors[ours.name] = Floor(ours, sessions)

    def add_pipelines(self, settings: Settings) -> None:
        """Build the network in PyTorch, and put each library that is there before it."""
        model = random_network(settings)
        threads = choose_threads(model)
        libraries: tuple[Callable[[], Decoder], ...] = (PyAV, TorchCodec)
        for name, library in zip(PIPELINES, libraries, strict=True):
            try:
                decoder = library()
            except (ImportError, OSError, RuntimeError) as error:  # torchcodec raises any of them without FFmpeg
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
                self.missing[name] = f"{type(error).__name__}: {reason[:100]}"
                continue
            self.pipelines.append(
                Obvious(name, Pipeline(decoder, model), f"fp32, random weights, {counted(threads, 'thread')}")
            )

    def warm(self, path: Path) -> None:
        """Run everything once."""
        for contender in self.everyone():
            contender.run(path)

    def everyone(self) -> list[Contender]:
        """All that run, ours before what lies under them."""
        return [*self.ours, *self.floors.values(), *self.pipelines]


def measure(contenders: Contenders, path: Path, rounds: int, patience_s: float) -> ClipRows:
    """Run all contenders on a clip in turn, each at most `rounds` times and for about `patience_s` seconds."""
    _read(path)
    runs = {each.name: partial(each.run, path) for each in contenders.everyone()}
    found = interleaved(runs, rounds, patience_s)
    rows = [_our_row(ours, contenders.floors[ours.name], found, path) for ours in contenders.ours]
    rows += [_row(pipeline, found[pipeline.name]) for pipeline in contenders.pipelines]
    rows += [Row(name, None, {}, why) for name, why in contenders.missing.items()]
    with av.open(str(path)) as container:
        seconds = float((container.duration or 0) / av.time_base)
    return ClipRows(path.stem, seconds, 8e-6 * path.stat().st_size / seconds, tuple(rows))


def _row(pipeline: Obvious, measured: Sequence[Measured]) -> Row:
    stages = median_stages([run.stages for run in measured])
    return Row(pipeline.name, Spread.of([run.seconds for run in measured]), stages, pipeline.note)


def _our_row(ours: Ours, floor: Floor, found: dict[str, list[Measured]], path: Path) -> Row:
    result, below = ours.latest, found[floor.name]
    if result is None:
        raise AssertionError("what was measured has run")
    share, stages_ms = ours.orchestration(path, ORCHESTRATION_RUNS)
    done = result.budget
    return Row(
        ours.name,
        Spread.of([run.seconds for run in found[ours.name]]),
        {stage: ms / 1e3 for stage, ms in stages_ms.items()},
        f"{result.precision}, {done.spent_gflops:.2f} GFLOPs, T_G {done.glance}, k {done.looks}, {result.exit}",
        Spread.of([run.seconds for run in below]),
        median_stages([run.stages for run in below]),
        share,
    )


def _read(path: Path) -> None:
    """Read a file once, so that no contender waits for the disk."""
    with path.open("rb") as file:
        while file.read(_READ):
            pass
