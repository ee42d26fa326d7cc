"""What a stream tells with each new moment: frozen dataclasses with `to_dict()`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avgn_edge.runtime.result import ClassScore
    from avgn_edge.streaming.events import Event


@dataclass(frozen=True)
class StreamMoment:
    """One of the moments of the window."""

    time_s: float
    """Seconds of the stream."""
    saliency: float
    """s_t, as of now."""
    heard: bool
    """Whether there was sound around it."""
    glanced: bool
    looked: bool
    label: str | None
    """What the moment says by itself; None where nothing was run on it."""
    score: float | None
    box: tuple[float, float, float, float] | None
    """x, y, width, height of the patch in pixels of the frame as displayed; None without a look."""


@dataclass(frozen=True)
class StreamUpdate:
    """The answer after a new moment, the last of `moments`."""

    count: int
    """Moments so far, this one included."""
    time_s: float
    """The moment's, in seconds of the stream."""
    label: str
    """The best class of the window of the last moments."""
    score: float
    top: tuple[ClassScore, ...]
    moments: tuple[StreamMoment, ...]
    """The window in order of time, up to 16."""
    events: tuple[Event, ...]
    """What began or ended with this moment."""
    running: tuple[str, ...]
    """The classes that have begun and not ended."""
    gflops: float
    """10^9 multiply-accumulates that this moment cost: the exact sum over the graph runs."""
    gflops_per_s: float
    """The mean over the window."""
    ms: float
    """What this moment took, in milliseconds."""

    def __repr__(self) -> str:
        events = "".join(f", {one.event} of {one.label!r}" for one in self.events)
        return f"<StreamUpdate {self.count} at {self.time_s:.2f} s: {self.label!r} {self.score:.2f}{events}>"

    @property
    def moment(self) -> StreamMoment:
        """The new moment."""
        return self.moments[-1]

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: the new moment in full, of the window the saliency alone."""
        moment = asdict(self.moment)
        return {
            "event": "update",
            **{name: getattr(self, name) for name in ("count", "time_s", "label", "score")},
            "top": [asdict(score) for score in self.top],
            "moment": {**moment, "box": None if self.moment.box is None else list(self.moment.box)},
            "saliency": [moment.saliency for moment in self.moments],
            "running": list(self.running),
            **{name: getattr(self, name) for name in ("gflops", "gflops_per_s", "ms")},
        }
