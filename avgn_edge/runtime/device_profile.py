"""Device profiles: what a run of each graph takes on this device, measured once and kept in the user's cache folder.

A time budget is planned with it before the first clip is seen. A profile is of one device, precision, number of
threads, bundle, engine version and processor, and is measured again when any of them is another or the file is damaged.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from avgn_edge._base.atomic import atomic_write
from avgn_edge._base.user_cache import user_cache, writable_cache
from avgn_edge.runtime.latency import GraphLatency, Run, quantile

if TYPE_CHECKING:
    from avgn_edge.bundle.manifest import GraphFile
    from avgn_edge.engines.base import OpensGraphs

SCHEMA: Final = 1
SIZES: Final = (1, 4, 8, 16)
"""Numbers of items that a graph of many items is timed at; an engine that compiles for each keeps as many."""
QUICK_RUNS: Final = 7
CAREFUL_RUNS: Final = 40
_SPREAD_KEPT: Final = 16
_LONGEST_S: Final = 3_600.0
_FOLDER: Final = "profiles"


@dataclass(frozen=True)
class ProfileKey:
    """What a profile holds for, and nothing else."""

    device: str
    precision: str
    threads: int
    bundle: str
    """SHA-256 of the bundle's manifest."""
    engine: str
    """The engine's name and version."""
    processor: str

    @property
    def file_name(self) -> str:
        """The profile's file in the cache."""
        text = json.dumps(asdict(self), sort_keys=True)
        return f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


def load(key: ProfileKey) -> dict[str, GraphLatency] | None:
    """Return the kept profile; None where there is none, or none that can be used."""
    try:
        data = json.loads((user_cache() / _FOLDER / key.file_name).read_text(encoding="utf-8"))
        if data["schema"] != SCHEMA or data["key"] != asdict(key):
            return None
        return {str(name): _pace(pace) for name, pace in data["graphs"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def save(key: ProfileKey, paces: Mapping[str, GraphLatency]) -> Path | None:
    """Keep a profile, whole or not at all; return its file, or None where the cache cannot be written."""
    graphs = {
        name: {"seconds": {str(n): s for n, s in pace.seconds.items()}, "spread": list(pace.spread)}
        for name, pace in paces.items()
    }
    folder = writable_cache(_FOLDER)
    if folder is None:
        return None
    path = folder / key.file_name
    try:
        with atomic_write(path) as partial:
            partial.write_text(
                json.dumps({"schema": SCHEMA, "key": asdict(key), "graphs": graphs}, indent=1), encoding="utf-8"
            )
    except OSError:
        return None
    return path


def measure(
    sessions: OpensGraphs, graphs: Mapping[str, GraphFile], listener: str, *, careful: bool = False
) -> dict[str, GraphLatency]:
    """Time runs of every graph: `listener`, which hears many moments at once, and the others one at a time.

    `careful` times every graph of many items at all `SIZES`, many times and in turn, so that a slow moment of the
    machine does not fall on one of them alone.
    """
    cases = [
        (graph, items, made_inputs(described, items))
        for graph, described in graphs.items()
        for items in (SIZES if _is_batched(described) and (careful or graph == listener) else SIZES[:1])
    ]
    for graph, _, inputs in cases:
        session = sessions.get(graph)
        session.run(inputs)  # the first run allocates
    timed: dict[str, dict[int, list[float]]] = {graph: {} for graph in graphs}
    for _ in range(CAREFUL_RUNS if careful else QUICK_RUNS):
        for graph, items, inputs in cases:
            session = sessions.get(graph)
            started = time.perf_counter()
            session.run(inputs)
            timed[graph].setdefault(items, []).append(time.perf_counter() - started)
    return {graph: _summary(runs) for graph, runs in timed.items()}


def timed(run: Callable[[int], object]) -> GraphLatency:
    """Time what is no graph: `run` is given each of `SIZES`, a few times."""
    runs: dict[int, list[float]] = {items: [] for items in SIZES}
    run(SIZES[-1])
    for _ in range(QUICK_RUNS):
        for items, seconds in runs.items():
            started = time.perf_counter()
            run(items)
            seconds.append(time.perf_counter() - started)
    return _summary(runs)


def warm(sessions: OpensGraphs, graphs: Mapping[str, GraphFile], listener: str) -> None:
    """Open and run every graph once in each size it is timed at: first runs allocate."""
    for graph, described in graphs.items():
        for items in SIZES if graph == listener else SIZES[:1]:
            sessions.get(graph).run(made_inputs(described, items))


def alone(sessions: OpensGraphs, graphs: Mapping[str, GraphFile], runs: Iterable[Run]) -> float:
    """Seconds that runs take, one after the other and nothing between them, on inputs that are ready."""
    ready = [(sessions.get(run.graph), made_inputs(graphs[run.graph], run.items)) for run in runs]
    started = time.perf_counter()
    for session, inputs in ready:
        session.run(inputs)
    return time.perf_counter() - started


def made_inputs(described: GraphFile, items: int) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays of ones that a graph takes, `items` of what it takes many of."""
    return {
        spec.name: np.ones([items if isinstance(size, str) else size for size in spec.shape], spec.dtype)
        for spec in described.inputs
    }


@cache
def processor() -> str:
    """This machine's processor: caches may lie in a home folder that several machines share."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _is_batched(described: GraphFile) -> bool:
    return any(isinstance(size, str) for spec in described.inputs for size in spec.shape)


def _summary(runs: Mapping[int, list[float]]) -> GraphLatency:
    medians = {items: max(statistics.median(seconds), 1e-9) for items, seconds in runs.items()}
    ratios = [one / medians[items] for items, seconds in runs.items() for one in seconds]
    shares = [(index + 1) / _SPREAD_KEPT for index in range(_SPREAD_KEPT)]
    return GraphLatency(medians, tuple(quantile(ratios, share) for share in shares))


def _pace(data: Any) -> GraphLatency:  # noqa: ANN401 - what a file holds
    seconds = {int(items): _sane(value, _LONGEST_S) for items, value in data["seconds"].items()}
    spread = tuple(_sane(value, 1e6) for value in data["spread"])
    if not seconds or min(seconds) < 1 or not spread:
        raise ValueError("a pace of nothing")
    return GraphLatency(seconds, spread)


def _sane(value: Any, most: float) -> float:  # noqa: ANN401 - what a file holds
    number = float(value)
    if isinstance(value, bool) or not (math.isfinite(number) and 0 <= number <= most):
        raise ValueError("no sane number")
    return number
