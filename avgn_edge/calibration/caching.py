"""A clip that is decoded once, and graphs that answer the same question once: for asking many things of one clip."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from avgn_edge.media.around import ClipAround

if TYPE_CHECKING:
    from avgn_edge.bundle.architecture import Architecture
    from avgn_edge.media.clip import Clip
    from avgn_edge.media.limit import SoundLimit
    from avgn_edge.runtime.engines.engine import OpensGraphs, Session


class CachedClip(ClipAround):
    """A clip whose sound and frames are asked for once, whoever asks how often. Closing is left to the clip's owner."""

    def __init__(self, clip: Clip) -> None:
        super().__init__(clip)
        self._frames: dict[int, NDArray[np.uint8]] = {}
        self._windows: tuple[NDArray[np.float32], NDArray[np.bool_]] | None = None

    def windows(self, limit: SoundLimit | None = None) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The sound around the moments, and whether there is any; `Clip.windows`."""
        if self._windows is None:
            self._windows = self._clip.windows(limit)
        windows, heard = self._windows
        return windows, heard.copy()

    def work(self, indices: Sequence[int]) -> int:
        """About what `frames` has to do; `Clip.work`."""
        return self._clip.work([index for index in indices if index not in self._frames])

    def frames(self, indices: Sequence[int], deadline: float | None = None) -> list[NDArray[np.uint8]]:
        """The frames of moments; `Clip.frames`."""
        missing = [index for index in indices if index not in self._frames]
        if missing:
            self._frames.update(zip(missing, self._clip.frames(missing, deadline), strict=True))
        return [self._frames[index] for index in indices]

    def close(self) -> None:
        """Nothing: the clip is its owner's."""


class CachingSessions:
    """The sessions of a bundle for one clip: what its network has remembered of it, f_A and f_G, is computed once.

    What is heard is remembered as a whole, frames one by one: other runs glance at other sets of the same frames.
    """

    def __init__(self, sessions: OpensGraphs, network: Architecture) -> None:
        self._sessions, self._network = sessions, network
        self._known: dict[str, dict[bytes, dict[str, Any]]] = {
            role.name: {} for role in network.graphs if role.remembered
        }

    def get(self, graph: str) -> Session:
        """The session of a graph."""
        session = self._sessions.get(graph)
        known = self._known.get(graph)
        if known is None:
            return session
        return _CachingSession(session, known, per_item=self._network.role(graph).takes != "heard")


class _CachingSession:
    def __init__(self, session: Session, known: dict[bytes, dict[str, Any]], *, per_item: bool) -> None:
        self._session, self._known, self._per_item = session, known, per_item

    def run(self, inputs: Mapping[str, NDArray[Any]], keep: Collection[str] = ()) -> dict[str, Any]:
        """Run the graph on what it has not seen yet. Nothing stays on the device: `keep` is not passed on."""
        del keep
        ((name, items),) = inputs.items()
        if not self._per_item:
            return self._remembered(name, items)
        rows = [self._remembered(name, items[at : at + 1]) for at in range(len(items))]
        return {output: np.concatenate([row[output] for row in rows]) for output in rows[0]}

    def _remembered(self, name: str, items: NDArray[Any]) -> dict[str, Any]:
        key = items.tobytes()
        if key not in self._known:
            self._known[key] = self._session.run({name: items})
        return self._known[key]
