"""The frame shown at a given time, decoding as little as possible (AVGN, 3.5: a frame no step needs costs nothing)."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import av.error

from avgn_edge.media.clock import Clock
from avgn_edge.media.frames import upright_size
from avgn_edge.media.limit import OutOfTime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import av
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from avgn_edge.media.moments import Moment

PATIENCE_S: Final = 2.0
"""Without an index: decode on across less than this rather than seek. Doubles with every seek that gained nothing."""
FIRST_STEP_BACK_S: Final = 1.0
INDEXED_FORMATS: Final = frozenset({"mov", "mp4", "avi", "matroska"})
"""Containers whose index, where there is one, lists every key frame."""
FALLBACK_RATE: Final = Fraction(25)
FRAMES_A_FRAME: Final = 10
"""What a frame takes besides the decoding on the way to it, in frames of that."""
_NOWHERE: Final = -(2**62)


class VideoTrack:
    """One video stream and the decoder's place in it. `reopen` gives the same container again, at its start."""

    def __init__(self, container: InputContainer, stream: VideoStream, reopen: Callable[[], InputContainer]) -> None:
        self._container = container
        self._stream = stream
        self._index = stream.index
        self._reopen = reopen
        time_base = stream.time_base or Fraction(1, 1_000_000)
        self.origin_s: Final = _origin_s(container, stream)
        self._clock = Clock(time_base, self.origin_s / time_base)
        rate = stream.guessed_rate or stream.average_rate or FALLBACK_RATE
        self._frame_ticks = self._clock.span(float(1 / rate))
        self._indexed = _has_index(container, stream)
        # Index entries and packets are in decoding order; a frame is shown this many ticks after it is decoded.
        self._display_delay = self._measured_delay()
        self._patience = self._clock.span(PATIENCE_S)
        self.display_size: tuple[int, int] | None = None
        """(width, height) of the first frame decoded, upright; None before."""
        self._end_tick: int | None = None
        self._last_duration = 0
        self._seekable = True
        self.decoded = 0
        """Frames decoded so far, wanted or on the way to one."""
        self.damaged = 0
        """Packets that could not be decoded."""
        self.concealed = 0
        """Frames in which the decoder papered over damage."""
        self._deadline: float | None = None
        self._packet_s = 0.0  # what the slowest of the latest packets took
        self._packets: Iterator[Packet[VideoStream]] = iter(())
        self._ready: deque[av.VideoFrame] = deque()
        self._current: av.VideoFrame | None = None
        self._tick = 0  # of the current frame
        self._landed: int | None = None  # the first frame's tick after a seek
        self._read_to = _NOWHERE  # the latest packet's time stamp
        self._next_tick: int | None = None  # of the next frame if it carries no time
        self._moved = False
        self._at_start = True
        self._configure()
        self._rewind(reopen=False)

    @property
    def end_s(self) -> float | None:
        """The second at which the last frame stops being shown, once decoding has come to it."""
        return None if self._end_tick is None else self._clock.seconds(self._end_tick + self._last_duration)

    def close(self) -> None:
        """Close the container."""
        self._forget()
        self._container.close()

    def frame_at(self, time_s: float, deadline: float | None = None) -> av.VideoFrame | None:
        """Return the frame shown at `time_s`: the last that starts at or before it, else the first.

        Asking in order of time is fast: the decoder goes on from where it is unless a later key frame saves work.
        None when no frame of the stream can be decoded. OutOfTime before a packet that is not expected to be decoded at
        `deadline`, of `time.perf_counter`; asking again goes on from there.
        """
        self._deadline = deadline
        wanted = self._clock.ticks(time_s)
        if self._end_tick is not None:
            wanted = min(wanted, self._end_tick)
        if self.display_size is None and not self._indexed and self._peek() is None:
            return None  # nothing decodes; and only a first frame tells whether frames carry times to seek by
        if self._must_seek(wanted):
            before = self._tick if self._current is not None else None
            self._seek(wanted)
            frame = self._walk(wanted)
            if before is not None and self._landed is not None and self._landed <= before <= wanted:
                self._patience *= 2
        else:
            frame = self._walk(wanted)
        return frame if frame is not None else self._from_further_back(wanted)

    def work(self, times_s: Sequence[float]) -> int:
        """Return about how much there is to decode for the frames at these times, asked for in this order.

        Thousands of pixels of the frames on the way, and of ten more for each of the times: seeking, its key frame and
        converting take as long. Read from the container's index; without one, key frames are taken to be everywhere.
        """
        here = self._tick if self._current is not None else None
        frames = 0
        for wanted in map(self._clock.ticks, times_s):
            key = self._key_frame(wanted)
            begin = key if here is None or not key <= here <= wanted else here
            frames += FRAMES_A_FRAME + max(0, wanted - begin) // self._frame_ticks
            here = wanted
        return frames * max(1, self._stream.width * self._stream.height // 1_000)

    def key_frame_time(self, moment: Moment) -> float | None:
        """Return the key frame of the moment's bin nearest its centre, as far as the container's index tells."""
        entries = self._stream.index_entries
        times: list[float] = []
        for backward in (True, False):
            target = self._clock.ticks(moment.time_s) - self._display_delay
            found = entries.search_timestamp(target, backward=backward)
            if found >= 0:
                times.append(self._clock.seconds(entries[found].timestamp + self._display_delay))
        inside = [time for time in times if moment.bin_start_s <= time < moment.bin_end_s]
        return min(inside, key=lambda time: abs(time - moment.time_s), default=None)

    def _key_frame(self, wanted: int) -> int:
        """Return the tick of the key frame that decoding towards `wanted` begins at, as far as the index tells."""
        if not self._indexed:
            return max(self._first_tick, wanted - self._patience) if self._seekable else self._first_tick
        entries = self._stream.index_entries
        found = entries.search_timestamp(wanted - self._display_delay, backward=True)
        return min(wanted, entries[found].timestamp + self._display_delay) if found >= 0 else self._first_tick

    # --- where to read from

    def _must_seek(self, wanted: int) -> bool:
        """Tell whether `wanted` cannot be reached from here, or is reached sooner from a later key frame."""
        if self._current is not None and self._tick > wanted:
            return True
        if self._current is None and self._moved:
            return True
        if not self._seekable:
            return False
        entries = self._stream.index_entries
        if self._indexed:
            found = entries.search_timestamp(wanted - self._display_delay, backward=True)
            return found >= 0 and entries[found].timestamp > self._read_to
        here = self._tick if self._current is not None else self._first_tick
        return wanted - here > self._patience

    def _seek(self, tick: int) -> None:
        """Go to the key frame at or before `tick`, or to the start where the container cannot seek."""
        if not self._seekable or tick <= self._first_tick:
            self._rewind(reopen=True)
            return
        try:
            self._container.seek(tick, stream=self._stream)
        except av.error.FFmpegError:
            self._seekable = False
            self._rewind(reopen=True)
            return
        self._forget()
        self._packets = self._container.demux(self._stream)
        self._moved = True
        self._at_start = False

    def _rewind(self, *, reopen: bool) -> None:
        """Read from the very start again."""
        self._forget()
        if reopen:
            self._container.close()
            self._container = self._reopen()
            self._stream = self._container.streams[self._index]  # type: ignore[assignment]
            self._configure()
        self._packets = self._container.demux(self._stream)
        self._moved = False
        self._at_start = True

    def _forget(self) -> None:
        self._packets = iter(())
        self._ready.clear()
        self._current = None
        self._landed = None
        self._read_to = _NOWHERE
        self._next_tick = None

    def _from_further_back(self, wanted: int) -> av.VideoFrame | None:
        """Seek ever further back until something at or before `wanted` decodes; the first frame if nothing does."""
        back = self._clock.span(FIRST_STEP_BACK_S)
        while self._seekable and wanted - back > self._first_tick:
            self._seek(wanted - back)
            frame = self._walk(wanted)
            if frame is not None:
                return frame
            back *= 2
        self._rewind(reopen=True)
        return self._walk(wanted)

    # --- decoding

    def _walk(self, wanted: int) -> av.VideoFrame | None:
        """Decode on to the frame shown at `wanted`; None if the place it began at was too late, or nothing decodes."""
        while self._current is None or self._tick != wanted:
            following = self._peek()
            if following is None:
                if self._current is not None:
                    self._end_tick = self._tick
                    self._last_duration = int(self._current.duration or self._frame_ticks)
                return self._current
            tick = _pts(following)
            if tick > wanted and self._current is not None:
                return self._current
            if tick > wanted and not self._at_start:
                return None
            self._current = self._ready.popleft()
            self._tick = tick
            if tick > wanted:
                break
        return self._current

    def _peek(self) -> av.VideoFrame | None:
        """Return the next frame without taking it; None at the end of what can be read."""
        while not self._ready:
            started = time.perf_counter()
            if self._deadline is not None and started + self._packet_s > self._deadline:
                raise OutOfTime
            packet = self._next_packet()
            if packet is None:
                return None
            stamp = packet.pts if packet.dts is None else packet.dts
            if stamp is not None:
                self._read_to = max(self._read_to, stamp)
            for frame in self._decode(packet):
                self._ready.append(self._timed(frame))
            self._packet_s = max(time.perf_counter() - started, 0.8 * self._packet_s)
        return self._ready[0]

    def _next_packet(self) -> Packet[VideoStream] | None:
        try:
            return next(self._packets, None)
        except av.error.FFmpegError:
            self.damaged += 1  # the file ends in the middle of something
            return None

    def _decode(self, packet: Packet[VideoStream]) -> list[av.VideoFrame]:
        try:
            return packet.decode()
        except av.error.EOFError:
            return []
        except (av.error.FFmpegError, ValueError):
            self.damaged += 1
            return []

    def _timed(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Give `frame` a time if it has none, as in raw streams: one frame after the one before."""
        if frame.pts is None:
            if self._next_tick is None:
                self._seekable = False
                self._next_tick = self._first_tick
            frame.pts = self._next_tick
        self._next_tick = frame.pts + int(frame.duration or self._frame_ticks)
        self.decoded += 1
        self.concealed += bool(frame.is_corrupt)
        if self._landed is None:
            self._landed = frame.pts
        if self.display_size is None:
            self.display_size = upright_size(frame)
        return frame

    # --- reading the container

    @property
    def _first_tick(self) -> int:
        return self._clock.ticks(0.0)

    def _configure(self) -> None:
        # Frames wanted are few and far between: threads inside a frame help, threads across frames only add delay.
        self._stream.thread_type = "SLICE"

    def _measured_delay(self) -> int:
        entries = self._stream.index_entries
        if not len(entries) or self._stream.start_time is None:
            return 0
        return max(0, self._stream.start_time - entries[0].timestamp)


def _has_index(container: InputContainer, stream: VideoStream) -> bool:
    """Tell whether the index of `stream` can be trusted to name the key frames."""
    formats = set(container.format.name.split(","))
    if not formats & INDEXED_FORMATS:
        return False
    if "matroska" in formats:
        # Matroska's index is only read with the first seek.
        with contextlib.suppress(av.error.FFmpegError):
            container.seek(stream.start_time or 0, stream=stream)
    return len(stream.index_entries) > 1


def _pts(frame: av.VideoFrame) -> int:
    return frame.pts if frame.pts is not None else 0


def _origin_s(container: InputContainer, stream: VideoStream) -> Fraction:
    """Return the container's time at which the clip's second 0 is: where the video starts."""
    if stream.start_time is not None and stream.time_base is not None:
        return stream.start_time * stream.time_base
    return Fraction(container.start_time or 0, 1_000_000)
