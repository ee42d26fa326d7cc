"""Finds the frame shown at a given time and decodes as little as possible (AVGN, section 3.5)."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import av.error
from av.video.frame import PictureType

from avgn_edge.media.clip import OutOfTime
from avgn_edge.media.container import Clock, OutputOrder, stream_at
from avgn_edge.media.frame_index import FRAMES_A_FRAME, CheapFrame, DecodePath, VideoIndex
from avgn_edge.media.frames import MirrorImage, upright_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from avgn_edge.media.frame_index import Span

    Threads: TypeAlias = Literal["SLICE", "AUTO"]

PATIENCE_S: Final = 2.0
"""Without an index, decode on across less than this rather than seek; doubles with every seek that gained nothing."""
FIRST_STEP_BACK_S: Final = 1.0
FALLBACK_RATE: Final = Fraction(25)
MARGIN_FRAMES: Final = 2
"""So many frames before the time that is wanted are decoded even if no other frame needs them: one of them is shown."""
RECENT: Final = 128
"""How many packets are remembered: more than any decoder keeps back."""
INTER: Final = frozenset({PictureType.P, PictureType.B, PictureType.S, PictureType.SP})
"""Types of pictures that need earlier ones: rubbish if decoding begins with them."""
_NOWHERE: Final = -(2**62)


@dataclass
class _SinceSeek:
    """What has happened since the latest seek. Times are ticks of the stream."""

    concealed_before: int
    damaged_before: int
    fresh: bool = False
    """Whether it was a seek to a key frame and no packet has come yet."""
    claimed: int | None = None
    """When the frame that the index calls a key frame is shown."""
    landed: int | None = None
    """When the first good frame that was decoded is shown."""
    read_to: int = _NOWHERE
    """The latest time stamp of a packet."""
    beyond: int = 0
    """How many packets came that are decoded after the frame wanted."""
    dropped_to: int = _NOWHERE
    """The latest time stamp of a frame that the decoder may have dropped."""
    fed: deque[int] = field(default_factory=lambda: deque(maxlen=RECENT))
    """Time stamps of the packets that went into the decoder."""


class VideoTrack:
    """One video stream and the decoder's position in it.

    Frames that no other frame needs are not decoded on the way to the one wanted, where the decoder is known to drop
    only these. Its output is checked against the packets' time stamps, and decoded again in full if a frame is missing.
    Containers call frames key frames that are none: decoding begins with a picture that needs no other.

    Args:
        container: The open container.
        stream: The stream in it.
        reopen: Opens the same container again, at its start.
        interrupt: Set by another thread, `frame_at` raises OutOfTime before its next packet.
        device: The name of the device that decodes; None is software.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        reopen: Callable[[], InputContainer],
        *,
        interrupt: threading.Event | None = None,
        device: str | None = None,
    ) -> None:
        self._container = container
        self._stream = stream
        self.number: Final = stream.index
        self._reopen = reopen
        self._device = device
        time_base = stream.time_base or Fraction(1, 1_000_000)
        self.origin_s: Final = _origin_s(container, stream)
        self._clock = Clock(time_base, self.origin_s / time_base)
        rate = stream.guessed_rate or stream.average_rate or FALLBACK_RATE
        self._frame_ticks = self._clock.span(float(1 / rate))
        self.kilopixels: Final = max(1, stream.width * stream.height // 1_000)
        """How many thousand pixels a frame has."""
        self.index: Final = VideoIndex(container, stream)
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
        self.interrupt: Final = interrupt or threading.Event()
        self._deadline: float | None = None
        self._packet_s = 0.0  # how long the slowest of the latest packets took
        self._packets: Iterator[Packet[VideoStream]] = iter(())
        self._ready: deque[av.VideoFrame] = deque()
        self._current: av.VideoFrame | None = None
        self._tick = 0  # of the current frame
        self._next_tick: int | None = None  # of the next frame if it carries no time
        self._moved = False
        self._at_start = True
        self._alone = False  # no later frame of this group of pictures is wanted
        self._drained = False  # everything was taken out of the decoder: it can only go on from a key frame
        self._drained_for = 0  # all frames shown up to this tick were taken out
        self._since = _SinceSeek(self.concealed, self.damaged)
        self._order = OutputOrder.needed(container, stream)
        self._may_drop = self.index.trusted and _drops_rightly(stream) and self._order is None
        self._dropping = False
        self._names_types = False  # whether the decoder says of what type pictures are
        self._mirror: MirrorImage | None = None
        self._first_packet: Packet[VideoStream] | None = None  # until the first frame
        # Where few frames are wanted, threads across frames only add delay.
        self._threads: Threads = "SLICE"
        self._thread_count = 0  # 0: as many as there are cores
        self._configure()
        self._rewind(reopen=False)

    @property
    def end_s(self) -> float | None:
        """The second at which the last frame stops being shown; None until it was decoded."""
        return None if self._end_tick is None else self._clock.seconds(self._end_tick + self._last_duration)

    def close(self) -> None:
        """Close the container."""
        self._forget()
        self._container.close()

    @property
    def decoder(self) -> str:
        """The codec's name, and the device in brackets where one decodes."""
        name = self._stream.codec_context.name
        return name if self._device is None else f"{name} ({self._device})"

    def use_threads(self, threads: Threads, count: int) -> None:
        """Decode with up to `count` threads inside frames, or across them too; no effect once decoding has begun."""
        self._threads, self._thread_count = threads, count
        self._configure()

    def learn(self, other: VideoTrack) -> None:
        """Take over what the `other` track of the same video has found out about it."""
        self.index.learned.update(other.index.learned)
        if not other.index.trusted:
            self.index.distrust()
        self._may_drop = self._may_drop and other._may_drop
        self._mirror = other._mirror

    def frame_at(self, time_s: float, deadline: float | None = None, *, alone: bool = False) -> av.VideoFrame | None:
        """Return the frame shown at `time_s`: the last that starts at or before it, else the first.

        Asking in order of time is fast: the decoder goes on from where it is unless a later key frame saves work.

        Args:
            time_s: Seconds of the clip.
            deadline: When to give up, in seconds of `time.perf_counter`; None is never.
            alone: That no later frame before the next key frame will be asked for: only what this one needs is decoded.

        Returns:
            The frame; None if no frame of the stream can be decoded.

        Raises:
            OutOfTime: The next packet is not expected to be decoded by the deadline. Asking again goes on from there.
        """
        self._deadline = deadline
        self._alone = alone and self.index.trusted and self._seekable
        wanted = self._clock.ticks(time_s)
        if self._end_tick is not None:
            wanted = min(wanted, self._end_tick)
        if self.display_size is None and not self.index.trusted and self._peek(None) is None:
            return None  # nothing decodes; without a frame it is not known whether frames carry times to seek by
        before = self._tick if self._current is not None else None
        sought = self._must_seek(wanted)
        if sought:
            self._seek(wanted)
        frame = self._walk(wanted)
        if self._mistaken(wanted):
            self._may_drop = False
            self.concealed = self._since.concealed_before
            self._seek(wanted)
            frame = self._walk(wanted)
        self._alone = False
        if frame is None:
            self._may_drop = False
            frame = self._from_further_back(wanted)
        if sought and before is not None and self._since.landed is not None and self._since.landed <= before <= wanted:
            self._patience *= 2
        return frame

    def work(self, times_s: Sequence[float]) -> int:
        """Return about how long it takes to decode the frames at these times, asked for in this order.

        The unit is the time that decoding a thousand pixels takes; bytes, seeking and converting are converted to it.
        The estimate comes from the container's index; without one, key frames are assumed to be everywhere.
        """
        here = self._tick if self._current is not None else None
        known_to = self._drained_for if self._drained else here
        work = 0
        for wanted in map(self._clock.ticks, times_s):
            if here is None or known_to is None or not here <= wanted <= known_to:
                work += self._path(None if self._drained and here == self._tick else here, wanted).work(self.kilopixels)
            work += self.work_of_converting
            here = known_to = wanted
        return work

    @property
    def work_of_converting(self) -> int:
        """How long it takes to seek to a frame and convert it, in the unit of `work`."""
        return DecodePath(FRAMES_A_FRAME, 0).work(self.kilopixels)

    def on_the_way(self, time_s: float, to_s: float) -> bool:
        """Return whether the frame shown at `time_s` is decoded on the way to the one shown at `to_s`."""
        passed, wanted = self._clock.ticks(time_s), self._clock.ticks(to_s)
        if self._current is not None and not self._must_seek(wanted):
            return self._tick <= passed <= wanted
        return self.index.trusted and self._key_frame(wanted) <= passed <= wanted

    def key_s(self, time_s: float) -> float:
        """Return about where decoding towards `time_s` begins: at its key frame, or at 0 without an index."""
        key = self.index.key(self._clock.ticks(time_s)) if self.index.trusted else None
        return 0.0 if key is None else self._clock.seconds(key)

    def run_frames(self, time_s: float) -> int:
        """Return about how many frames are decoded from the key frame to the one shown at `time_s`."""
        return self._path(None, self._clock.ticks(time_s)).frames

    def cheapest(self, span: Span) -> float | None:
        """Return when the frame of `span` that is decoded soonest is shown; None where the centre's is as good.

        Nothing is decoded, but a few packets are read where the index does not tell.
        """
        if not self.index.trusted:
            return None
        self._forget()
        self._moved, self._at_start = True, False
        look = CheapFrame(self._container, self._stream, self.index, self._clock, self._frame_ticks)
        return look.of(span, self.kilopixels)

    def _path(self, here: int | None, wanted: int) -> DecodePath:
        """Return what is decoded to reach `wanted`: from `here` where that is on the way, else from a key frame."""
        key = self._key_frame(wanted)
        if here is not None and key <= here <= wanted:
            path = self.index.between(here, wanted)
            return path or DecodePath((wanted - here) // self._frame_ticks, 0)
        path = self.index.path(wanted, self._frame_ticks) if self.index.trusted else None
        return path or DecodePath(1 + max(0, wanted - key) // self._frame_ticks, 0)

    def _key_frame(self, wanted: int) -> int:
        """Return the tick of the key frame at which decoding towards `wanted` begins, as far as the index tells."""
        if not self.index.trusted:
            return max(self._first_tick, wanted - self._patience) if self._seekable else self._first_tick
        key = self.index.key(wanted)
        return self._first_tick if key is None else min(wanted, key)

    # --- where to read from

    def _mistaken(self, wanted: int) -> bool:
        """Return whether a frame that is needed, by the caller or by other frames, may have been dropped."""
        if self._since.dropped_to == _NOWHERE:
            return False
        due = max((tick for tick in self._since.fed if tick <= wanted), default=_NOWHERE)
        return self._current is None or self._tick < due or self.concealed > self._since.concealed_before

    def _must_seek(self, wanted: int) -> bool:
        """Return whether `wanted` cannot be reached from here, or is reached sooner from a later key frame."""
        if self._moved if self._current is None else self._tick > wanted:
            return True
        if self._drained:
            return wanted > self._drained_for
        if not self._seekable:
            return False
        if wanted < self._since.dropped_to:
            return True  # decoding was given up on the way to a later frame
        if self.index.trusted:
            key = self.index.key(wanted)
            return key is not None and key - self.index.delay > self._since.read_to
        here = self._tick if self._current is not None else self._first_tick
        return wanted - here > self._patience

    def _seek(self, tick: int) -> None:
        """Go to the key frame at or before `tick`, or to the start where the container cannot seek."""
        at_start = tick <= self._first_tick and not (self.index.every_frame or self.index.shown)
        if not self._seekable or at_start:
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
        self._moved = self._since.fresh = True
        self._at_start = False

    def _rewind(self, *, reopen: bool) -> None:
        """Read from the very start again."""
        self._forget()
        if reopen:
            self._container.close()
            self._container = self._reopen()
            self._stream = stream_at(self._container.streams.video, self.number)
            self.index.renew(self._stream)
            self._configure()
        self._packets = self._container.demux(self._stream)
        self._moved = False
        self._at_start = True

    def _forget(self) -> None:
        self._packets = iter(())
        self._ready.clear()
        self._current = None
        self._next_tick = None
        self._drained = False
        self._since = _SinceSeek(self.concealed, self.damaged)
        if self._order is not None:
            self._order.begin()

    def _from_further_back(self, wanted: int) -> av.VideoFrame | None:
        """Seek ever further back until something at or before `wanted` decodes; the first frame if nothing does."""
        barren, before = self._barren, self._since.damaged_before
        back = self._clock.span(FIRST_STEP_BACK_S)
        frame = None
        while frame is None and self._seekable and wanted - back > self._first_tick:
            self.damaged = before  # packets that could not be decoded from there may be from further back
            self._seek(wanted - back)
            frame = self._walk(wanted)
            barren = barren or self._barren
            back *= 2
        if frame is None:
            self.damaged = before
            self._rewind(reopen=True)
            frame = self._walk(wanted)
        if frame is not None and self._since.landed is not None:
            self._patience = max(self._patience, wanted - self._since.landed)
            if barren and self.damaged == before:
                self.index.distrust()  # nothing is damaged, so that it was no key frame that gave no picture
        return frame

    # --- decoding

    def _walk(self, wanted: int) -> av.VideoFrame | None:
        """Decode on to the frame shown at `wanted`; None if decoding began after it, or nothing decodes."""
        while self._current is None or self._tick != wanted:
            following = self._peek(wanted)
            if following is None:
                if self._current is not None and not self._drained:
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

    def _peek(self, wanted: int | None) -> av.VideoFrame | None:
        """Return the next frame on the way to `wanted` without taking it; None at the end of what can be read."""
        while not self._ready and not self._drained:
            started = time.perf_counter()
            late = self._deadline is not None and started + self._packet_s > self._deadline
            if late or self.interrupt.is_set():
                raise OutOfTime
            packet = self._next_packet()
            if packet is None:
                return None
            if self._mirror is None and self._first_packet is None:
                self._first_packet = packet
            stamp = packet.pts if packet.dts is None else packet.dts
            if stamp is not None:
                self._since.read_to = max(self._since.read_to, stamp)
            frames = [self._timed(frame) for frame in self._decoded(packet, wanted)]
            self._ready += [frame for frame in frames if self._lands(frame)]
            if not self._ready and self._lost(wanted, stamp, frames):
                return None
            self._packet_s = max(time.perf_counter() - started, 0.8 * self._packet_s)
        return self._ready[0] if self._ready else None

    def _lands(self, frame: av.VideoFrame) -> bool:
        """Return whether a decoded frame is good: decoding has begun before it, or may begin with it."""
        if self._since.landed is not None:
            return True
        tick = _pts(frame)
        if not self._at_start:
            late = self._since.claimed is not None and tick > self._since.claimed
            inter = not frame.key_frame and frame.pict_type in INTER
            # Of a decoder that names types, a picture without one is made up, to decode the next one from.
            made_up = not frame.key_frame and frame.pict_type == PictureType.NONE and (late or self._names_types)
            if late or made_up or (inter and frame.pict_type != PictureType.B):
                self.index.distrust()  # the key frame is none, or the decoder threw it away
            if made_up or inter:
                return False
            if not self.index.trusted:
                # Reading began at any packet, so that those before this frame are not damaged.
                self.damaged = self._since.damaged_before
        self._since.landed = tick
        return True

    def _lost(self, wanted: int | None, stamp: int | None, frames: Sequence[av.VideoFrame]) -> bool:
        """Return whether, after a seek, no frame shown by `wanted` will come out any more."""
        if self._since.landed is not None or self._at_start or wanted is None:
            return False
        self._since.beyond += stamp is not None and stamp > wanted
        refused = self.index.trusted and self.damaged > self._since.damaged_before
        return refused or self._since.beyond > RECENT or any(_pts(frame) > wanted for frame in frames)

    @property
    def _barren(self) -> bool:
        """Whether the decoder gave no good frame for the packets since the latest seek."""
        return not self._at_start and self._since.landed is None and self._since.read_to > _NOWHERE

    def _decoded(self, packet: Packet[VideoStream], wanted: int | None) -> list[av.VideoFrame]:
        """Decode `packet`; drain the decoder if `wanted` is alone and all that it needs has gone in."""
        shown = None if packet.is_discard or self._order is not None else packet.pts
        if self._order is not None and not self._order.feed(packet, at_start=self._at_start):
            return []
        if self._since.fresh:
            self._since.fresh, self._since.claimed = False, shown if self.index.trusted else None
        alone = wanted if self._alone else None
        if (
            alone is not None
            and self.index.every_frame
            and packet.dts is not None
            and packet.dts > alone
            and self._since.fed
        ):
            return self._drain(alone)  # all frames shown by then have gone in
        self._drop(wanted is not None and shown is not None and shown < self._needed_from(wanted), shown)
        frames = self._decode(packet)
        if shown is not None:
            self._since.fed.append(shown)
            if alone is not None and shown == alone:
                frames += self._drain(alone)
        return frames

    def _needed_from(self, wanted: int) -> int:
        return wanted if wanted in self.index.learned else wanted - MARGIN_FRAMES * self._frame_ticks

    def _drop(self, drop: bool, tick: int | None) -> None:
        """Let the decoder drop the next frame if no other frame needs it, or forbid it."""
        drop = drop and self._may_drop
        if drop != self._dropping:
            self._dropping = drop
            self._stream.codec_context.skip_frame = "NONREF" if drop else "DEFAULT"
        if drop and tick is not None:
            self._since.dropped_to = max(self._since.dropped_to, tick)

    def _drain(self, wanted: int) -> list[av.VideoFrame]:
        """Take all frames out of the decoder: everything shown up to `wanted` has gone in."""
        self._drained, self._drained_for = True, wanted
        return self._decode(None)

    def _next_packet(self) -> Packet[VideoStream] | None:
        try:
            return next(self._packets, None)
        except av.error.FFmpegError:
            self.damaged += 1  # the file ends in the middle of something
            return None

    def _decode(self, packet: Packet[VideoStream] | None) -> list[av.VideoFrame]:
        """Return the frames that come out for a packet, or all that the decoder still holds for None."""
        try:
            return self._stream.codec_context.decode(None) if packet is None else packet.decode()
        except av.error.EOFError:
            return []
        except (av.error.FFmpegError, ValueError):
            self.damaged += 1
            return []

    def _timed(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Note a decoded frame, and give it a time if it has none, as in raw streams: one frame after the last."""
        if self._order is not None:
            self._order.place(frame)
        if frame.pts is None:
            if self._next_tick is None:
                self._seekable = False
                self._next_tick = self._first_tick
            frame.pts = self._next_tick
        self._next_tick = frame.pts + int(frame.duration or self._frame_ticks)
        self.decoded += 1
        self.concealed += bool(frame.is_corrupt)
        self._names_types = self._names_types or frame.pict_type != PictureType.NONE
        if self._mirror is None:
            self._mirror = MirrorImage(self._stream, self._first_packet)
            self._first_packet = None
        self._mirror.note(frame)
        if self.display_size is None:
            self.display_size = upright_size(frame)
        return frame

    # --- reading the container

    @property
    def _first_tick(self) -> int:
        return self._clock.ticks(0.0)

    def _configure(self) -> None:
        context = self._stream.codec_context
        if not context.is_open:
            context.thread_type = self._threads
            context.thread_count = self._thread_count
        self._dropping = False


def _drops_rightly(stream: VideoStream) -> bool:
    """Return whether the decoder, when told to drop frames that no other needs, drops only these.

    In HEVC, frames are marked as not needed within their temporal layer: higher layers may need them.
    """
    context = stream.codec_context
    if context.name == "hevc":
        header = context.extradata or b""  # of MP4 and Matroska: ISO/IEC 14496-15, HEVCDecoderConfigurationRecord
        return len(header) > 21 and header[0] == 1 and header[21] >> 3 & 7 == 1
    return context.name == "h264"


def _pts(frame: av.VideoFrame) -> int:
    return frame.pts if frame.pts is not None else 0


def _origin_s(container: InputContainer, stream: VideoStream) -> Fraction:
    """Return the container's time at second 0 of the clip, which is where the video starts."""
    if stream.start_time is not None and stream.time_base is not None:
        return stream.start_time * stream.time_base
    return Fraction(container.start_time or 0, 1_000_000)
