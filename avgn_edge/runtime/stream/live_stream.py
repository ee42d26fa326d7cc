"""`Stream`: frames and samples in as they come, an update for each moment out; memory does not grow with time.

Every `every` seconds there is a moment. It is run once the sound up to half a window (0.49 s) after it is there, and a
frame of it: that, and up to a quarter of a second that the resampler holds, is the delay. Where sound or video stays
away the other does not wait for it longer than `PATIENCE_S`, and after that not at all until it is back.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Final

import numpy as np

from avgn_edge._base.arguments import shown
from avgn_edge._base.errors import ClipError
from avgn_edge.bundle.architecture import load
from avgn_edge.runtime.front_end import frame_geometry
from avgn_edge.runtime.result import ClassScore
from avgn_edge.runtime.stream.buffers import (
    HALF_WINDOW_S,
    PIECE_S,
    FramesDue,
    SoundRing,
    sound_frames,
)
from avgn_edge.runtime.stream.events import EventFinder, StreamMoment, StreamUpdate
from avgn_edge.runtime.stream.stream_settings import Bucket, StreamSettings, bucket_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import av
    from av.audio.frame import AudioFrame
    from numpy.typing import NDArray

    from avgn_edge.bundle.manifest import Manifest
    from avgn_edge.runtime.budget import Budget, Ledger
    from avgn_edge.runtime.exits import ExitRules
    from avgn_edge.runtime.sessions import GraphRunner
    from avgn_edge.runtime.stream.events import Event
    from avgn_edge.runtime.stream.stream_settings import StreamPolicy


PATIENCE_S: Final = 1.0
LEAST_SPAN_S: Final = 5.0
LATEST_S: Final = 1e11
"""Times are of any clock, since 1970 for instance; later ones are in another unit than seconds."""
JUMP_BACK_S: Final = 1.0
"""Time that goes back by more than this, or forwards by more than the window, begins anew; less is put up with."""


class Stream:
    """A stream that is being watched. Several threads may feed it; updates come to the one whose data made them due.

    The times of frames and of samples are seconds on one clock, from anywhere, and should not fall; frames that do are
    left out. If they jump back, or ahead by more than the window, the window is emptied and what was running ends.
    """

    def __init__(
        self,
        manifest: Manifest,
        account: Callable[[Budget], tuple[GraphRunner, Ledger]],
        rules: ExitRules,
        settings: StreamSettings,
    ) -> None:
        given = manifest.preprocessing
        self._manifest, self._account, self._settings = manifest, account, settings
        make = load(manifest.network.stream_policy)
        self._new_policy: Callable[[], StreamPolicy] = lambda: make(manifest, rules, settings.attention)
        self._policy = self._new_policy()
        self._window: deque[_Moment] = deque(maxlen=given.moments)
        self._bucket = Bucket(settings.budget, bucket_size(self._policy, account(settings.budget)[1], settings))
        self._finder = EventFinder(manifest.labels, settings.events, settings.epoch_s)
        self._geometry = frame_geometry(given)
        ahead_s = HALF_WINDOW_S + PATIENCE_S + settings.every_s
        # What is pushed at once may be more than what a moment waits for.
        self._sound = SoundRing(2 * ahead_s + PIECE_S, given.sound)
        self._frames = FramesDue(self._geometry, keep=2 + math.ceil(2 * ahead_s / settings.every_s))
        self._lock = threading.RLock()
        self._span_s = max(settings.every_s * given.moments, LEAST_SPAN_S)
        self._back_s = HALF_WINDOW_S + JUMP_BACK_S
        self._origin_s: float | None = None
        self._number = 0
        self._next_frame = 0
        self._waits_for_sound = self._waits_for_frames = True
        self._counted = 0
        self._loose: list[Event] = []  # ended with no moment to tell it
        self._last: StreamUpdate | None = None

    def wants_frame(self, time_s: float) -> bool:
        """Whether a frame of this time would be kept; `push_frame` of another only tells the time.

        Args:
            time_s: When the frame was taken, in seconds of the stream's clock.

        Raises:
            ClipError: The time is no finite number of seconds.
        """
        _check_time(time_s)
        with self._lock:
            return self._origin_s is None or self._jumps(time_s) or time_s >= self._time_of(self._next_frame)

    def push_frame(self, frame: NDArray[np.uint8] | av.VideoFrame, time_s: float) -> tuple[StreamUpdate, ...]:
        """Take a frame; it is converted only if it is kept.

        Args:
            frame: uint8 [H, W, 3], RGB, upright, of any size; or a frame of PyAV.
            time_s: When it was taken, in seconds of the stream's clock.

        Returns:
            The updates that it made due, mostly none.

        Raises:
            ClipError: It is no frame, or its time no finite number.
            DeviceError: A graph failed.
        """
        with self._lock:
            updates = self._begin(time_s)
            due_s = self._time_of(self._next_frame)
            self._frames.offer(frame, time_s, due_s)
            if time_s >= due_s:
                self._next_frame = self._number_at(time_s) + 1
            self._waits_for_frames = True
            return (*updates, *self._advance())

    def push_audio(
        self, samples: NDArray[np.generic] | AudioFrame, sample_rate: int | None = None, time_s: float | None = None
    ) -> tuple[StreamUpdate, ...]:
        """Take the next sound.

        Args:
            samples: [n], [n, channels], or [channels, n] where the shape leaves no doubt: floats ±1, or integers of
                full scale; or a frame of PyAV.
            sample_rate: Of an array, in Hz.
            time_s: The first sample's time in seconds of the stream's clock; None is where the samples before ended.

        Returns:
            The updates that it made due.

        Raises:
            ClipError: It is no sound, or its time no finite number.
            DeviceError: A graph failed.
        """
        updates: list[StreamUpdate] = []
        with self._lock:
            for frame in sound_frames(samples, sample_rate):
                begin_s = self._sound_due_s() if time_s is None else time_s
                updates += self._begin(begin_s)
                self._sound.push(frame, begin_s)
                self._waits_for_sound, time_s = True, None
                updates += self._advance()
        return tuple(updates)

    def finish(self) -> tuple[StreamUpdate, ...]:
        """Run the moments that were still waiting, and end what is running. The stream may then begin anew.

        Returns:
            The last updates; the last one of all holds the events that end.
        """
        with self._lock:
            self._sound.end_run()
            updates = self._restart()
            if not updates and self._last is not None and self._loose:
                updates = [replace(self._last, events=())]
            if updates:
                updates[-1] = replace(updates[-1], events=(*updates[-1].events, *self._loose), running=())
            self._loose = []
            return tuple(updates)

    # --- time

    def _time_of(self, number: int) -> float:
        # Not by adding up: after days the moments still lie where they should.
        return (self._origin_s or 0.0) + number * self._settings.every_s

    def _number_at(self, time_s: float) -> int:
        number = math.floor((time_s - (self._origin_s or 0.0)) / self._settings.every_s)
        return number + 1 if self._time_of(number + 1) <= time_s else number  # rounding

    def _sound_due_s(self) -> float:
        """Where samples begin that do not say: after those before, else where the video is."""
        if self._sound.due_s is not None:
            return self._sound.due_s
        return self._frames.end_s if math.isfinite(self._frames.end_s) else 0.0

    def _jumps(self, time_s: float) -> bool:
        now_s = max(self._sound.end_s, self._frames.end_s)
        return math.isfinite(now_s) and not -self._back_s <= time_s - now_s <= self._span_s

    def _begin(self, time_s: float) -> list[StreamUpdate]:
        """Start the clock, or start it anew where time jumps; return the updates of what was waiting."""
        _check_time(time_s)
        updates: list[StreamUpdate] = []
        if self._origin_s is not None and self._jumps(time_s):
            updates = self._restart()
        if self._origin_s is None:
            self._origin_s = time_s + min(self._settings.every_s, HALF_WINDOW_S)
        return updates

    def _restart(self) -> list[StreamUpdate]:
        """Run what is waiting and forget it all."""
        updates = [] if self._origin_s is None else list(self._advance(rest=True))
        self._loose += self._finder.finish()
        self._window.clear()
        self._policy = self._new_policy()
        self._sound.clear()
        self._frames.clear()
        self._origin_s, self._number, self._next_frame = None, 0, 0
        self._waits_for_sound = self._waits_for_frames = True
        return updates

    def _advance(self, *, rest: bool = False) -> Iterator[StreamUpdate]:
        """Run the moments that are due; with `rest` all that have begun."""
        while self._due(self._time_of(self._number), rest=rest):
            time_s = self._time_of(self._number)
            self._number += 1
            yield self._run(time_s)

    def _due(self, time_s: float, *, rest: bool) -> bool:
        heard = self._sound.end_s >= time_s + HALF_WINDOW_S
        seen = self._frames.end_s >= time_s
        if heard and seen:
            return True
        now_s = max(self._sound.end_s, self._frames.end_s)
        if rest:
            return now_s >= time_s
        if now_s >= time_s + HALF_WINDOW_S + PATIENCE_S:  # what has not come until now is not waited for
            self._waits_for_sound = self._waits_for_sound and heard
            self._waits_for_frames = self._waits_for_frames and seen
            return True
        return (heard or not self._waits_for_sound) and (seen or not self._waits_for_frames) and (heard or seen)

    # --- a moment

    def _run(self, time_s: float) -> StreamUpdate:
        started = time.perf_counter()
        taken = self._frames.pop(time_s, time_s + self._settings.every_s)
        sound, heard = self._sound.window(time_s)
        seen, newest = self._policy.seen, len(self._policy.seen) - 1
        seen.shift()
        if taken is not None:
            seen.frames[newest] = taken[0]
        self._bucket.fill(time_s)
        runner, ledger = self._account(self._bucket.left)
        count = min(len(self._window) + 1, len(seen))
        answer = self._policy.attend(sound if heard else None, runner, ledger, self._bucket.fullness, count)
        self._bucket.spend(ledger)
        self._window.append(_Moment(time_s, None if taken is None else taken[1], ledger.spent_macs))
        moments = tuple(self._report(moment, len(seen) - count + at) for at, moment in enumerate(self._window))
        says = seen.alone(newest)
        nothing = np.zeros(len(self._manifest.labels), dtype=np.float32)
        events = self._finder.take(time_s, moments[-1].saliency, nothing if says is None else says)
        self._counted += 1
        best = np.argsort(-answer, kind="stable")[: self._settings.top].tolist()
        listed = tuple(ClassScore(self._manifest.labels[at], float(answer[at])) for at in best)
        update = StreamUpdate(
            count=self._counted,
            time_s=time_s,
            label=listed[0].label,
            score=listed[0].score,
            top=listed,
            moments=moments,
            events=(*self._loose, *events),
            running=self._finder.running,
            gflops=ledger.spent_macs / 1e9,
            gflops_per_s=sum(one.macs for one in self._window) / 1e9 / (len(self._window) * self._settings.every_s),
            ms=1e3 * (time.perf_counter() - started),
        )
        self._loose, self._last = [], update
        return update

    def _report(self, moment: _Moment, row: int) -> StreamMoment:
        """What is known of a moment of the window, from its row of the table."""
        seen, box = self._policy.seen, None
        if row in seen.corners and moment.display_size is not None:
            side = float(seen.patch_size)
            box = self._geometry.to_source((*seen.corners[row], side, side), moment.display_size)
        says = seen.alone(row)
        return StreamMoment(
            time_s=moment.time_s,
            saliency=0.0 if seen.saliency is None else float(seen.saliency[row]),
            heard=row in seen.sound_probabilities,
            glanced=row in seen.glance_probabilities,
            looked=row in seen.moment_probabilities,
            label=None if says is None else self._manifest.labels[int(says.argmax())],
            score=None if says is None else float(says.max()),
            box=box,
        )


@dataclass(frozen=True)
class _Moment:
    """What the table does not say of a moment of the window."""

    time_s: float
    display_size: tuple[int, int] | None
    """(width, height) of its frame as it came."""
    macs: int
    """What was run when it came."""


def _check_time(time_s: float) -> None:
    """Refuse a time that is no number of seconds: a ClipError."""
    known = isinstance(time_s, Real) and not isinstance(time_s, bool)
    if not (known and abs(time_s) <= LATEST_S):  # NaN fails this too
        raise ClipError("a stream", f"the time {shown(time_s)} is not a finite number of seconds", "give seconds")
