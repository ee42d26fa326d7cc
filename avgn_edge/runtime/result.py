"""What a classified clip comes back as: frozen dataclasses with `to_dict()`, the JSON of `classify --json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from avgn_edge.runtime.budget import Run
from avgn_edge.runtime.moments_table import MomentReport

if TYPE_CHECKING:
    import os

    from avgn_edge.runtime.overlay import Overlay, Pictures


Exit = Literal["confident", "budget", "looks", "no-visual"]


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
    duration_s: float
    label: str
    score: float
    top: tuple[ClassScore, ...]
    budget: BudgetReport
    exit: Exit | None
    moments: tuple[MomentReport, ...]
    timing_ms: Timing
    device: str
    precision: str
    model: str
    warnings: tuple[str, ...]
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
        """Return the frames that were looked at with their boxes drawn, and the patches, in the order of the looks.

        `source` is what was classified: a path, the bytes of a file, a binary file object read from its beginning, or
        a clip (an `ArrayClip`, or what `open_clip` returned, which stays open). Only the frames looked at are decoded,
        in their own size: see `Overlay` for shapes. Empty where no look was taken. ClipError for what cannot be read,
        and for another clip, as far as its moments tell.
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
