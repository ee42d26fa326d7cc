"""What a container's index tells of a video without decoding it, and which frame of a bin is cheapest to decode.

AVGN trained on a random frame of each bin (section 4.1), so the cheapest one will do.
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
"""Bytes that decode as long as a thousand pixels. On one core a frame of 720p H.264 took 0.6 ms and 80 ns a byte, at 3
as at 50 Mbit/s, HEVC the same a byte: bytes foretell the time of a run, frames alone are off by ten times."""
KILOPIXELS_A_PACKET: Final = 50
"""What any packet takes besides, however small its frame: 30 µs."""
FRAMES_A_FRAME: Final = 2
"""Seeking to a frame and converting it takes as long as so many packets without a byte in them."""


class Shown(NamedTuple):
    """A packet: when its frame is shown, and its place in the order of decoding, as a time never later than that."""

    time_s: float
    decoded_s: float


class DecodePath(NamedTuple):
    """What is decoded to reach a frame from a key frame on: frames and bytes, the key frame's and its own included."""

    frames: int
    size: int

    def work(self, kilopixels: int) -> int:
        """Return how long it takes, in thousands of pixels decoded, for frames of so many."""
        return self.frames * (KILOPIXELS_A_PACKET + kilopixels) + self.size // BYTES_A_KILOPIXEL


@dataclass(frozen=True)
class Span:
    """The stretch of a bin in which its moment may lie, in seconds: from `first_s` up to, without it, `end_s`."""

    first_s: float
    centre_s: float
    end_s: float

    @classmethod
    def of(cls, moment: Moment, reach: float) -> Span:
        """The share `reach` of the bin of `moment`, around the bin's centre: 0 is the centre, 1 the whole bin."""
        start_s, end_s = moment.bin_start_s, moment.bin_end_s
        centre_s = (start_s + end_s) / 2
        half_s = reach * (end_s - start_s) / 2
        return cls(max(start_s, centre_s - half_s), centre_s, min(end_s, centre_s + half_s))

    def __contains__(self, time_s: float) -> bool:
        return self.first_s <= time_s < self.end_s


def nearest_key(span: Span, keys_s: Iterable[float]) -> float | None:
    """Return the key frame of the span that is nearest to its centre."""
    return min((time for time in keys_s if time in span), key=lambda time: abs(time - span.centre_s), default=None)


def first_decoded(span: Span, packets: Iterable[Shown]) -> float | None:
    """Return the frame of the span that is decoded first: the shortest run of all that come from the same key frame.

    `packets` are in the order of decoding, from before the span's; no more are taken than tell. None where no frame
    starts in the span, or only ones that are decoded after that which is shown at its centre.
    """
    found: float | None = None
    for packet in packets:
        if found is not None and packet.decoded_s > span.centre_s:
            return None  # what starts in the span starts after its centre, and nothing more can start before
        if packet.time_s in span and (found is None or packet.time_s <= span.centre_s):
            found = packet.time_s if found is None else found
            if packet.time_s <= span.centre_s:
                return found
        if packet.decoded_s >= span.end_s:
            return None
    return None


INDEXED_FORMATS: Final = frozenset({"mov", "mp4", "avi", "matroska"})
"""Containers whose index, where there is one, lists every key frame."""


class VideoIndex:
    """The index of one stream; times are ticks of the stream.

    Only what is asked for is looked up: reading all 54,000 entries of half an hour took 15 ms, finding one 0.2 µs.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        formats = set(container.format.name.split(","))
        self.trusted = _lists_key_frames(container, stream, formats)
        """Whether it names every key frame, and none that is not one, as far as is known: see `distrust`."""
        self.every_frame: Final = self.trusted and "mov" in formats
        """Whether it names every frame, by the time at which it is decoded, which its packet has too."""
        self.shown: Final = self.trusted and "matroska" in formats
        """Whether its times are those at which frames are shown."""
        self._entries = stream.index_entries
        # Entries and packets are in decoding order; a frame is shown about this many ticks after it is decoded.
        self.delay: Final = self._measured_delay(stream)
        self.learned: Final[dict[int, int]] = {}
        """When frames are decoded whose packets were read, by when they start to be shown."""

    @property
    def doubtful(self) -> bool:
        """Whether it says that the first two frames are key frames, as indexes do that cannot tell which are."""
        return self.trusted and all(entry.is_keyframe for entry in self._entries[:2])

    def distrust(self) -> None:
        """Note that a frame that it names as a key frame is none."""
        self.trusted = False

    def renew(self, stream: VideoStream) -> None:
        """Look things up in the same stream opened again: the entries are the container's and go with it."""
        self._entries = stream.index_entries

    def key(self, tick: int, *, backward: bool = True) -> int | None:
        """Return when the last key frame at or before `tick` is shown, or the first from then on.

        In an index of times of decoding that is an estimate, early where frames follow a key frame to be shown before.
        """
        found = self._entries.search_timestamp(self._decoded(tick), backward=backward)
        return self._entries[found].timestamp + self.delay if found >= 0 else None

    def way(self, tick: int, frame_ticks: int) -> DecodePath | None:
        """Return what is decoded from a key frame to what is shown at `tick`; None if no key frame is known."""
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
        """Return what is decoded from after what is shown at `after` to what is shown at `tick`, of a full index."""
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
    """Tell whether the index of `stream` can be trusted to name the key frames."""
    if not formats & INDEXED_FORMATS:
        return False
    if "matroska" in formats:
        # Matroska's index is only read with the first seek.
        with contextlib.suppress(av.error.FFmpegError):
            container.seek(stream.start_time or 0, stream=stream)
    return len(stream.index_entries) > 1


LOOK_BACK_PACKETS: Final = 4
"""A frame is decoded so much before its turn in an order of B-frames, besides the stream's delay."""
LOOK_PACKETS: Final = 300
"""Packets read in search of a frame: more than a group of pictures, where its middle is not indexed."""


class CheapFrame:
    """Looks for cheap frames of one stream and leaves the container anywhere. Times are seconds, as of `clock`.

    An index of MP4 tells when frames are decoded, not when they are shown: packets do. Seeking to sixteen of them and
    reading them took 0.6 ms at 3 Mbit/s, 1.2 at 50; the index is told what they say.
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
        """Return when the frame starts, of those that start in `span`, that is decoded soonest.

        The key frame nearest to its centre, else the first to be decoded. None where the frame shown at its centre
        costs no more. A frame has so many thousand pixels.
        """
        found = self._key_frame(span)
        if found is None:
            near: list[Shown] = []
            found = first_decoded(span, _noted(self._packets_from(span.first_s), near))
            self._learn(packet for packet in near if packet.time_s == found)
            return found
        from_earlier = found > span.centre_s and self._index.key(self._clock.ticks(span.centre_s)) is not None
        if from_earlier and self._work(found, kilopixels) > self._work(span.centre_s, kilopixels):
            return None  # few bytes from an earlier key frame are less than the many of this
        return found

    def _work(self, time_s: float, kilopixels: int) -> int:
        way = self._index.way(self._clock.ticks(time_s), self._frame_ticks)
        return (way or DecodePath(1, 0)).work(kilopixels)

    def _learn(self, packets: Iterable[Shown]) -> None:
        if self._index.every_frame or self._index.shown:
            ticks = self._clock.ticks
            self._index.learned.update({ticks(packet.time_s): ticks(packet.decoded_s) for packet in packets})

    def _key_frame(self, span: Span) -> float | None:
        """Return when the key frame of `span` starts that is nearest to its centre."""
        centre = self._clock.ticks(span.centre_s)
        either_side = (self._index.key(centre, backward=backward) for backward in (True, False))
        keys = sorted({key for key in either_side if key is not None}, key=lambda key: abs(key - centre))
        # The index says about when they are shown: one is read before the other if it is nearer by more than that.
        sure = 2 * LOOK_BACK_PACKETS * self._frame_ticks
        alike = [key for key in keys if abs(key - centre) <= abs(keys[0] - centre) + sure]
        for some in (alike, keys[len(alike) :]):
            packets = [packet for packet in map(self._shown, some) if packet is not None]
            found = nearest_key(span, (packet.time_s for packet in packets))
            if found is not None:
                self._learn(packet for packet in packets if packet.time_s == found)
                return found
        return None

    def _shown(self, key: int) -> Shown | None:
        """Return when a key frame is shown: its packet tells where the index says about when only."""
        decoded_s = self._clock.seconds(key - self._index.delay)
        if not self._index.every_frame:
            return Shown(self._clock.seconds(key), decoded_s)
        packets = self._look(key, LOOK_BACK_PACKETS)
        return next((packet for packet in packets if packet.decoded_s == decoded_s), None)

    def _packets_from(self, time_s: float) -> Iterator[Shown]:
        """Read packets in the order of decoding, from before the first whose frame starts at `time_s` or later."""
        return self._look(self._clock.ticks(time_s) - LOOK_BACK_PACKETS * self._frame_ticks, LOOK_PACKETS)

    def _look(self, tick: int, count: int) -> Iterator[Shown]:
        """Read `count` packets from about where what is shown at `tick` is decoded."""
        try:
            self._container.seek(tick, stream=self._stream, any_frame=True)
            for packet in islice(self._container.demux(self._stream), count):
                if packet.pts is not None and not packet.is_discard:
                    stamp = packet.pts if packet.dts is None else min(packet.dts, packet.pts)
                    yield Shown(self._clock.seconds(packet.pts), self._clock.seconds(stamp))
        except av.error.FFmpegError:
            return


def _noted(packets: Iterable[Shown], notes: list[Shown]) -> Iterator[Shown]:
    for packet in packets:
        notes.append(packet)
        yield packet
