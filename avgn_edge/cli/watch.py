"""`watch`: a live source, its events as lines or, on a terminal, a view that is kept up to date."""

from __future__ import annotations

import os
import sys
from collections import deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

from avgn_edge._base.errors import AvgnEdgeError, ClipError
from avgn_edge._base.text import printable
from avgn_edge.cli import console
from avgn_edge.cli.console import Interruptible
from avgn_edge.cli.formatting import counted
from avgn_edge.media.live.connection import Picture, Sound, Status
from avgn_edge.media.live.feed import Feed
from avgn_edge.media.live.live_reader import WallClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Group
    from rich.live import Live

    from avgn_edge.media.live.feed import Opened
    from avgn_edge.runtime.stream.events import Event, StreamUpdate
    from avgn_edge.runtime.stream.live_stream import Stream


TICK_S = 0.25
SHOWN_EVENTS = 8
INTERRUPTED = 130


@dataclass
class Tally:
    """What a stream has come to so far; it does not grow with the stream."""

    seconds: float = 0.0
    moments: int = 0
    events: int = 0
    gflops: float = 0.0
    lag_s: float | None = None
    """How far behind the source the latest answer was; None for a source that is not lived through in real time."""
    worst_lag_s: float | None = None
    frames_left_out: int = 0

    def add(self, update: StreamUpdate, now_s: float | None) -> None:
        """Count a moment that was told when it was second `now_s` of the stream."""
        self.moments += 1
        self.seconds = max(self.seconds, update.time_s)
        self.events += sum(event.event == "start" for event in update.events)
        self.gflops += update.gflops
        if now_s is not None:
            self.lag_s = now_s - update.time_s
            self.worst_lag_s = max(self.lag_s, self.worst_lag_s or 0.0)

    def text(self) -> str:
        """Say it to a person."""
        cost = self.gflops / self.seconds if self.seconds > 0 else 0.0
        parts = [
            f"{clock_time(self.seconds)} of stream",
            counted(self.moments, "moment"),
            counted(self.events, "event"),
        ]
        parts.append(f"{cost:.3f} GFLOPs a second")
        if self.worst_lag_s is not None:
            parts.append(f"at most {self.worst_lag_s:.2f} s behind")
        if self.frames_left_out:
            parts.append(f"{counted(self.frames_left_out, 'frame')} left out")
        return ", ".join(parts)


class StreamPrinter(Protocol):
    """How a stream is told."""

    def status(self, status: Status) -> None:
        """Tell what happened to the source."""
        ...

    def update(self, update: StreamUpdate, tally: Tally) -> None:
        """Tell a new moment, and what began or ended with it."""
        ...

    def end(self, tally: Tally) -> None:
        """Tell what it came to."""
        ...


class JsonPrinter:
    """One JSON object a line on stdout; the source's state there too, or on stderr for people."""

    def __init__(self, *, updates: bool, statuses: bool) -> None:
        self._updates, self._statuses = updates, statuses

    def status(self, status: Status) -> None:
        """Tell what happened to the source."""
        if self._statuses:
            console.json_line(status.to_dict())
        else:
            _note(status)

    def update(self, update: StreamUpdate, tally: Tally) -> None:
        """Tell a new moment, if asked to, and what began or ended with it."""
        for event in update.events:
            console.json_line(event.to_dict())
        if self._updates:
            console.json_line({**update.to_dict(), "lag_s": tally.lag_s})

    def end(self, tally: Tally) -> None:
        """Tell what it came to."""
        if self._statuses:
            console.json_line({"summary": asdict(tally)})
        else:
            console.note(tally.text())


class LinePrinter:
    """A line for people on stdout when a class begins and when it ends."""

    def status(self, status: Status) -> None:
        """Tell what happened to the source."""
        _note(status)

    def update(self, update: StreamUpdate, tally: Tally) -> None:  # noqa: ARG002 - as others are told
        """Tell what began or ended."""
        for event in update.events:
            console.data(event_line(event))

    def end(self, tally: Tally) -> None:
        """Tell what it came to."""
        console.note(tally.text())


class ViewPrinter:
    """A view on the terminal: the answer, the window's saliency, the last events, what it costs and how far behind."""

    def __init__(self, name: str) -> None:
        from rich.console import Console  # noqa: PLC0415 - 0.1 s that a pipe need not wait for
        from rich.live import Live  # noqa: PLC0415

        self._name = printable(name)
        self._events: deque[str] = deque(maxlen=SHOWN_EVENTS)
        self._status, self._rows = "", list[str]()
        self._live: Live = Live(console=Console(), auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._live.start()

    def status(self, status: Status) -> None:
        """Show what happened to the source."""
        self._status = printable(f"{status.status}: {status.text}")
        self._live.update(self._body(), refresh=True)

    def update(self, update: StreamUpdate, tally: Tally) -> None:
        """Show the new moment."""
        self._events.extend(map(event_line, update.events))
        self._rows = view(update, tally)
        self._live.update(self._body(), refresh=True)

    def end(self, tally: Tally) -> None:
        """Leave the last view standing."""
        self._live.stop()
        console.note(tally.text())

    def _body(self) -> Group:
        from rich.console import Group  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        shown = [f"{self._name}  {self._status}", *self._rows, "", *(self._events or ["no events yet"])]
        return Group(*(Text(row, no_wrap=True, overflow="ellipsis") for row in shown))


BARS = "▁▂▃▄▅▆▇█"


def view(update: StreamUpdate, tally: Tally) -> list[str]:
    """The rows of the view for one update."""
    bars = "".join(BARS[min(7, max(0, int(8 * moment.saliency)))] for moment in update.moments)
    marks = "".join("◉" if moment.looked else "○" if moment.glanced else "·" for moment in update.moments)
    sound = "".join("♪" if moment.heard else " " for moment in update.moments)
    best = "  ".join(f"{printable(score.label)} {score.score:.2f}" for score in update.top[:3])
    lag = "" if tally.lag_s is None else f", {tally.lag_s:.2f} s behind"
    return [
        f"{clock_time(update.time_s)}  {best}",
        f"now       {', '.join(map(printable, update.running)) or '-'}",
        f"saliency  {bars}",
        f"seen      {marks}  (○ glance, ◉ look)",
        f"heard     {sound}",
        f"cost      {update.gflops_per_s:.3f} GFLOPs a second, {update.ms:.0f} ms this moment{lag}",
    ]


def event_line(event: Event) -> str:
    """One event as a line for people; live ones have the time of day."""
    at = event.start_utc if event.event == "start" else event.end_utc
    when = clock_time(event.start_s if event.end_s is None else event.end_s) if at is None else at
    lasted = "" if event.end_s is None else f"  after {event.end_s - event.start_s:.1f} s"
    return f"{when}  {event.event:<5}  {printable(event.label)} {event.score:.2f}{lasted}"


def clock_time(seconds: float) -> str:
    """Write seconds as h:mm:ss.s."""
    tenths = round(10 * max(0.0, seconds))
    return f"{tenths // 36_000}:{tenths // 600 % 60:02d}:{tenths // 10 % 60:02d}.{tenths % 10}"


def teller(name: str, *, as_json: bool, as_text: bool, updates: bool) -> StreamPrinter:
    """Choose how to tell: a view where stdout is a terminal, else JSON lines, or lines for people if asked."""
    if as_text:
        return LinePrinter()
    attended = sys.stdout is not None and sys.stdout.isatty()
    if as_json or updates or not attended:
        return JsonPrinter(updates=updates, statuses=as_json)
    return LinePrinter() if os.environ.get("TERM") in {None, "dumb"} else ViewPrinter(name)


def parse_speed(text: str) -> float | None:
    """Read --speed: a number, or `max` (None)."""
    if text.strip().lower() == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.01 <= speed <= 1000:
        raise AvgnEdgeError(f"speed {text!r}", "it is no number from 0.01 to 1000", "write it as 1, 8 or max")
    return speed


def watch(stream: Stream, opened: Sequence[Opened], told: StreamPrinter, *, debug: bool = False) -> int:
    """Watch until the source ends; return the exit code: 0, 1 where it was given up, 130 after Ctrl-C.

    What is not read in real time is neither hurried nor dropped.
    """
    reading = opened[0][0]
    patient = not reading.live and reading.speed is None
    tally, code = Tally(), 0
    with Interruptible() as interruptible, Feed(opened, WallClock(), patient=patient) as feed:

        def tell(updates: Sequence[StreamUpdate]) -> None:
            tally.frames_left_out = feed.inbox.dropped_pictures
            for update in updates:
                tally.add(update, None if patient else feed.now_s * (reading.speed or 1.0))
                told.update(update, tally)

        try:
            while not feed.inbox.over:
                item = feed.inbox.get(TICK_S)
                with interruptible.held():
                    if isinstance(item, Status):
                        told.status(item)
                    elif isinstance(item, Picture):
                        tell(stream.push_frame(item.frame, item.time_s))
                    elif isinstance(item, Sound):
                        tell(stream.push_audio(item.frame, None, item.time_s))
        except KeyboardInterrupt:
            interruptible.caught()
            code = INTERRUPTED
        except ClipError as error:
            console.failure(error, debug=debug)
            code = 1
        try:
            tell(stream.finish())
        except ClipError as error:  # a network that gave no numbers will not have become better
            if code != 1:
                console.failure(error, debug=debug)
            code = 1
        told.end(tally)
    return code


def _note(status: Status) -> None:
    console.note(f"{status.source}: {status.status}: {status.text}")
