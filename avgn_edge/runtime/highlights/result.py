"""What `highlights` comes back as: frozen dataclasses with `to_dict()`, the JSON of `highlights --json`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from avgn_edge.runtime.sessions import Flags, Floats


DIGITS = 4
"""Behind the point, in the JSON's timeline."""


@dataclass(frozen=True)
class Cut:
    """A file that holds a segment, not encoded again: it begins at a key frame, so often a little earlier."""

    file: str
    start_s: float
    """The second of the video at which it really begins."""
    end_s: float


@dataclass(frozen=True)
class Segment:
    """A highlight. Times are seconds of the video."""

    rank: int
    """1 for the best."""
    start_s: float
    end_s: float
    peak_s: float
    score: float
    """At the peak, 0…1: saliency times how sure the moment's own answer is."""
    label: str
    """The class that is heard and seen there."""
    label_score: float
    """Its probability, 0…1."""
    clip: Cut | None = None
    """Where it was cut out to; None where it was not."""


@dataclass(frozen=True)
class Timeline:
    """Of every moment, in order of time, [n] each; read only."""

    time_s: NDArray[np.float64]
    saliency: Floats
    """s_t, averaged over the windows that hold the moment."""
    score: Floats
    """0…1, as a segment's."""
    heard: Flags
    glanced: Flags

    def to_dict(self) -> dict[str, list[Any]]:
        """The JSON form: a list each."""
        return {
            "time_s": self.time_s.round(3).tolist(),
            "saliency": [round(float(value), DIGITS) for value in self.saliency],
            "score": [round(float(value), DIGITS) for value in self.score],
            "heard": self.heard.tolist(),
            "glanced": self.glanced.tolist(),
        }


@dataclass(frozen=True)
class Spending:
    """What was asked for and what was spent. GFLOPs are 10^9 multiply-accumulates."""

    asked: str
    """The budget as it was asked for; "default" where it was not."""
    limit_gflops: float | None
    """What that comes to for this video; None is no limit."""
    spent_gflops: float
    """The exact sum over the graph runs that happened."""
    one_a_second_gflops: float
    """What f_G on one frame a second would cost."""
    glances: int
    moments: int


@dataclass(frozen=True)
class Highlights:
    """The salient segments of a video, the best first."""

    video: str
    duration_s: float
    segments: tuple[Segment, ...]
    budget: Spending
    device: str
    precision: str
    model: str
    warnings: tuple[str, ...]
    timeline: Timeline = field(compare=False, repr=False)

    def __repr__(self) -> str:
        best = "".join(f", best {one.label!r} {one.score:.2f} at {one.peak_s:.1f} s" for one in self.segments[:1])
        spent = f"{self.budget.spent_gflops:.2f} GFLOPs"
        return f"<Highlights of {self.video!r}: {len(self.segments)} segments{best}, {spent}>"

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "video": self.video,
            "duration_s": round(self.duration_s, 3),
            "segments": [asdict(segment) for segment in self.segments],
            "budget": asdict(self.budget),
            "device": self.device,
            "precision": self.precision,
            "model": self.model,
            "warnings": list(self.warnings),
            "timeline": self.timeline.to_dict(),
        }
