"""One pass over labelled clips, each decoded once: what another precision does to the answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from avgn_edge._base.errors import ClipError, DataError
from avgn_edge.bundle.reader import Bundle
from avgn_edge.calibration.trajectories import Row, answers, glance_grid
from avgn_edge.data.datasets import LabelledClip
from avgn_edge.data.evaluation.measuring import MOST_FAILED, open_labelled, shown
from avgn_edge.engines.base import OpensGraphs, Session
from avgn_edge.engines.select import open_engine
from avgn_edge.media.clip import ClipWrapper
from avgn_edge.runtime.sessions import Sessions

if TYPE_CHECKING:
    from avgn_edge.bundle.architecture import Architecture
    from avgn_edge.engines.base import OpensGraphs, Session
    from avgn_edge.media.clip import Clip, SoundLimit


class CachedClip(ClipWrapper):
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


@dataclass(frozen=True)
class Agreement:
    """The full network in another precision against float32. Shares are in 0…1; None where no clip was looked at."""

    clips: int
    top1: float
    float_top1: float
    same_label: float
    same_moment: float | None
    """Share of clips whose first look falls on the same moment."""
    saliency_error: float | None
    """Mean absolute difference of the moments' saliency."""
    box_shift: float | None
    """Mean distance in pixels of the frame between the boxes of moments that both looked at."""

    @property
    def loss(self) -> float:
        """How much top-1 is lost."""
        return self.float_top1 - self.top1

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


WHOLE = "every graph"
"""Stands for every graph at once, where one could be named."""


class Mixed:
    """Sessions of one precision, but for one graph, or all (`WHOLE`), which comes from another."""

    def __init__(self, usual: OpensGraphs, other: OpensGraphs, graph: str) -> None:
        self._usual, self._other, self._graph = usual, other, graph

    def get(self, graph: str) -> Session:
        """The session of a graph."""
        return (self._other if self._graph in {graph, WHOLE} else self._usual).get(graph)


def compare(rows: Sequence[Row], floats: Sequence[Row], truth: NDArray[np.bool_]) -> Agreement:
    """Compare whole answers, clip by clip; `truth` is bool [n, C]."""
    best, float_best = (np.array([row.probabilities[-1].argmax() for row in some]) for some in (rows, floats))
    clips = np.arange(len(rows))
    both = [(a, b) for a, b in zip(rows, floats, strict=True) if a.saliency is not None and b.saliency is not None]
    return Agreement(
        clips=len(rows),
        top1=float(truth[clips, best].mean()),
        float_top1=float(truth[clips, float_best].mean()),
        same_label=float((best == float_best).mean()),
        same_moment=_mean([next(iter(a.corners)) == next(iter(b.corners)) for a, b in both]),
        saliency_error=_mean([_mean_difference(a, b) for a, b in both]),
        box_shift=_mean([shift for a, b in both for shift in _shifts(a.corners, b.corners)]),
    )


def _mean_difference(a: Row, b: Row) -> float:
    if a.saliency is None or b.saliency is None:
        raise AssertionError("only clips that were looked at are compared")
    return float(np.abs(a.saliency - b.saliency).mean())


def _shifts(a: Mapping[int, tuple[float, float]], b: Mapping[int, tuple[float, float]]) -> list[float]:
    return [float(np.hypot(a[at][0] - b[at][0], a[at][1] - b[at][1])) for at in a.keys() & b.keys()]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


DEVICE = "cpu"


@dataclass(frozen=True)
class Failed:
    """A clip that could not be used, and why."""

    clip: str
    why: str


@dataclass(frozen=True)
class Measured:
    """What the clips that could be read came to."""

    clips: tuple[LabelledClip, ...]
    places: NDArray[np.intp]
    """[n], where in what was given each of these clips stood."""
    rows: Mapping[str, Sequence[Mapping[int, Row]]]
    """Precision → clip by clip, by number of glances."""
    alone: Mapping[tuple[str, str], Sequence[Row]]
    """(precision, graph) → of the first clips, the rows of the network with that graph alone in that precision."""
    failed: tuple[Failed, ...]


def measure(
    bundle: Bundle,
    clips: Sequence[LabelledClip],
    precisions: Sequence[str],
    alone: Sequence[tuple[str, str]] = (),
    alone_clips: int = 0,
    *,
    threads: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Measured:
    """Run every clip in every precision; more than a tenth that cannot be read is a DataError.

    `alone` asks for the network in float32 with one graph in another precision, on the first `alone_clips` clips.
    """
    engine = open_engine(DEVICE, threads=threads)
    wanted = dict.fromkeys((*precisions, *(["fp32"] if alone else []), *(precision for precision, _ in alone)))
    sessions = {precision: Sessions(bundle, engine, precision) for precision in wanted}
    manifest = bundle.manifest
    own, network = manifest.settings.glances, manifest.network
    read: list[int] = []
    rows: dict[str, list[Mapping[int, Row]]] = {precision: [] for precision in precisions}
    mixed: dict[tuple[str, str], list[Row]] = {pair: [] for pair in alone}
    failed: list[Failed] = []
    for done, clip in enumerate(clips, 1):
        try:
            with open_labelled(clip, manifest) as opened:
                remembered = CachedClip(opened)
                remembering = {precision: CachingSessions(some, network) for precision, some in sessions.items()}
                mine = {name: answers(manifest, remembering[name], remembered, glance_grid(own)) for name in precisions}
                mixes = {
                    pair: answers(
                        manifest, Mixed(remembering["fp32"], remembering[pair[0]], pair[1]), remembered, (own,)
                    )
                    for pair in (mixed if len(read) < alone_clips else ())
                }
        except ClipError as error:
            failed.append(Failed(clip.name, str(error)))
            if len(failed) > MOST_FAILED * len(clips):
                why = f"{len(failed)} of {len(clips)} clips cannot be read already, {failed[0].clip} among them"
                raise DataError("calibration", f"{why} ({failed[0].why})", "mend or remove them") from error
        else:
            read.append(done - 1)
            for name, several in rows.items():
                several.append(mine[name])
            for pair, mix in mixes.items():
                mixed[pair].append(mix[own])
        progress(done)
    return Measured(tuple(clips[at] for at in read), np.array(read, dtype=np.intp), rows, mixed, tuple(failed))


def truth_of(clips: Sequence[LabelledClip], labels: Sequence[str]) -> NDArray[np.bool_]:
    """The classes that the clips show, bool [n, C]."""
    known = {label: index for index, label in enumerate(labels)}
    return np.array([shown(clip, known) for clip in clips], dtype=np.bool_).reshape(len(clips), len(labels))
