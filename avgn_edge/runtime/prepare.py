"""Opens and runs every graph of a bundle once on a device, so that what the engine caches is there when it counts.

The first build for TensorRT takes minutes, and OpenVINO compiles a graph for each number of items.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from avgn_edge.runtime.profile import made_inputs

if TYPE_CHECKING:
    from avgn_edge.bundle.reader import Bundle
    from avgn_edge.runtime.engines.engine import Engine


@dataclass(frozen=True)
class PreparedGraph:
    """A graph that was opened and run on a device for a number of items."""

    device: str
    precision: str
    graph: str
    items: int
    ready_s: float
    """Seconds until the first answer: building or loading from the engine's cache, and running."""
    run_ms: float
    """The run after it."""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


def prepare(bundle: Bundle, engine: Engine, precision: str) -> Iterator[PreparedGraph]:
    """Prepare each graph for the numbers of items that clips use; DeviceError or BundleError for one that fails."""
    moments, settings = bundle.manifest.preprocessing.moments, bundle.manifest.settings
    for role in bundle.manifest.network.graphs:
        graph = role.name
        several = {"one": 1, "heard": moments, "glanced": settings.glances, "looked": settings.looks}[role.takes]
        path = bundle.graph_bytes_path(precision, graph, engine.int8_variant)
        started = time.perf_counter()
        session = engine.open(path, precision)
        for items in sorted({1, several} - {0}):
            inputs = made_inputs(bundle.manifest.graphs[precision][graph], items)
            session.run(inputs)
            again = time.perf_counter()
            session.run(inputs)
            ended = time.perf_counter()
            yield PreparedGraph(engine.device, precision, graph, items, again - started, (ended - again) * 1e3)
            started = time.perf_counter()
