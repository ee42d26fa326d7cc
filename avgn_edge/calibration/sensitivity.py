"""Which nodes of a graph stay in float in INT8, measured on inputs that the graph gets from real clips."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from avgn_edge._base.errors import DataError
from avgn_edge.bundle.manifest import Manifest
from avgn_edge.calibration.quantise import Inputs, Quantiser
from avgn_edge.calibration.trajectories import run_clip
from avgn_edge.engines import probe
from avgn_edge.engines.base import OpensGraphs, Session
from avgn_edge.engines.onnxruntime import QUANTISES_FLOATS
from avgn_edge.media.clip import Clip

TOLERANCE = 0.35
"""Error beyond which nodes are taken back into float: root mean square over the output's standard deviation, of the
worst output. The packaged bundle's encoders are at 0.05 to 0.16 and MobileNetV2 with ImageNet's weights at 0.14, where
no accuracy is lost; with ranges of a dozen clips f_G is at 0.3 and loses none either; f_A with averaged ranges, at 0.5,
costs 2 points."""
MOST_KEPT = 0.25
"""Of a graph's nodes; one that needs more had better stay in float32 whole."""
MOST_INPUTS = 24
"""Inputs on which errors are measured, at most."""
EACH = 4
"""Items kept of each graph and clip: windows, frames, patches, or whole runs of a graph that takes no batch."""


@dataclass(frozen=True)
class NodeError:
    """The error of the graph's worst output with one node quantised, and whether that node stayed in float."""

    node: str
    error: float
    kept_float: bool


@dataclass(frozen=True)
class Sensitivity:
    """The errors that INT8 makes in one graph."""

    error: float
    """With every node quantised."""
    error_left: float
    """With the nodes of `keep_float` in float."""
    nodes: tuple[NodeError, ...]
    """Every node, the worst first; none where `error` is within tolerance, and nothing had to be looked for."""

    @property
    def keep_float(self) -> tuple[str, ...]:
        """The nodes to keep in float."""
        return tuple(node.node for node in self.nodes if node.kept_float)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: of the nodes, those in float."""
        kept = [asdict(node) for node in self.nodes if node.kept_float]
        return {"error": self.error, "error_left": self.error_left, "kept_float": kept}


def find_sensitive(quantiser: Quantiser, inputs: Sequence[Inputs], *, tolerance: float = TOLERANCE) -> Sensitivity:
    """Find the nodes to keep in float: the worst ones, until the error is within tolerance or a quarter is kept.

    Args:
        quantiser: Quantises the graph.
        inputs: Inputs to measure errors on; the quantiser's ranges came from others.
        tolerance: The error beyond which nodes are taken back into float.

    Raises:
        DataError: There are no inputs.
    """
    if not inputs:
        raise DataError("INT8", "there are no inputs to judge it on", "give more clips that have video and sound")
    inputs = inputs[:: max(1, len(inputs) // MOST_INPUTS)][:MOST_INPUTS]
    expected = _outputs(quantiser.float_graph, inputs)

    def error(keep_float: Collection[str]) -> float:
        actual = _outputs(quantiser.quantise(keep_float=keep_float), inputs)
        return max(relative_rms(*pair) for pair in zip(actual, expected, strict=True))

    whole = error(())
    if whole <= tolerance:
        return Sensitivity(whole, whole, ())
    names = quantiser.nodes
    errors = {name: error([other for other in names if other != name]) for name in names}
    worst = sorted(names, key=lambda name: -errors[name])
    count, left = 0, whole
    while left > tolerance and count < int(MOST_KEPT * len(names)):
        count = min(max(1, 2 * count), int(MOST_KEPT * len(names)))
        left = error(worst[:count])
    kept = set(worst[:count])
    return Sensitivity(whole, left, tuple(NodeError(name, errors[name], name in kept) for name in worst))


def _outputs(graph: bytes, inputs: Sequence[Inputs]) -> list[NDArray[np.float32]]:
    """Each output of a graph, [inputs, ...]."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if probe.saturates():
        options.add_session_config_entry(*probe.EXACT)
    session = onnxruntime.InferenceSession(
        graph, options, providers=["CPUExecutionProvider"], disabled_optimizers=[QUANTISES_FLOATS]
    )
    runs = [session.run(None, dict(one)) for one in inputs]
    return [np.stack([run[at] for run in runs]) for at in range(len(runs[0]))]


def relative_rms(actual: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Root mean square of the differences over the standard deviation of `expected`; infinite if not finite."""
    if not (np.isfinite(actual).all() and np.isfinite(expected).all()):
        return float("inf")
    difference = np.sqrt(np.mean(np.square(actual - expected, dtype=np.float64)))
    return float(difference / (np.std(expected, dtype=np.float64) or 1.0))


class Activations:
    """Collects the graphs' inputs, clip by clip. The same clips in the same order give the same sample.

    Each clip is run in full, without early exit. The sessions should be in float32: after a rounded graph, the graphs
    behind it would get inputs that are rounded too.
    """

    def __init__(self, manifest: Manifest, sessions: OpensGraphs, *, each: int = EACH) -> None:
        self._manifest, self._sessions, self._each = manifest, sessions, each
        self._batched = {
            name: any(isinstance(size, str) for spec in file.inputs for size in spec.shape[:1])
            for name, file in next(iter(manifest.graphs.values())).items()
        }
        self._clips = 0
        self.samples: dict[str, list[dict[str, NDArray[Any]]]] = {name: [] for name in manifest.graph_names}
        """Graph → its inputs, one item each where it takes batches."""

    def add(self, clip: Clip) -> None:
        """Run a clip and keep `each` items of every graph that it reached, evenly spaced over the clip's runs.

        ClipError for a clip that cannot be read; nothing of it is kept.
        """
        recording = _Recording(self._sessions)
        run_clip(self._manifest, recording, clip, (self._manifest.settings.glances,))
        for graph, runs in recording.runs.items():
            items = runs
            if self._batched[graph]:
                items = [
                    {name: value[at : at + 1] for name, value in run.items()}
                    for run in runs
                    for at in range(len(next(iter(run.values()))))
                ]
            self.samples[graph] += _spread(items, self._each, self._clips)
        self._clips += 1


class _Recording:
    """Sessions that keep the inputs of every run."""

    def __init__(self, sessions: OpensGraphs) -> None:
        self._sessions = sessions
        self.runs: dict[str, list[dict[str, NDArray[Any]]]] = {}

    def get(self, graph: str) -> Session:
        """The session of a graph."""
        return _RecordingSession(self._sessions.get(graph), self.runs.setdefault(graph, []))


class _RecordingSession:
    def __init__(self, session: Session, runs: list[dict[str, NDArray[Any]]]) -> None:
        self._session, self._runs = session, runs

    def run(self, inputs: Mapping[str, Any], keep: Collection[str] = ()) -> dict[str, Any]:
        """Run the graph. Nothing stays on the device, where it could not be copied: `keep` is not passed on."""
        del keep
        self._runs.append({name: np.array(value) for name, value in inputs.items()})
        return self._session.run(inputs)


def _spread(items: Sequence[dict[str, NDArray[Any]]], count: int, offset: int) -> list[dict[str, NDArray[Any]]]:
    """`count` of the items at even distances; the next clip begins one further, so that every moment has its turn."""
    if len(items) <= count:
        return list(items)
    return [items[(offset + at * len(items) // count) % len(items)] for at in range(count)]
