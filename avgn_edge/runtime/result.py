"""What a classified clip comes back as: frozen dataclasses with `to_dict()`, the JSON of `classify --json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from avgn_edge._base.errors import ClipError
from avgn_edge.bundle.architecture import Architecture
from avgn_edge.bundle.manifest import Manifest
from avgn_edge.media.clip import Clip
from avgn_edge.runtime.budget import DECODE, DECODE_AUDIO, FRONT_END, OPEN, Ledger, Run
from avgn_edge.runtime.exits import Exit
from avgn_edge.runtime.front_end import frame_geometry
from avgn_edge.runtime.loop import Told
from avgn_edge.runtime.moments_table import MomentReport, MomentsTable
from avgn_edge.runtime.options import Options

if TYPE_CHECKING:
    import os

    from avgn_edge.runtime.overlay import Overlay, Pictures


@dataclass(frozen=True)
class ClassScore:
    """A class and its score, in 0…1."""

    label: str
    score: float


@dataclass(frozen=True)
class BudgetReport:
    """What was asked for and what was spent."""

    asked: str
    spent_gflops: float
    """10^9 multiply-accumulates: the exact sum over the graph runs that happened."""
    glances: int
    """Moments that were glanced at; the JSON calls it "glance"."""
    looks: int

    @property
    def glance(self) -> int:
        """The same as `glances`: its name in the JSON."""
        return self.glances

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        names = ("asked", "spent_gflops", "glance", "looks")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Timing:
    """Milliseconds; `total` is from the start of the clip to its answer, everything included."""

    decode: float
    stages: Mapping[str, float]
    """What the network's graphs took, by their roles: of AVGN "audio", "glance", "saliency", "spatial" and so on."""
    total: float

    def to_dict(self) -> dict[str, float]:
        """The JSON form: the stages stand beside the others."""
        return {"decode": self.decode, **self.stages, "total": self.total}


@dataclass(frozen=True)
class Result:
    """The answer for one clip, or the answer so far while `exit` is None."""

    clip: str
    """The clip's name: its path as it was given, or what kind of thing it is."""
    duration_s: float
    label: str
    """The best class."""
    score: float
    """Its score, 0…1."""
    top: tuple[ClassScore, ...]
    """The best classes, the best first, as many as were asked for."""
    budget: BudgetReport
    exit: Exit | None
    """Why the clip ended; None while it goes on."""
    moments: tuple[MomentReport, ...]
    """All of them, in order of time."""
    timing_ms: Timing
    device: str
    """The device that was used."""
    precision: str
    """"fp32", "fp16" or "int8"."""
    model: str
    """The bundle's name."""
    warnings: tuple[str, ...]
    """What was not as it should be: no audio track, damaged frames, a late answer."""
    probabilities: NDArray[np.float32] = field(compare=False, repr=False)
    """Of every class, float32 [C], in the order of the bundle's labels; read only."""
    runs: tuple[Run, ...] = field(compare=False, repr=False)
    """The graph runs that happened, in their order."""
    spent_s: Mapping[str, float] = field(compare=False, repr=False, default_factory=dict)
    """Seconds by what took them: the graphs, and what the ledger's other names stand for. The rest is orchestration.

    What was decoded ahead counts as long as it was waited for.
    """
    ahead_s: float = field(compare=False, repr=False, default=0.0)
    """Seconds that frames decoded ahead, beside what `spent_s` holds."""

    def __repr__(self) -> str:
        spent = f"{self.budget.spent_gflops:.2f} GFLOPs, {self.budget.glances} glances, {self.budget.looks} looks"
        return f"<Result for {self.clip!r}: {self.label!r} {self.score:.2f}, {spent}, exit {self.exit}>"

    def overlay(self, source: str | os.PathLike[str] | bytes | BinaryIO | Pictures) -> tuple[Overlay, ...]:
        """Return the frames that were looked at, in their own size, with their boxes drawn, and the patches.

        Args:
            source: What was classified: a path, the bytes of a file, a binary file object read from its beginning, or
                a clip (an `ArrayClip`, or what `open_clip` returned), which stays open.

        Returns:
            One `Overlay` a look, in the order of the looks; none where no look was taken.

        Raises:
            ClipError: It cannot be read, or is another clip, as far as its moments tell.
        """
        from avgn_edge.runtime.overlay import overlay  # noqa: PLC0415 - a result that is not drawn needs none of it

        return overlay(self.clip, self.moments, source)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        whole = {
            name: value
            for name, value in vars(self).items()
            if name not in {"probabilities", "runs", "spent_s", "ahead_s", "budget", "top"}
        }
        return {
            **{name: whole[name] for name in ("clip", "duration_s", "label", "score")},
            "top": [asdict(score) for score in self.top],
            "budget": self.budget.to_dict(),
            "exit": self.exit,
            "moments": [{**asdict(m), "box": None if m.box is None else list(m.box)} for m in self.moments],
            "timing_ms": self.timing_ms.to_dict(),
            **{name: whole[name] for name in ("device", "precision", "model")},
            "warnings": list(self.warnings),
        }


def report(
    clip: Clip,
    seen: MomentsTable,
    told: Told,
    ledger: Ledger,
    options: Options,
    manifest: Manifest,
    device: str,
    precision: str,
) -> Result:
    """Put the answer so far, what it cost and how it came about into one `Result`."""
    scores = told.probabilities.copy()
    if not np.isfinite(scores).all():  # the graphs' outputs are checked; this is for what is made of them
        raise ClipError(clip.name, "its scores are not finite numbers", "try --precision fp32")
    scores.flags.writeable = False
    best = np.argsort(-scores, kind="stable")[: options.top].tolist()
    listed = tuple(ClassScore(manifest.labels[index], float(scores[index])) for index in best)
    return Result(
        clip=clip.name,
        duration_s=clip.duration_s,
        label=listed[0].label,
        score=listed[0].score,
        top=listed,
        budget=BudgetReport(
            asked=options.budget.asked,
            spent_gflops=ledger.spent_macs / 1e9,
            glances=int(seen.glanced.sum()),
            looks=len(seen.corners),
        ),
        exit=told.exit,
        moments=_moments(clip, seen, manifest),
        timing_ms=_timing(ledger, manifest.network),
        device=device,
        precision=precision,
        model=manifest.name,
        warnings=clip.warnings,
        probabilities=scores,
        runs=tuple(ledger.runs),
        spent_s=dict(ledger.spent_s),
        ahead_s=clip.prefetched_s,
    )


def _moments(clip: Clip, seen: MomentsTable, manifest: Manifest) -> tuple[MomentReport, ...]:
    given, side = manifest.preprocessing, float(seen.patch_size)
    geometry = frame_geometry(given)
    ranks = {moment: rank for rank, moment in enumerate(seen.corners)}
    rows = []
    for moment in clip.moments:
        index = moment.index
        box = None
        if side and index in seen.corners and clip.display_size is not None:
            box = geometry.to_source((*seen.corners[index], side, side), clip.display_size)
        alone = seen.moment_probabilities.get(index, seen.glance_probabilities.get(index))
        rows.append(
            MomentReport(
                index=index,
                time_s=moment.time_s,
                saliency=None if seen.saliency is None else float(seen.saliency[index]),
                glanced=bool(seen.glanced[index]),
                rank=ranks.get(index),
                box=box,
                label=None if alone is None else manifest.labels[int(alone.argmax())],
                score=None if alone is None else float(alone.max()),
            )
        )
    return tuple(rows)


def _timing(ledger: Ledger, network: Architecture) -> Timing:
    def spent(*names: str) -> float:
        return 1e3 * sum(ledger.spent_s.get(name, 0.0) for name in names)

    stages: dict[str, float] = {}
    for role in network.graphs:
        more = (FRONT_END,) if role.name == network.listener else ()
        stages[role.timing] = stages.get(role.timing, 0.0) + spent(*more, role.name)
    return Timing(spent(OPEN, DECODE, DECODE_AUDIO), stages, 1e3 * ledger.elapsed_s)
