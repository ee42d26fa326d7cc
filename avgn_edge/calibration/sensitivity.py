"""What INT8 costs, by measurement: what each graph is really fed, and which of its nodes stay in float."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from avgn_edge._base.errors import DataError
from avgn_edge.calibration.quantise import Inputs, Quantiser
from avgn_edge.calibration.trajectories import answers
from avgn_edge.engines import probe
from avgn_edge.engines.onnxruntime import QUANTISES_FLOATS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from avgn_edge.bundle.manifest import Manifest
    from avgn_edge.engines.base import OpensGraphs, Session
    from avgn_edge.media.clip import Clip


TOLERANCE = 0.35
"""Error beyond which nodes are taken back into float: root mean square over the output's standard deviation, of the
worst output. The packaged bundle's encoders are at 0.05 to 0.16 and MobileNetV2 with ImageNet's weights at 0.14, where
no accuracy is lost; with ranges of a dozen clips f_G is at 0.3 and loses none either; f_A with averaged ranges, at 0.5,
costs 2 points."""
MOST_KEPT = 0.25
"""Of a graph's nodes; one that needs more had better stay in float32 whole."""
JUDGED = 24
"""Inputs on which errors are measured."""


@dataclass(frozen=True)
class NodeError:
    """What quantising one node by itself does to the graph's worst output, and whether it stayed in float for it."""

    node: str
    error: float
    kept_float: bool


@dataclass(frozen=True)
class Sensitivity:
    """What was found for one graph."""

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


def find_sensitive(
    quantiser: Quantiser,
    judged_on: Sequence[Inputs],
    *,
    tolerance: float = TOLERANCE,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Sensitivity:
    """Find the nodes to keep in float; `judged_on` are inputs that the quantiser's ranges did not come from."""
    if not judged_on:
        raise DataError("INT8", "there are no inputs to judge it on", "give more clips that have video and sound")
    judge = _Judge(quantiser, judged_on[:: max(1, len(judged_on) // JUDGED)][:JUDGED])
    whole = judge.error(())
    if whole <= tolerance:
        return Sensitivity(whole, whole, ())
    names = quantiser.nodes
    errors: dict[str, float] = {}
    for name in names:
        errors[name] = judge.error([other for other in names if other != name])
        progress(len(errors), len(names))
    worst = sorted(names, key=lambda name: -errors[name])
    count, left = 0, whole
    while left > tolerance and count < int(MOST_KEPT * len(names)):
        count = min(max(1, 2 * count), int(MOST_KEPT * len(names)))
        left = judge.error(worst[:count])
    kept = set(worst[:count])
    return Sensitivity(whole, left, tuple(NodeError(name, errors[name], name in kept) for name in worst))


class _Judge:
    """Holds quantised graphs against the float one."""

    def __init__(self, quantiser: Quantiser, inputs: Sequence[Inputs]) -> None:
        self._quantiser, self._inputs = quantiser, inputs
        self._expected = self._outputs(quantiser.float_graph)

    def error(self, keep_float: Collection[str]) -> float:
        """The worst output's root mean square error over its standard deviation."""
        actual = self._outputs(self._quantiser.quantise(keep_float=keep_float))
        return max(relative_rms(*pair) for pair in zip(actual, self._expected, strict=True))

    def _outputs(self, graph: bytes) -> list[NDArray[np.float32]]:
        import onnxruntime  # noqa: PLC0415 - 0.1 s

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if probe.saturates():
            options.add_session_config_entry(*probe.EXACT)
        session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"], disabled_optimizers=[QUANTISES_FLOATS]
        )
        runs = [session.run(None, dict(inputs)) for inputs in self._inputs]
        return [np.stack([run[at] for run in runs]) for at in range(len(runs[0]))]


def relative_rms(actual: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Root mean square of the differences over the standard deviation of `expected`; infinite if not finite."""
    if not (np.isfinite(actual).all() and np.isfinite(expected).all()):
        return float("inf")
    difference = np.sqrt(np.mean(np.square(actual - expected, dtype=np.float64)))
    return float(difference / (np.std(expected, dtype=np.float64) or 1.0))


EACH = 4
"""Items kept of each graph and clip: windows, frames, patches, or whole runs of a graph that takes no batch."""


class Activations:
    """Collects inputs clip by clip. The same clips in the same order give the same sample; nothing is drawn by chance.

    Each clip is run in full, without early exit, in whatever precision the sessions have: float32, or what follows from
    a rounded graph would be calibrated in place of what follows from the right one.
    """

    def __init__(self, manifest: Manifest, sessions: OpensGraphs, *, each: int = EACH) -> None:
        self._manifest, self._sessions, self._each = manifest, sessions, each
        self._batched = {
            name: any(isinstance(size, str) for spec in file.inputs for size in spec.shape[:1])
            for name, file in next(iter(manifest.graphs.values())).items()
        }
        self._clips = 0
        self.samples: dict[str, list[dict[str, NDArray[Any]]]] = {name: [] for name in manifest.graph_names}
        """Of each graph its inputs, a batch of one where it takes batches."""

    def add(self, clip: Clip) -> None:
        """Run a clip and keep `each` items of every graph that it reached, evenly spaced over the clip's runs.

        ClipError for a clip that cannot be read; nothing of it is kept.
        """
        recording = _Recording(self._sessions)
        answers(self._manifest, recording, clip, (self._manifest.settings.glances,))
        for graph, runs in recording.runs.items():
            items = [item for run in runs for item in _items(run)] if self._batched[graph] else runs
            self.samples[graph] += _spread(items, self._each, self._clips)
        self._clips += 1


class _Recording:
    """Sessions that keep what goes in."""

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


def _items(run: Mapping[str, NDArray[Any]]) -> list[dict[str, NDArray[Any]]]:
    count = len(next(iter(run.values())))
    return [{name: value[at : at + 1] for name, value in run.items()} for at in range(count)]


def _spread(items: Sequence[dict[str, NDArray[Any]]], count: int, offset: int) -> list[dict[str, NDArray[Any]]]:
    """`count` of the items at even distances; the next clip begins one further, so that every moment has its turn."""
    if len(items) <= count:
        return list(items)
    return [items[(offset + at * len(items) // count) % len(items)] for at in range(count)]
