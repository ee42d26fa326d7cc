"""Reads one source for as long as it is wanted: paces it, places it in time, and opens it again when it is lost."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event
from typing import Final, Literal, Protocol

import av
import av.error

from avgn_edge._base.errors import ClipError
from avgn_edge.media.live.connection import Connection, Item, Picture, Piece, Sound, State, Status
from avgn_edge.media.source import LIBRARY_ERRORS, reason


class Clock(Protocol):
    """Tells the time and waits."""

    def now(self) -> float:
        """Seconds, from anywhere, never falling."""
        ...

    def wait(self, seconds: float, stop: Event) -> bool:
        """Wait, or until `stop`; tell whether it was `stop`."""
        ...


class WallClock:
    """The machine's."""

    def now(self) -> float:
        """Seconds, from anywhere, never falling."""
        return time.monotonic()

    def wait(self, seconds: float, stop: Event) -> bool:
        """Wait, or until `stop`; tell whether it was `stop`."""
        return stop.wait(max(0.0, seconds))


Kind = Literal["video", "audio"]
AHEAD_S: Final = 5.0
BACK_S: Final = 1.0
"""Time stamps further ahead of, or behind, the one before than this have jumped."""
TOGETHER_S: Final = 1.0
"""A track that jumps to within this of where the other already is has jumped with it."""


class Timeline:
    """Keeps video and sound on one clock. Each track has its shift, the same one for both unless one jumps alone."""

    def __init__(self) -> None:
        self._shift: dict[Kind, float] = {}
        self._due: dict[Kind, float] = {}
        self._base: float | None = None

    def connect(self, now_s: float) -> None:
        """A connection begins: its first time stamp is at second `now_s` of the stream."""
        self._shift.clear()
        self._due.clear()
        self._base = now_s

    def place(self, kind: Kind, time_s: float | None, lasts_s: float, now_s: float | None = None) -> float:
        """Return the second of the stream at which the source's `time_s` is.

        `now_s` is where a track that jumped goes on: for a live source what the clock says, None: where it left off.
        """
        due = self._due.get(kind)
        if time_s is None:
            placed = due if due is not None else max(self._due.values(), default=self._base or 0.0)
            self._due[kind] = placed + lasts_s
            return placed
        if kind not in self._shift:
            self._shift[kind] = next(iter(self._shift.values()), (self._base or 0.0) - time_s)
            # The first of a track may lie a little before the other's first, or far from it.
            if self._due and not -AHEAD_S <= time_s + self._shift[kind] - max(self._due.values()) <= AHEAD_S:
                self._shift[kind] = max(self._due.values()) - time_s
        elif due is not None and not -BACK_S <= time_s + self._shift[kind] - due <= AHEAD_S:
            self._shift[kind] = self._after_jump(kind, time_s, due if now_s is None else max(due, now_s))
        placed = time_s + self._shift[kind]
        self._due[kind] = placed + lasts_s
        return placed

    def move(self, seconds: float) -> None:
        """Let everything be later by `seconds`: the source's clock runs slower, or faster, than ours."""
        for kind in self._shift:
            self._shift[kind] += seconds
            self._due[kind] += seconds

    def _after_jump(self, kind: Kind, time_s: float, goes_on_s: float) -> float:
        for other, shift in self._shift.items():
            if other != kind and abs(time_s + shift - self._due[other]) <= TOGETHER_S:
                return shift
        return goes_on_s - time_s


FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 30.0
WAITED_S: Final = 0.002
"""Who is kept waiting for this long by a source has caught up with it."""
DRIFT_S: Final = 0.5
PERIOD_S: Final = 60.0
"""Where all that comes in a period is late, or early, by more than `DRIFT_S`, the two clocks have come apart."""
HURRY_S: Final = (1.0, 3.0)
"""Behind by this much, frames that no other needs are not decoded; by this much, only key frames are."""
CALM_S: Final = 0.3
_LEFT_OUT: Final = ("", "frames that no other needs are left out", "all but key frames are left out")


@dataclass(frozen=True)
class Reading:
    """How a source is read."""

    name: str
    live: bool = True
    """Time goes on while it is lost, and it has its time from our clock when it comes back."""
    again: bool = True
    """Whether to open it again when it is lost."""
    speed: float | None = None
    """Hand out no faster than so many times real time; None as it comes."""
    drains: bool = True
    """Whether its data come when they come; a file's are always there."""
    give_up_s: float | None = None
    """How long to try to get it back; None for ever."""


class Drift:
    """Tells when a source's time is to be moved; segments that come at once, or a pause that is made up, are none."""

    def __init__(self, now: float) -> None:
        self._since, self._least_s, self._most_s = now, math.inf, -math.inf

    def seen(self, now: float, after_s: float) -> float:
        """Note how long after its time a piece came; return by how many seconds to move what follows, mostly 0."""
        self._least_s, self._most_s = min(self._least_s, after_s), max(self._most_s, after_s)
        if now - self._since < PERIOD_S:
            return 0.0
        least_s, most_s = self._least_s, self._most_s
        self._since, self._least_s, self._most_s = now, math.inf, -math.inf
        if least_s > DRIFT_S:
            return least_s
        return most_s if most_s < -DRIFT_S else 0.0


class Reader:
    """Delivers what one source does. Not for several threads; `stop` ends it from another."""

    def __init__(
        self,
        reading: Reading,
        connect: Callable[[], Connection],
        clock: Clock,
        stop: Event,
        started: float | None = None,
    ) -> None:
        self._reading, self._connect, self._clock, self._stop = reading, connect, clock, stop
        self._started = clock.now() if started is None else started
        self._timeline = Timeline()
        self._hurry = 0
        self._behind_s = 0.0  # how far its time is behind our clock for no fault of ours
        self._first_s = 0.0
        self._drift = Drift(self._started)

    def items(self) -> Iterator[Item]:
        """Deliver until the end, or until it is stopped. ClipError where the source is given up."""
        reading, wait_s = self._reading, FIRST_WAIT_S
        lost_at: float | None = None
        while not self._stop.is_set():
            try:
                connection = self._connect()
            except (ClipError, *LIBRARY_ERRORS) as error:
                why = error.why if isinstance(error, ClipError) else _why(error)
                if not (reading.live and reading.again):
                    raise error if isinstance(error, ClipError) else self._gone(why) from error
            else:
                yield self._status("connected", connection.what)
                why, came = "", False
                try:
                    for item in self._play(connection):
                        lost_at, wait_s, came = None, FIRST_WAIT_S, True
                        yield item
                except LIBRARY_ERRORS as error:
                    why = _why(error)
                finally:
                    connection.close()
                if self._stop.is_set():
                    return
                if why and not came and not reading.again:
                    raise self._gone(why)
                if connection.ends or not reading.again:
                    yield self._status("ended", why or "it is over")
                    return
                why = why or "it ended"
            now = self._clock.now()
            lost_at = now if lost_at is None else lost_at
            left_s = float("inf") if reading.give_up_s is None else lost_at + reading.give_up_s - now
            if left_s <= 0:
                raise self._gone(f"{why}, and it did not come back in {reading.give_up_s:g} s")
            yield self._status("lost", why)
            wait_s_now = min(wait_s, left_s)
            yield self._status("reconnecting", f"in {wait_s_now:g} s")
            if self._clock.wait(wait_s_now, self._stop):
                return
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    # --- a connection

    def _play(self, connection: Connection) -> Iterator[Item]:
        self._timeline.connect(self._now_s() if self._reading.live else 0.0)
        self._first_s = self._clock.now() if not self._reading.live else self._started
        self._hurry, self._behind_s = 0, 0.0
        self._drift = Drift(self._first_s)
        for piece in connection.pieces():
            video = isinstance(piece.frame, av.VideoFrame)
            now_s = self._now_s() if self._reading.live else None
            time_s = self._timeline.place("video" if video else "audio", piece.time_s, piece.lasts_s, now_s)
            after_s = self._after_s(time_s)
            if self._reading.speed is not None and after_s < self._behind_s:
                if self._clock.wait(self._behind_s - after_s, self._stop):
                    return
                after_s = self._behind_s
            yield from self._hurried(connection, self._late_s(piece, after_s))
            if isinstance(piece.frame, av.VideoFrame):
                yield Picture(piece.frame, time_s)
            else:
                yield Sound(piece.frame, time_s)
            if self._stop.is_set():
                return
            if self._reading.live:
                moved = self._drift.seen(self._clock.now(), after_s)
                self._timeline.move(moved)
                self._behind_s -= moved

    def _now_s(self) -> float:
        return self._clock.now() - self._started

    def _after_s(self, time_s: float) -> float:
        """How long after its time, by our clock, a piece comes; below 0 it is early."""
        return self._clock.now() - self._first_s - time_s / (self._reading.speed or 1.0)

    def _late_s(self, piece: Piece, after_s: float) -> float:
        """How late a piece is because we are slow: what the source itself is late with is forgiven."""
        if self._reading.drains and (after_s < self._behind_s or piece.waited_s > WAITED_S):
            self._behind_s = after_s
        return after_s - self._behind_s

    def _hurried(self, connection: Connection, late_s: float) -> Iterator[Status]:
        if self._reading.speed is None and not self._reading.live:
            return  # as fast as it is taken: nobody is late
        level = 0 if late_s < CALM_S else max(self._hurry, sum(late_s > limit for limit in HURRY_S))
        if level == self._hurry:
            return
        text = f"{late_s:.1f} s behind: {_LEFT_OUT[level]}" if level else "caught up: every frame is decoded again"
        self._hurry = level
        connection.set_skip_level(level)
        yield self._status("behind", text)

    def _status(self, status: State, text: str) -> Status:
        return Status(status, text, self._reading.name)

    def _gone(self, why: str) -> ClipError:
        return ClipError(self._reading.name, why, "check that it is there, and start again")


def _why(error: BaseException) -> str:
    if isinstance(error, av.error.ExitError):  # how FFmpeg says that PyAV's time limit has passed
        return "nothing came for too long"
    return reason(error)
