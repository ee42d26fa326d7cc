"""A container's index of a video: what must be decoded to reach a frame, and which frame of a bin is cheapest.

AVGN was trained on a random frame of each bin (section 4.1), so the cheapest one will do.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

import av.error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from av.container import InputContainer
    from av.video.stream import VideoStream

    from avgn_edge.media.container import Clock
    from avgn_edge.media.moments import Moment


BYTES_A_KILOPIXEL: Final = 8
"""How many bytes take as long to decode as a thousand pixels. On one core a frame of 720p H.264 took 0.6 ms and 80 ns a
byte, at 3 as at 50 Mbit/s, and HEVC took the same a byte; an estimate from frames alone is wrong by up to ten times."""
KILOPIXELS_A_PACKET: Final = 50
"""What a packet takes in addition, however small its frame: 30 µs."""
FRAMES_A_FRAME: Final = 2
"""Seeking to a frame and converting it takes as long as so many empty packets."""
INDEXED_FORMATS: Final = frozenset({"mov", "mp4", "avi", "matroska"})
"""Containers whose index, where there is one, lists every key frame."""
LOOK_BACK_PACKETS: Final = 4
"""With B-frames, a frame may be decoded so many frames before its turn, in addition to the stream's delay."""
LOOK_PACKETS: Final = 300
"""How many packets are read in search of a frame: more than a group of pictures."""


class PacketTimes(NamedTuple):
    """When the frame of a packet is shown, and when it is decoded: never later than that."""

    time_s: float
    decoded_s: float


class DecodePath(NamedTuple):
    """How many frames and bytes are decoded to reach a frame, from its key frame on, both included."""

    frames: int
    size: int

    def work(self, kilopixels: int) -> int:
        """Return how long that takes, in thousands of pixels decoded, for frames of so many thousand pixels."""
        return self.frames * (KILOPIXELS_A_PACKET + kilopixels) + self.size // BYTES_A_KILOPIXEL


@dataclass(frozen=True)
class Span:
    """The part of a bin in which its moment may lie, in seconds: from `first_s`, up to but without `end_s`."""

    first_s: float
    centre_s: float
    end_s: float

    @classmethod
    def of(cls, moment: Moment, reach: float) -> Span:
        """Return the share `reach` of the moment's bin around its centre: 0 is the centre, 1 the whole bin."""
        start_s, end_s = moment.bin_start_s, moment.bin_end_s
        centre_s = (start_s + end_s) / 2
        half_s = reach * (end_s - start_s) / 2
        return cls(max(start_s, centre_s - half_s), centre_s, min(end_s, centre_s + half_s))

    def __contains__(self, time_s: float) -> bool:
        return self.first_s <= time_s < self.end_s


def nearest_key(span: Span, keys_s: Iterable[float]) -> float | None:
    """Return the time of the key frame of the span that is nearest to its centre; None without one."""
    return min((time for time in keys_s if time in span), key=lambda time: abs(time - span.centre_s), default=None)


def first_decoded(span: Span, packets: Iterable[PacketTimes]) -> float | None:
    """Return the time of the frame in a span that is decoded first: of all with one key frame, it is cheapest.

    Args:
        span: Where the frame must start to be shown.
        packets: In the order of decoding, from before the span on; no more are read than needed.

    Returns:
        The time; None where no frame starts in the span, or where the frame shown at its centre is decoded before.
    """
    found: float | None = None
    for packet in packets:
        if found is not None and packet.decoded_s > span.centre_s:
            return None  # all frames of the span start after its centre: no more can start before it
        if packet.time_s in span and (found is None or packet.time_s <= span.centre_s):
            found = packet.time_s if found is None else found
            if packet.time_s <= span.centre_s:
                return found
        if packet.decoded_s >= span.end_s:
            return None
    return None


class VideoIndex:
    """The container's index of one stream. Times are ticks of the stream.

    Entries are looked up one by one: reading all 54,000 of half an hour took 15 ms, finding one takes 0.2 µs.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        formats = set(container.format.name.split(","))
        self.trusted = _lists_key_frames(container, stream, formats)
        """Whether it names all key frames and no others, as far as is known: see `distrust`."""
        self.every_frame: Final = self.trusted and "mov" in formats
        """Whether it names every frame, with the same time of decoding as the packet."""
        self.shown: Final = self.trusted and "matroska" in formats
        """Whether its times are those at which frames are shown."""
        self._entries = stream.index_entries
        # Entries and packets are in decoding order; a frame is shown about this many ticks after it is decoded.
        self.delay: Final = self._measured_delay(stream)
        self.learned: Final[dict[int, int]] = {}
        """When a frame is decoded, by when it is shown, for frames whose packets were read."""

    @property
    def doubtful(self) -> bool:
        """Whether it says that the first two frames are key frames: some indexes call all frames so."""
        return self.trusted and all(entry.is_keyframe for entry in self._entries[:2])

    def distrust(self) -> None:
        """Note that a frame that it names as a key frame is none."""
        self.trusted = False

    def renew(self, stream: VideoStream) -> None:
        """Use the entries of the same stream after it was opened again: they belong to the open container."""
        self._entries = stream.index_entries

    def key(self, tick: int, *, backward: bool = True) -> int | None:
        """Return when the last key frame at or before `tick` is shown; with `backward` false, the first from then on.

        If the index has times of decoding, this is an estimate: early where frames that follow a key frame are shown
        before it.
        """
        found = self._entries.search_timestamp(self._decoded(tick), backward=backward)
        return self._entries[found].timestamp + self.delay if found >= 0 else None

    def path(self, tick: int, frame_ticks: int) -> DecodePath | None:
        """Return what is decoded from a key frame to the frame shown at `tick`; None if no key frame is known."""
        decoded = self._decoded(tick)
        key = self._entries.search_timestamp(decoded, backward=True)
        if key < 0:
            return None
        if self.every_frame:
            last = self._entries.search_timestamp(decoded, backward=True, any_frame=True)
            run = self._entries[key : last + 1]
            return DecodePath(len(run), sum(entry.size for entry in run))
        entry = self._entries[key]
        return DecodePath(1 + max(0, decoded - entry.timestamp) // frame_ticks, entry.size)

    def between(self, after: int, tick: int) -> DecodePath | None:
        """Return what is decoded between the frames shown at `after` and at `tick`; None without a full index."""
        if not self.every_frame:
            return None
        first, last = (
            self._entries.search_timestamp(self._decoded(place), backward=True, any_frame=True)
            for place in (after, tick)
        )
        run = self._entries[max(0, first + 1) : max(0, last + 1)]
        return DecodePath(len(run), sum(entry.size for entry in run))

    def _decoded(self, tick: int) -> int:
        return self.learned.get(tick, tick - self.delay)

    def _measured_delay(self, stream: VideoStream) -> int:
        if not len(self._entries) or stream.start_time is None:
            return 0
        return max(0, stream.start_time - self._entries[0].timestamp)


def _lists_key_frames(container: InputContainer, stream: VideoStream, formats: set[str]) -> bool:
    """Return whether the index of `stream` can be trusted to name the key frames."""
    if not formats & INDEXED_FORMATS:
        return False
    if "matroska" in formats:
        # Matroska's index is only read with the first seek.
        with contextlib.suppress(av.error.FFmpegError):
            container.seek(stream.start_time or 0, stream=stream)
    return len(stream.index_entries) > 1


class CheapFrame:
    """Looks for cheap frames of one stream, and leaves the container at any place. Times are seconds by `clock`.

    An index of MP4 has only times of decoding, so that packets are read, whose times the index learns. Seeking to and
    reading sixteen takes 0.6 ms at 3 Mbit/s, 1.2 at 50.
    """

    def __init__(
        self, container: InputContainer, stream: VideoStream, index: VideoIndex, clock: Clock, frame_ticks: int
    ) -> None:
        self._container = container
        self._stream = stream
        self._index = index
        self._clock = clock
        self._frame_ticks = frame_ticks

    def of(self, span: Span, kilopixels: int) -> float | None:
        """Return when the frame of `span` that is decoded soonest starts to be shown.

        It is the key frame nearest to the span's centre, else the first that is decoded. None where the frame shown at
        the centre costs no more. `kilopixels` is the size of a frame.
        """
        found = self._key_frame(span)
        if found is None:
            near: list[PacketTimes] = []
            found = first_decoded(span, _noted(self._packets_from(span.first_s), near))
            self._learn(packet for packet in near if packet.time_s == found)
            return found
        from_earlier = found > span.centre_s and self._index.key(self._clock.ticks(span.centre_s)) is not None
        if from_earlier and self._work(found, kilopixels) > self._work(span.centre_s, kilopixels):
            return None  # this key frame has more bytes than all from an earlier key frame to the centre
        return found

    def _work(self, time_s: float, kilopixels: int) -> int:
        path = self._index.path(self._clock.ticks(time_s), self._frame_ticks)
        return (path or DecodePath(1, 0)).work(kilopixels)

    def _learn(self, packets: Iterable[PacketTimes]) -> None:
        if self._index.every_frame or self._index.shown:
            ticks = self._clock.ticks
            self._index.learned.update({ticks(packet.time_s): ticks(packet.decoded_s) for packet in packets})

    def _key_frame(self, span: Span) -> float | None:
        """Return when the key frame nearest to the centre of `span` is shown; None without one in the span."""
        centre = self._clock.ticks(span.centre_s)
        either_side = (self._index.key(centre, backward=backward) for backward in (True, False))
        keys = sorted({key for key in either_side if key is not None}, key=lambda key: abs(key - centre))
        # The index says only roughly when they are shown; one that is nearer by more than that is read first.
        sure = 2 * LOOK_BACK_PACKETS * self._frame_ticks
        alike = [key for key in keys if abs(key - centre) <= abs(keys[0] - centre) + sure]
        for some in (alike, keys[len(alike) :]):
            packets = [packet for packet in map(self._shown, some) if packet is not None]
            found = nearest_key(span, (packet.time_s for packet in packets))
            if found is not None:
                self._learn(packet for packet in packets if packet.time_s == found)
                return found
        return None

    def _shown(self, key: int) -> PacketTimes | None:
        """Return the times of a key frame: from its packet, where the index says only roughly when it is shown."""
        decoded_s = self._clock.seconds(key - self._index.delay)
        if not self._index.every_frame:
            return PacketTimes(self._clock.seconds(key), decoded_s)
        packets = self._look(key, LOOK_BACK_PACKETS)
        return next((packet for packet in packets if packet.decoded_s == decoded_s), None)

    def _packets_from(self, time_s: float) -> Iterator[PacketTimes]:
        """Read packets in the order of decoding, from before the first one whose frame starts at `time_s` or later."""
        return self._look(self._clock.ticks(time_s) - LOOK_BACK_PACKETS * self._frame_ticks, LOOK_PACKETS)

    def _look(self, tick: int, count: int) -> Iterator[PacketTimes]:
        """Read `count` packets from about where the frame shown at `tick` is decoded."""
        try:
            self._container.seek(tick, stream=self._stream, any_frame=True)
            for packet in islice(self._container.demux(self._stream), count):
                if packet.pts is not None and not packet.is_discard:
                    stamp = packet.pts if packet.dts is None else min(packet.dts, packet.pts)
                    yield PacketTimes(self._clock.seconds(packet.pts), self._clock.seconds(stamp))
        except av.error.FFmpegError:
            return


def _noted(packets: Iterable[PacketTimes], notes: list[PacketTimes]) -> Iterator[PacketTimes]:
    """Pass packets on, and append them to `notes`."""
    for packet in packets:
        notes.append(packet)
        yield packet
