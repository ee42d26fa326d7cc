"""A clip that is decoded once, and graphs that answer the same question once: for asking many things of one clip."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from avgn_edge.media.clip import Clip
from avgn_edge.media.limit import SoundLimit
from avgn_edge.media.moments import Moment
from avgn_edge.runtime.engines.engine import Session
from avgn_edge.runtime.graphs import Sessions

if TYPE_CHECKING:
    from typing_extensions import Self

    from avgn_edge.media.limit import SoundLimit

PER_ITEM = "global_encoder"
"""The graph whose items are remembered one by one: other runs glance at other sets of the same frames."""
WHOLE = "audio_encoder"
"""The graph whose run is remembered as a whole."""


class RememberedClip:
    """A clip whose sound and frames are asked for once, whoever asks how often. Closing is left to the clip's owner."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._frames: dict[int, NDArray[np.uint8]] = {}
        self._windows: tuple[NDArray[np.float32], NDArray[np.bool_]] | None = None

    @property
    def name(self) -> str:
        """What to call the clip."""
        return self._clip.name

    @property
    def duration_s(self) -> float:
        """Seconds."""
        return self._clip.duration_s

    @property
    def moments(self) -> tuple[Moment, ...]:
        """The moments, in order of time."""
        return self._clip.moments

    @property
    def has_video(self) -> bool:
        """Whether frames can be asked for."""
        return self._clip.has_video

    @property
    def has_audio(self) -> bool:
        """Whether there is a track of sound."""
        return self._clip.has_audio

    @property
    def display_size(self) -> tuple[int, int] | None:
        """(width, height) of the frames turned upright."""
        return self._clip.display_size

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was not as it should be."""
        return self._clip.warnings

    @property
    def conversions(self) -> int:
        """How many frames have been converted to RGB."""
        return self._clip.conversions

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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RememberingSessions:
    """The sessions of a bundle for one clip: what f_A and f_G said of it is not computed twice."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._known: dict[str, dict[bytes, dict[str, Any]]] = {PER_ITEM: {}, WHOLE: {}}

    def get(self, graph: str) -> Session:
        """The session of a graph."""
        session = self._sessions.get(graph)
        known = self._known.get(graph)
        if known is None:
            return session
        return _RememberingSession(session, known, per_item=graph == PER_ITEM)


class _RememberingSession:
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
