"""What a stream tells: the answer at each moment, and events, when a class begins and ends."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from avgn_edge._base.arguments import number
from avgn_edge._base.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from avgn_edge.runtime.result import ClassScore


@dataclass(frozen=True)
class EventSettings:
    """When a class begins and ends. Times are seconds of the stream."""

    on: float = 0.55
    """The smoothed evidence, 0…1, above which a class begins."""
    off: float = 0.2
    """The one below which it ends."""
    smoothing_s: float = 0.5
    """Time constant of the smoothing; 0 is none."""
    min_duration_s: float = 0.0
    """How long a class must last to be told at all; its start is told that much later."""
    cooldown_s: float = 1.0
    """How long after its end a class does not begin again."""

    def __post_init__(self) -> None:
        for name in ("on", "off"):
            number(name, getattr(self, name))
        if not 0 < self.off <= self.on <= 1:
            raise ArgumentError("event settings", "the thresholds do not obey 0 < off ≤ on ≤ 1", "give others")
        for name in ("smoothing_s", "min_duration_s", "cooldown_s"):
            number(name, getattr(self, name), 0.0)


@dataclass(frozen=True)
class Event:
    """A class began or ended."""

    event: Literal["start", "end"]
    label: str
    score: float
    """The most evidence so far, smoothed, 0…1."""
    start_s: float
    """Seconds of the stream."""
    end_s: float | None
    """None at the start."""
    start_utc: str | None = None
    """ISO 8601; None for a stream that is not live."""
    end_utc: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; what is not known is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass
class _Running:
    """A class that is above its threshold."""

    began_s: float
    peak: float
    told: bool = False


class EventFinder:
    """Follows the evidence of every class; what it remembers does not grow."""

    def __init__(self, labels: Sequence[str], settings: EventSettings, epoch_s: float | None = None) -> None:
        self._labels, self._settings, self._epoch_s = tuple(labels), settings, epoch_s
        self._level = np.zeros(len(self._labels))
        self._rising_s: list[float | None] = [None] * len(self._labels)
        self._ended_s = np.full(len(self._labels), -np.inf)
        self._running: dict[int, _Running] = {}
        self._time_s: float | None = None

    @property
    def level(self) -> NDArray[np.float64]:
        """The smoothed evidence of each class, [C]."""
        level: NDArray[np.float64] = self._level.copy()
        return level

    @property
    def running(self) -> tuple[str, ...]:
        """The classes that have begun and not ended."""
        return tuple(self._labels[at] for at, running in self._running.items() if running.told)

    def take(self, time_s: float, saliency: float, scores: NDArray[np.floating]) -> list[Event]:
        """Take the next moment: its time, its saliency and what it says of each class, [C]; return what begins, ends.

        The ends come first. A moment that is not later than the one before counts as one that comes at once after it.
        """
        settings = self._settings
        evidence = min(max(saliency, 0.0), 1.0) * scores.astype(np.float64)
        passed = math.inf if self._time_s is None else max(0.0, time_s - self._time_s)
        keep = math.exp(-passed / settings.smoothing_s) if settings.smoothing_s > 0 else 0.0
        if self._time_s is None:
            keep = 0.0
        self._level = keep * self._level + (1 - keep) * evidence
        self._time_s = time_s
        ended = [event for at in list(self._running) if (event := self._end(at, time_s)) is not None]
        for at in range(len(self._labels)):
            if evidence[at] < settings.off and at not in self._running:
                self._rising_s[at] = None
            elif self._rising_s[at] is None:
                self._rising_s[at] = time_s
            cool = time_s - self._ended_s[at] >= settings.cooldown_s
            if at not in self._running and self._level[at] >= settings.on and cool:
                self._running[at] = _Running(self._began(at, time_s), float(self._level[at]))
        return ended + [event for at in self._running if (event := self._start(at, time_s)) is not None]

    def finish(self) -> list[Event]:
        """End what is running: the stream is over, or time begins anew."""
        time_s = self._time_s
        if time_s is None:
            return []
        events = [self._event("end", at, running, time_s) for at, running in self._running.items() if running.told]
        self._running.clear()
        self._level[:] = 0.0
        self._rising_s = [None] * len(self._labels)
        self._ended_s[:] = -np.inf
        self._time_s = None
        return events

    def _began(self, at: int, time_s: float) -> float:
        rising = self._rising_s[at]
        return time_s if rising is None else rising

    def _start(self, at: int, time_s: float) -> Event | None:
        running = self._running[at]
        running.peak = max(running.peak, float(self._level[at]))
        if running.told or time_s - running.began_s < self._settings.min_duration_s:
            return None
        running.told = True
        return self._event("start", at, running, None)

    def _end(self, at: int, time_s: float) -> Event | None:
        if self._level[at] >= self._settings.off:
            return None
        running = self._running.pop(at)
        if not running.told:
            return None
        self._ended_s[at] = time_s
        return self._event("end", at, running, time_s)

    def _event(self, kind: Literal["start", "end"], at: int, running: _Running, end_s: float | None) -> Event:
        return Event(
            kind,
            self._labels[at],
            running.peak,
            running.began_s,
            end_s,
            self._utc(running.began_s),
            None if end_s is None else self._utc(end_s),
        )

    def _utc(self, time_s: float) -> str | None:
        if self._epoch_s is None:
            return None
        return datetime.fromtimestamp(self._epoch_s + time_s, tz=timezone.utc).isoformat(timespec="milliseconds")


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
