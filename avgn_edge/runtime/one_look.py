"""How long one look takes on a device: what every other of its speeds is judged by."""

from __future__ import annotations

import statistics

from avgn_edge.bundle.manifest import Manifest
from avgn_edge.runtime import profile
from avgn_edge.runtime.graphs import Sessions
from avgn_edge.runtime.ledger import Run

RUNS = 5


def look_milliseconds(manifest: Manifest, sessions: Sessions, precision: str) -> float:
    """Return what the graphs of a look at a moment not glanced at take, in ms: f_G, π, f_L and f_C^AV in AVGN.

    The median of a few, after one that opens what is not open. DeviceError and BundleError as the engine raises them.
    """
    graphs = manifest.graphs[precision]
    look = [Run(graph) for graph in manifest.network.look]
    profile.alone(sessions, graphs, look)
    return 1e3 * statistics.median(profile.alone(sessions, graphs, look) for _ in range(RUNS))
