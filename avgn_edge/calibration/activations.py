"""What each graph of a bundle is really fed: a bounded sample of its inputs, taken while it runs on clips."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from avgn_edge.calibration.trajectories import answers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from avgn_edge.bundle.manifest import Manifest
    from avgn_edge.media.clip import Clip
    from avgn_edge.runtime.engines.engine import OpensGraphs, Session

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
