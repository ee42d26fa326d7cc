"""One pass over labelled clips, each decoded once: how another precision changes the answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avgn_edge._base.errors import ClipError, DataError
from avgn_edge.bundle.architecture import Architecture
from avgn_edge.bundle.reader import Bundle
from avgn_edge.calibration.trajectories import Row, glance_grid, run_clip
from avgn_edge.data.datasets import LabelledClip
from avgn_edge.data.evaluation.measuring import MOST_FAILED, open_labelled, shown
from avgn_edge.data.evaluation.row import Failure
from avgn_edge.engines.base import OpensGraphs, Session
from avgn_edge.engines.select import open_engine
from avgn_edge.media.clip import Clip, ClipWrapper, SoundLimit
from avgn_edge.runtime.sessions import Sessions

DEVICE = "cpu"
"""What INT8 is made for and compared on."""
WHOLE = "every graph"
"""Stands for every graph at once, where one could be named."""


class CachedClip(ClipWrapper):
    """A clip whose sound and frames are read once, however often they are asked for. Its owner closes it."""

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
    """The sessions of a bundle for one clip, in which the graphs that the network remembers (f_A, f_G) run once.

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
            return self._run_once(name, items)
        rows = [self._run_once(name, items[at : at + 1]) for at in range(len(items))]
        return {output: np.concatenate([row[output] for row in rows]) for output in rows[0]}

    def _run_once(self, name: str, items: NDArray[Any]) -> dict[str, Any]:
        key = items.tobytes()
        if key not in self._known:
            self._known[key] = self._session.run({name: items})
        return self._known[key]


class MixedSessions:
    """Sessions of one precision, except those of one graph, or of all (`WHOLE`), which come from another."""

    def __init__(self, usual: OpensGraphs, other: OpensGraphs, graph: str) -> None:
        self._usual, self._other, self._graph = usual, other, graph

    def get(self, graph: str) -> Session:
        """The session of a graph."""
        return (self._other if self._graph in {graph, WHOLE} else self._usual).get(graph)


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


def compare(rows: Sequence[Row], floats: Sequence[Row], truth: NDArray[np.bool_]) -> Agreement:
    """Compare the answers to the same clips in a precision and in float32; `truth` is bool [n, C]."""
    best, float_best = (np.array([row.probabilities[-1].argmax() for row in some]) for some in (rows, floats))
    clips = np.arange(len(rows))
    same_moment: list[float] = []
    saliency_errors: list[float] = []
    shifts: list[float] = []
    for row, floating in zip(rows, floats, strict=True):
        if row.saliency is None or floating.saliency is None:
            continue
        same_moment.append(next(iter(row.corners)) == next(iter(floating.corners)))
        saliency_errors.append(float(np.abs(row.saliency - floating.saliency).mean()))
        for moment in row.corners.keys() & floating.corners.keys():
            (x, y), (float_x, float_y) = row.corners[moment], floating.corners[moment]
            shifts.append(float(np.hypot(x - float_x, y - float_y)))
    return Agreement(
        clips=len(rows),
        top1=float(truth[clips, best].mean()),
        float_top1=float(truth[clips, float_best].mean()),
        same_label=float((best == float_best).mean()),
        same_moment=float(np.mean(same_moment)) if same_moment else None,
        saliency_error=float(np.mean(saliency_errors)) if saliency_errors else None,
        box_shift=float(np.mean(shifts)) if shifts else None,
    )


def relative_error(actual: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Largest absolute difference over the range of `expected` (over 1 where that has no range)."""
    # A number that is not finite is wrong on either side: engines make numbers of NaN in ReLU6, PyTorch does not.
    if actual.shape != expected.shape or not (np.isfinite(actual).all() and np.isfinite(expected).all()):
        return float("inf")
    spread = float(expected.max() - expected.min()) or 1.0
    return float(np.abs(actual - expected).max()) / spread


@dataclass(frozen=True)
class Measured:
    """How the answers to the clips that could be read form, in each precision."""

    clips: tuple[LabelledClip, ...]
    places: NDArray[np.intp]
    """[n], the index of each of these clips among all that were given."""
    rows: Mapping[str, Sequence[Mapping[int, Row]]]
    """Precision → clip by clip, by number of glances."""
    alone: Mapping[tuple[str, str], Sequence[Row]]
    """(precision, graph) → of the first clips, the rows of the network with that graph alone in that precision."""
    failed: tuple[Failure, ...]


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
    """Run every clip in every precision, without early exit.

    Args:
        bundle: The bundle; it holds all these precisions.
        clips: The clips. Those that cannot be read are skipped and named in the result.
        precisions: What to run each clip in, with every number of glances of `glance_grid`.
        alone: Pairs of a precision and a graph: the network in float32 with that graph alone in that precision.
        alone_clips: How many clips these pairs are run on, the first that can be read.
        threads: Of the engine; its own choice where None.
        progress: Called with the number of clips done, after each.

    Raises:
        DataError: More than a tenth of the clips cannot be read.
    """
    engine = open_engine(DEVICE, threads=threads)
    wanted = dict.fromkeys((*precisions, *(["fp32"] if alone else []), *(precision for precision, _ in alone)))
    sessions = {precision: Sessions(bundle, engine, precision) for precision in wanted}
    manifest = bundle.manifest
    own = manifest.settings.glances
    read: list[int] = []
    rows: dict[str, list[Mapping[int, Row]]] = {precision: [] for precision in precisions}
    mixed: dict[tuple[str, str], list[Row]] = {pair: [] for pair in alone}
    failed: list[Failure] = []
    for at, clip in enumerate(clips):
        try:
            with open_labelled(clip, manifest) as opened:
                cached = CachedClip(opened)
                caching = {name: CachingSessions(some, manifest.network) for name, some in sessions.items()}
                mine = {name: run_clip(manifest, caching[name], cached, glance_grid(own)) for name in precisions}
                mixes = {
                    (name, graph): run_clip(
                        manifest, MixedSessions(caching["fp32"], caching[name], graph), cached, (own,)
                    )[own]
                    for name, graph in (mixed if len(read) < alone_clips else ())
                }
        except ClipError as error:
            failed.append(Failure(clip.name, str(error)))
            if len(failed) > MOST_FAILED * len(clips):
                why = f"{len(failed)} of {len(clips)} clips cannot be read already, {failed[0].clip} among them"
                raise DataError("calibration", f"{why} ({failed[0].error})", "mend or remove them") from error
        else:
            read.append(at)
            for name, by_glances in mine.items():
                rows[name].append(by_glances)
            for pair, row in mixes.items():
                mixed[pair].append(row)
        progress(at + 1)
    return Measured(tuple(clips[at] for at in read), np.array(read, dtype=np.intp), rows, mixed, tuple(failed))


def truth_of(clips: Sequence[LabelledClip], labels: Sequence[str]) -> NDArray[np.bool_]:
    """The classes that the clips show, bool [n, C]."""
    known = {label: index for index, label in enumerate(labels)}
    return np.array([shown(clip, known) for clip in clips], dtype=np.bool_).reshape(len(clips), len(labels))
