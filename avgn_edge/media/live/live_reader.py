"""Reads one live source: paces it, places it in the stream's time, and opens it again when it is lost."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event
from typing import Final, Literal

import av
import av.error

from avgn_edge._base.errors import ClipError
from avgn_edge.media.live.connection import Connection, Item, Picture, Piece, Sound, State, Status
from avgn_edge.media.source import LIBRARY_ERRORS, reason

Kind = Literal["video", "audio"]
AHEAD_S: Final = 5.0
BACK_S: Final = 1.0
"""Time stamps further ahead of, or behind, the one before than this have jumped."""
TOGETHER_S: Final = 1.0
"""A track that jumps to within this of the other's time has jumped along with it."""
FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 30.0
WAITED_S: Final = 0.002
"""A reader that had to wait for a source so long has caught up with it."""
DRIFT_S: Final = 0.5
PERIOD_S: Final = 60.0
"""If everything that comes in a period is late, or early, by more than `DRIFT_S`, the two clocks have come apart."""
SKIP_AFTER_S: Final = (1.0, 3.0)
"""Behind by more than these, the skip level is 1 and 2: see `Connection.set_skip_level`."""
CAUGHT_UP_S: Final = 0.3
"""Behind by less than this, every frame is decoded again."""
_LEFT_OUT: Final = ("", "frames that no other needs are left out", "all but key frames are left out")


class WallClock:
    """Tells the time and waits, by the machine's clock."""

    def now(self) -> float:
        """Return the seconds since some fixed moment; they never fall."""
        return time.monotonic()

    def wait(self, seconds: float, stop: Event) -> bool:
        """Wait so many seconds, or until `stop` is set; return whether it is."""
        return stop.wait(max(0.0, seconds))


class Timeline:
    """Puts video and sound on one clock.

    Each track has a shift from the source's time to the stream's: the same for both unless one jumps alone.
    """

    def __init__(self) -> None:
        self._shift: dict[Kind, float] = {}
        self._due: dict[Kind, float] = {}
        self._base: float | None = None

    def connect(self, now_s: float) -> None:
        """Begin with a new connection, whose first time stamp is at second `now_s` of the stream."""
        self._shift.clear()
        self._due.clear()
        self._base = now_s

    def place(self, kind: Kind, time_s: float | None, lasts_s: float, now_s: float | None = None) -> float:
        """Return the second of the stream for a time of the source.

        Args:
            kind: The track.
            time_s: The source's time; None goes on where the track left off.
            lasts_s: How long the frame or piece of sound lasts.
            now_s: Where a track goes on that jumped, for a live source the clock's second of the stream; None goes on
                where it left off.
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
        """Make everything later by `seconds`, because the source's clock runs slower, or faster, than ours."""
        for kind in self._shift:
            self._shift[kind] += seconds
            self._due[kind] += seconds

    def _after_jump(self, kind: Kind, time_s: float, goes_on_s: float) -> float:
        for other, shift in self._shift.items():
            if other != kind and abs(time_s + shift - self._due[other]) <= TOGETHER_S:
                return shift
        return goes_on_s - time_s


@dataclass(frozen=True)
class Reading:
    """How to read a source."""

    name: str
    live: bool = True
    """Whether the stream's time goes on while the source is lost."""
    again: bool = True
    """Whether to open it again when it is lost."""
    speed: float | None = None
    """Deliver no faster than so many times real time; None is as it comes."""
    drains: bool = True
    """Whether we may have to wait for data: those of a file are always there."""
    give_up_s: float | None = None
    """How long to try to open it again; None is for ever."""


class Drift:
    """Notices that a source's clock and ours come apart.

    A segment that comes all at once, or a pause that is made up for, is no drift: some pieces are in time then.
    """

    def __init__(self, now: float) -> None:
        self._since, self._least_s, self._most_s = now, math.inf, -math.inf

    def seen(self, now: float, after_s: float) -> float:
        """Note how long after its time a piece came; return by how many seconds to move what follows: mostly 0."""
        self._least_s, self._most_s = min(self._least_s, after_s), max(self._most_s, after_s)
        if now - self._since < PERIOD_S:
            return 0.0
        least_s, most_s = self._least_s, self._most_s
        self._since, self._least_s, self._most_s = now, math.inf, -math.inf
        if least_s > DRIFT_S:
            return least_s
        return most_s if most_s < -DRIFT_S else 0.0


class Reader:
    """Reads one source.

    Args:
        reading: How to read it.
        connect: Opens it; raises ClipError or what FFmpeg raises.
        clock: Tells the time.
        stop: Set by another thread, it ends the reading.
        started: The clock's time at second 0 of the stream; None is now.
    """

    def __init__(
        self,
        reading: Reading,
        connect: Callable[[], Connection],
        clock: WallClock,
        stop: Event,
        started: float | None = None,
    ) -> None:
        self._reading, self._connect, self._clock, self._stop = reading, connect, clock, stop
        self._started = clock.now() if started is None else started
        self._timeline = Timeline()
        self._skip_level = 0
        self._behind_s = 0.0  # how far the source itself is behind our clock
        self._first_s = 0.0
        self._drift = Drift(self._started)

    def items(self) -> Iterator[Item]:
        """Deliver until the end, or until it is stopped. Raises ClipError where the source is given up."""
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
        self._skip_level, self._behind_s = 0, 0.0
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
            yield from self._skip_if_late(connection, self._late_s(piece, after_s))
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
        """Return how long after its time, by our clock, a piece comes; below 0 it is early."""
        return self._clock.now() - self._first_s - time_s / (self._reading.speed or 1.0)

    def _late_s(self, piece: Piece, after_s: float) -> float:
        """Return how late a piece is because we are slow, without what the source itself is late."""
        if self._reading.drains and (after_s < self._behind_s or piece.waited_s > WAITED_S):
            self._behind_s = after_s
        return after_s - self._behind_s

    def _skip_if_late(self, connection: Connection, late_s: float) -> Iterator[Status]:
        if self._reading.speed is None and not self._reading.live:
            return  # it is read as fast as it is taken, and cannot be late
        level = 0 if late_s < CAUGHT_UP_S else max(self._skip_level, sum(late_s > limit for limit in SKIP_AFTER_S))
        if level == self._skip_level:
            return
        text = f"{late_s:.1f} s behind: {_LEFT_OUT[level]}" if level else "caught up: every frame is decoded again"
        self._skip_level = level
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
