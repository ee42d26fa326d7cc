"""`watch`: a live source, its events as lines or, on a terminal, a view that is kept up to date."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from avgn_edge._base.errors import AvgnEdgeError, ClipError
from avgn_edge._base.text import printable
from avgn_edge.cli import console
from avgn_edge.cli.console import Interruptible
from avgn_edge.cli.formatting import clock, counted
from avgn_edge.cli.shared import Device, PackagedModel, Precision, Threads
from avgn_edge.media.live.connection import Picture, Sound, Status
from avgn_edge.media.live.feed import Feed, Opened, sources
from avgn_edge.media.live.live_reader import WallClock
from avgn_edge.runtime.recognizer import Recognizer
from avgn_edge.runtime.stream.events import Event, StreamUpdate
from avgn_edge.runtime.stream.live_stream import Stream

if TYPE_CHECKING:
    from rich.live import Live

TICK_S = 0.25
SHOWN_EVENTS = 8
BARS = "▁▂▃▄▅▆▇█"


def command(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A camera such as /dev/video0, an address, a file, or - for stdin.")
    ],
    model: PackagedModel = None,
    budget: Annotated[
        str, typer.Option("--budget", "-b", metavar="B", help="A second: 1gflops, 250mflops, 50ms or none.")
    ] = "1gflops",
    every: Annotated[
        float | None, typer.Option(metavar="S", help="Seconds from moment to moment. [default: 0.6]")
    ] = None,
    microphone: Annotated[
        str | None, typer.Option(metavar="KIND:DEVICE", help="Sound for a camera, as alsa:default.")
    ] = None,
    speed: Annotated[
        str, typer.Option(metavar="X", help="Of a file: 1 is real time; max is as fast as it is taken.")
    ] = "1",
    give_up: Annotated[
        float | None, typer.Option(metavar="S", min=0, help="How long to try to get a lost source back. [default: on]")
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
    updates: Annotated[bool, typer.Option("--updates", help="A JSON line for every moment too.")] = False,
    as_text: Annotated[bool, typer.Option("--text", help="Lines for people, on a terminal and in a pipe.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON lines on a terminal too, the state of the source among them.")
    ] = False,
) -> None:
    """Watch a live source: a line when something begins, and when it ends. In a pipe JSON lines, else a view."""
    opened = sources(source, microphone, speed=read_speed(speed), give_up_s=give_up)
    with Recognizer.open(model, device, precision, threads=threads) as recognizer:
        stream = recognizer.stream(budget, every_s=every, epoch_s=time.time() if opened[0][0].live else None)
        printer = choose_printer(opened[0][0].name, as_json=as_json, as_text=as_text, updates=updates)
        code = watch(stream, opened, printer, debug=context.obj)
    raise typer.Exit(code)


def read_speed(text: str) -> float | None:
    """Read the value of --speed: a number, or None for `max`; AvgnEdgeError for anything else."""
    if text.strip().lower() == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.01 <= speed <= 1000:
        raise AvgnEdgeError(f"speed {text!r}", "it is no number from 0.01 to 1000", "write it as 1, 8 or max")
    return speed


@dataclass
class Tally:
    """Sums over a stream so far, of a size that does not grow with the stream."""

    seconds: float = 0.0
    moments: int = 0
    events: int = 0
    gflops: float = 0.0
    lag_s: float | None = None
    """How far behind the source the latest answer was; None for a source that is not read in real time."""
    worst_lag_s: float | None = None
    frames_left_out: int = 0

    def add(self, update: StreamUpdate, now_s: float | None) -> None:
        """Count a moment that was answered at second `now_s` of the stream; None where nobody waits for it."""
        self.moments += 1
        self.seconds = max(self.seconds, update.time_s)
        self.events += sum(event.event == "start" for event in update.events)
        self.gflops += update.gflops
        if now_s is not None:
            self.lag_s = now_s - update.time_s
            self.worst_lag_s = max(self.lag_s, self.worst_lag_s or 0.0)

    def text(self) -> str:
        """Return the line that sums it up for a person."""
        cost = self.gflops / self.seconds if self.seconds > 0 else 0.0
        parts = [
            f"{clock(self.seconds, hours=True)} of stream",
            counted(self.moments, "moment"),
            counted(self.events, "event"),
            f"{cost:.3f} GFLOPs a second",
        ]
        if self.worst_lag_s is not None:
            parts.append(f"at most {self.worst_lag_s:.2f} s behind")
        if self.frames_left_out:
            parts.append(f"{counted(self.frames_left_out, 'frame')} left out")
        return ", ".join(parts)


class LinePrinter:
    """Prints a line for people when a class begins and when it ends; the state of the source goes to stderr."""

    def __init__(self) -> None:
        self.tally = Tally()

    def status(self, status: Status) -> None:
        """Print what happened to the source."""
        console.note(f"{status.source}: {status.status}: {status.text}")

    def update(self, update: StreamUpdate) -> None:
        """Print what began or ended with a new moment."""
        console.data_lines(map(event_line, update.events))

    def end(self) -> None:
        """Print the sums."""
        console.note(self.tally.text())


class JsonPrinter(LinePrinter):
    """Prints one JSON object a line.

    Args:
        updates: a line for every moment too.
        statuses: the state of the source and the sums are JSON on stdout as well, not notes on stderr.
    """

    def __init__(self, *, updates: bool, statuses: bool) -> None:
        super().__init__()
        self._updates, self._statuses = updates, statuses

    def status(self, status: Status) -> None:
        """Print what happened to the source."""
        if self._statuses:
            console.json_line(status.to_dict())
        else:
            super().status(status)

    def update(self, update: StreamUpdate) -> None:
        """Print what began or ended with a new moment and, if asked to, the moment."""
        for event in update.events:
            console.json_line(event.to_dict())
        if self._updates:
            console.json_line({**update.to_dict(), "lag_s": self.tally.lag_s})

    def end(self) -> None:
        """Print the sums."""
        if self._statuses:
            console.json_line({"summary": asdict(self.tally)})
        else:
            super().end()


class ViewPrinter(LinePrinter):
    """Keeps a view on the terminal: the answer, the window's saliency, the last events, the cost and the delay."""

    def __init__(self, name: str) -> None:
        from rich import console, live, text  # noqa: PLC0415 - 0.1 s that a pipe need not wait for

        super().__init__()
        self._name = printable(name)
        self._events: deque[str] = deque(maxlen=SHOWN_EVENTS)
        self._status, self._rows = "", list[str]()
        self._body = text.Text(no_wrap=True, overflow="ellipsis")
        self._live: Live = live.Live(
            console=console.Console(), auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self._live.start()

    def status(self, status: Status) -> None:
        """Show what happened to the source."""
        self._status = printable(f"{status.status}: {status.text}")
        self._show()

    def update(self, update: StreamUpdate) -> None:
        """Show the new moment."""
        self._events.extend(map(event_line, update.events))
        self._rows = view(update, self.tally)
        self._show()

    def end(self) -> None:
        """Leave the last view standing, and print the sums."""
        self._live.stop()
        super().end()

    def _show(self) -> None:
        rows = [f"{self._name}  {self._status}", *self._rows, "", *(self._events or ["no events yet"])]
        self._body.plain = "\n".join(rows)
        self._live.update(self._body, refresh=True)


def choose_printer(name: str, *, as_json: bool, as_text: bool, updates: bool) -> LinePrinter:
    """Choose a view where stdout is a terminal, else JSON lines, or lines for people if asked."""
    if as_text:
        return LinePrinter()
    attended = sys.stdout is not None and sys.stdout.isatty()
    if as_json or updates or not attended:
        return JsonPrinter(updates=updates, statuses=as_json)
    return LinePrinter() if os.environ.get("TERM") in {None, "dumb"} else ViewPrinter(name)


def view(update: StreamUpdate, tally: Tally) -> list[str]:
    """Return the rows of the view for one update."""
    bars = "".join(BARS[min(7, max(0, int(8 * moment.saliency)))] for moment in update.moments)
    marks = "".join("◉" if moment.looked else "○" if moment.glanced else "·" for moment in update.moments)
    sound = "".join("♪" if moment.heard else " " for moment in update.moments)
    best = "  ".join(f"{printable(score.label)} {score.score:.2f}" for score in update.top[:3])
    lag = "" if tally.lag_s is None else f", {tally.lag_s:.2f} s behind"
    return [
        f"{clock(update.time_s, hours=True)}  {best}",
        f"now       {', '.join(map(printable, update.running)) or '-'}",
        f"saliency  {bars}",
        f"seen      {marks}  (○ glance, ◉ look)",
        f"heard     {sound}",
        f"cost      {update.gflops_per_s:.3f} GFLOPs a second, {update.ms:.0f} ms this moment{lag}",
    ]


def event_line(event: Event) -> str:
    """Return an event as a line for people, with the time of day where the source is live."""
    at = event.start_utc if event.event == "start" else event.end_utc
    when = clock(event.start_s if event.end_s is None else event.end_s, hours=True) if at is None else at
    lasted = "" if event.end_s is None else f"  after {event.end_s - event.start_s:.1f} s"
    return f"{when}  {event.event:<5}  {printable(event.label)} {event.score:.2f}{lasted}"


def watch(stream: Stream, opened: Sequence[Opened], printer: LinePrinter, *, debug: bool = False) -> int:
    """Watch until the source ends; return the exit code: 0, 1 where it was given up, 130 after Ctrl-C.

    A file that is read as fast as it is taken drops no frames.
    """
    reading = opened[0][0]
    patient = not reading.live and reading.speed is None
    tally, code = printer.tally, 0
    with Interruptible() as interruptible, Feed(opened, WallClock(), patient=patient) as feed:

        def show(updates: Sequence[StreamUpdate]) -> None:
            tally.frames_left_out = feed.inbox.dropped_pictures
            for update in updates:
                tally.add(update, None if patient else feed.now_s * (reading.speed or 1.0))
                printer.update(update)

        try:
            while not feed.inbox.over:
                item = feed.inbox.get(TICK_S)
                with interruptible.held():
                    if isinstance(item, Status):
                        printer.status(item)
                    elif isinstance(item, Picture):
                        show(stream.push_frame(item.frame, item.time_s))
                    elif isinstance(item, Sound):
                        show(stream.push_audio(item.frame, None, item.time_s))
        except KeyboardInterrupt:
            interruptible.caught()
            code = console.INTERRUPTED
        except ClipError as error:
            console.failure(error, debug=debug)
            code = 1
        try:
            show(stream.finish())
        except ClipError as error:  # a network that gave no numbers will not have become better
            if code != 1:
                console.failure(error, debug=debug)
            code = 1
        printer.end()
    return code
