"""One pass over labelled clips: how the answers form in each precision, each clip decoded once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avgn_edge.bundle.reader import Bundle
from avgn_edge.calibration.caching import CachedClip, CachingSessions
from avgn_edge.calibration.judge import Mixed
from avgn_edge.calibration.trajectories import Row, answers, glance_grid
from avgn_edge.datasets import LabelledClip
from avgn_edge.errors import ClipError, DataError
from avgn_edge.evaluation.evaluate import MOST_FAILED, open_labelled, shown
from avgn_edge.runtime.devices import open_engine
from avgn_edge.runtime.graphs import Sessions

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
