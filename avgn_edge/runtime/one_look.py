"""How long one look takes on a device: what every other of its speeds is judged by."""

from __future__ import annotations

import statistics
import time

import numpy as np

from avgn_edge.bundle.manifest import Manifest
from avgn_edge.runtime.budget import Budget
from avgn_edge.runtime.crop import crop
from avgn_edge.runtime.graphs import Graphs, Sessions
from avgn_edge.runtime.ledger import Ledger, Pace

RUNS = 5


def look_milliseconds(manifest: Manifest, sessions: Sessions) -> float:
    """Return what a look at a moment not glanced at takes, in ms: f_G, π, the crop, f_L and f_C^AV, without decoding.

    The median of a few, after one that opens what is not open. DeviceError and BundleError as the graphs raise them.
    """
    graphs = Graphs(sessions, Ledger(Budget.parse(None), manifest.cost, Pace()))
    _look(manifest, graphs)
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        _look(manifest, graphs)
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e3


def _look(manifest: Manifest, graphs: Graphs) -> None:
    settings, given = manifest.settings, manifest.preprocessing
    frame = np.full((given.frame_size, given.frame_size, 3), 128, np.uint8)
    audio, heard = np.zeros((given.moments, settings.audio_dim), np.float32), np.ones(given.moments, np.bool_)
    feature_map, visual, _ = graphs.glance(frame[np.newaxis])
    corner, _ = graphs.locate(feature_map, audio, heard, np.zeros((1, settings.policy_state), np.float32))
    patch = crop(frame, (float(corner[0]), float(corner[1])), settings.patch_size)
    pooled = np.zeros((1, settings.classifier_state), np.float32)
    graphs.classify(visual, graphs.look(patch[np.newaxis]), audio, heard, pooled, 1)
